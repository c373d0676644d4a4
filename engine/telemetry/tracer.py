"""Which requests are traced, and what is noted of them while they run.

Whether a request is sampled is decided before anything is created for it. Spans are made of these
notes and of the record later, in the thread that exports them.
"""

from collections.abc import Callable, Mapping
from random import getrandbits, random
from time import monotonic_ns, time_ns
from typing import Any, NamedTuple

from engine.gateway.record import Record
from engine.plan.plan import Origin, Plan, Provider
from engine.plan.tracing import Tracing, Trust
from engine.telemetry.trace_context import TraceContext, context_headers, parse_context

_NO_HEADERS: list[tuple[bytes, bytes]] = []


class SpanNames(NamedTuple):
    """What the spans of an endpoint are called: its path, and its operation."""

    path: str
    operation: str


class AttemptNotes:
    """An attempt. Times are monotonic nanoseconds; `ended` None: with the request."""

    __slots__ = ("ended", "failure", "headers", "model", "origin", "provider", "response_model", "span_id", "started", "status", "stream", "wants_model")  # fmt: skip

    def __init__(self, provider: Provider, model: str, origin: Origin, *, stream: bool, wants_model: bool) -> None:  # fmt: skip
        self.span_id = _new_id(64)
        self.provider = provider.name, provider.telemetry_name
        self.model = model
        self.origin = origin
        self.stream = stream
        self.started = monotonic_ns()
        self.ended: int | None = None
        self.status: int | None = None
        self.failure: str | None = None
        self.headers = _NO_HEADERS
        self.wants_model = wants_model
        self.response_model: str | None = None

    def respond(self, status: int) -> None:
        self.status = status

    def record_model(self, model: str) -> None:
        self.response_model = model

    def fail(self, reason: str) -> None:
        self.failure = reason
        self.ended = monotonic_ns()


class Unsampled:
    """A request of a caller's trace, of which nothing is exported or sent on: its log has the trace."""

    __slots__ = ("trace_id",)
    is_sampled = False

    def __init__(self, trace_id: str) -> None:
        self.trace_id: str | None = trace_id

    def start_attempt(
        self, _provider: Provider, _model: str, _origin: Origin, *, stream: bool
    ) -> "_NoAttempt":
        del stream
        return _NO_ATTEMPT

    def end_attempt(self) -> None:
        """Nothing."""


class _NoAttempt:
    """An attempt of which nothing is noted."""

    headers = _NO_HEADERS
    wants_model = False

    def respond(self, status: int) -> None:
        """Nothing."""

    def record_model(self, model: str) -> None:
        """Nothing."""

    def fail(self, reason: str) -> None:
        """Nothing."""


_NO_ATTEMPT = _NoAttempt()


class TraceNotes:
    """A request in flight. `parent` is the caller's span, of another trace if it is not trusted.

    `is_sampled`: its spans are exported. Other requests have notes where something may be sent to
    the provider, or logged. `is_asked`: sampled only since the caller asked for it. `clock` is the time of day at `started`, in nanoseconds.
    """

    __slots__ = ("attempts", "clock", "context", "ended", "is_asked", "is_sampled", "method", "parent", "routes", "scheme", "started", "trace_id")  # fmt: skip

    def __init__(self, scope: Mapping[str, Any], context: TraceContext, parent: TraceContext | None, routes: Mapping[str, SpanNames]) -> None:  # fmt: skip
        self.clock = time_ns()
        self.started = monotonic_ns()
        self.ended = self.started
        self.method: str = scope["method"]
        self.scheme: str = scope.get("scheme", "http")
        self.context = context
        self.parent = parent
        self.is_sampled = context.is_sampled
        self.is_asked = False
        is_known = context.is_sampled or (
            parent is not None and parent.trace_id == context.trace_id
        )
        self.trace_id = context.trace_id if is_known else None
        self.routes = routes
        self.attempts: list[AttemptNotes] = []

    def start_attempt(
        self, provider: Provider, model: str, origin: Origin, *, stream: bool
    ) -> AttemptNotes:
        wants = self.is_sampled
        attempt = AttemptNotes(provider, model, origin, stream=stream, wants_model=wants)
        if provider.trace:
            attempt.headers = context_headers(self.context._replace(span_id=attempt.span_id))
        self.attempts.append(attempt)
        return attempt

    def end_attempt(self) -> None:
        if self.attempts and self.attempts[-1].ended is None:
            self.attempts[-1].ended = monotonic_ns()


class PlanTracer:
    """Decides for the requests of one Plan. `put` takes the notes and the record of a sampled one."""

    def __init__(
        self, plan: Plan, tracing: Tracing, put: Callable[[TraceNotes, Record], None]
    ) -> None:
        self._ratio = tracing.ratio
        self._trust = tracing.trust
        self._needs_key = plan.callers is not None
        self._put = put
        self._propagates = any(provider.trace for provider in plan.providers.values())
        self._routes = {
            e.name: SpanNames(e.path.decode("ascii"), e.operation or e.name)
            for e in plan.every_endpoint()
        }

    def start(self, scope: Mapping[str, Any]) -> TraceNotes | Unsampled | None:
        """The notes of a request that begins; None for most that are not sampled."""
        is_sampled = is_drawn = random() < self._ratio  # noqa: S311 no secret: which requests are sampled
        if self._trust is Trust.NONE:
            if not is_sampled and not self._propagates:
                return None
            caller, parent = None, parse_context(scope["headers"])
        else:
            caller = parent = parse_context(scope["headers"])
            if caller is not None and self._trust is Trust.SAMPLED:
                is_sampled = caller.is_sampled
            if not is_sampled and not self._propagates:
                return None if caller is None else Unsampled(caller.trace_id)
        trace_id = _new_id(128) if caller is None else caller.trace_id
        state = b"" if caller is None else caller.state
        context = TraceContext(trace_id, _new_id(64), is_sampled, state)
        notes = TraceNotes(scope, context, parent, self._routes)
        notes.is_asked = is_sampled and not is_drawn
        return notes

    def end(self, notes: TraceNotes | Unsampled, record: Record) -> None:
        """The request of `notes` is over. A caller without a valid key cannot ask for a trace."""
        if isinstance(notes, TraceNotes) and notes.is_sampled:
            if notes.is_asked and self._needs_key and record.key is None:
                return
            notes.ended = monotonic_ns()
            self._put(notes, record)


def _new_id(bits: int) -> str:
    """A random id in hexadecimal. The generator is seeded anew after a fork."""
    return f"{getrandbits(bits):0{bits // 4}x}"
