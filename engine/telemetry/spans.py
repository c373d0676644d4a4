"""Spans of finished requests as OTLP (opentelemetry-proto).

One SERVER span for a request, by the conventions for HTTP, and below it one CLIENT span for each
attempt, by the conventions for generative AI. Nothing of a body, no header and no raw path.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from engine.gateway.record import Record
from engine.telemetry.attributes import Value, attributes
from engine.telemetry.tracer import AttemptNotes, SpanNames, TraceNotes

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
SCOPE = "orqen"
CLIENT_ERROR, SERVER_ERROR = 400, 500
_BY_CALLERS = ("client_cancelled", "client_stalled")  # outcomes that are no error of the gateway
_PORTS = {"http": 80, "https": 443}
_HAS_PARENT_REMOTE, _IS_REMOTE = 0x100, 0x200  # flags of a span and of a link

Finished: TypeAlias = tuple[TraceNotes, Record]


def export_request(batch: Sequence[Finished], resource: Sequence[KeyValue], version: str) -> bytes:
    """The body of an OTLP request with the spans of `batch`."""
    spans = [span for notes, record in batch for span in spans_of(notes, record)]
    scope = InstrumentationScope(name=SCOPE, version=version)
    made = ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=resource),
                schema_url=SCHEMA_URL,
                scope_spans=[ScopeSpans(scope=scope, spans=spans, schema_url=SCHEMA_URL)],
            )
        ]
    )
    body: bytes = made.SerializeToString()
    return body


def spans_of(notes: TraceNotes, record: Record) -> Iterator[Span]:
    """The span of a request, and those of its attempts."""
    route = notes.routes.get(record.endpoint or "")
    yield _server_span(notes, record, route)
    for number, attempt in enumerate(notes.attempts):
        is_last = number == len(notes.attempts) - 1
        yield _client_span(notes, attempt, number, record if is_last else None, route)


def _server_span(notes: TraceNotes, record: Record, route: SpanNames | None) -> Span:
    method = notes.method if notes.method in METHODS else "_OTHER"
    name = "HTTP" if method == "_OTHER" else method
    error = _server_error(record)
    context, parent = notes.context, notes.parent
    span = Span(
        trace_id=bytes.fromhex(context.trace_id),
        span_id=bytes.fromhex(context.span_id),
        trace_state=context.state.decode("ascii"),
        flags=int(context.is_sampled),
        name=f"{name} {route.path}" if route else name,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=notes.clock,
        end_time_unix_nano=_time(notes, notes.ended),
        attributes=attributes(
            {
                "http.request.method": method,
                "url.scheme": notes.scheme,
                "http.route": route and route.path,
                "http.response.status_code": record.status,
                "error.type": error,
                "orqen.request_id": record.request_id,
                "orqen.endpoint": record.endpoint,
                "orqen.key": record.key,
                "orqen.model": record.model,
                "orqen.rule": record.rule,
                "orqen.outcome": record.outcome,
                "orqen.error": record.error,
                "orqen.attempts": record.attempts,
            }
        ),
    )
    if error is not None and record.outcome not in _BY_CALLERS:
        span.status.code = Status.STATUS_CODE_ERROR
    if parent is None:
        return span
    if parent.trace_id == context.trace_id:
        span.parent_span_id = bytes.fromhex(parent.span_id)
        span.flags |= _HAS_PARENT_REMOTE | _IS_REMOTE
    else:
        span.links.add(
            trace_id=bytes.fromhex(parent.trace_id),
            span_id=bytes.fromhex(parent.span_id),
            trace_state=parent.state.decode("ascii"),
            flags=int(parent.is_sampled) | _HAS_PARENT_REMOTE | _IS_REMOTE,
        )
    return span


def _server_error(record: Record) -> str | None:
    """What went wrong, if not only the caller's request: 4xx is no error of a server (HTTP, spans)."""
    if record.outcome not in ("ok", "refused"):
        return record.outcome
    if record.status is not None and record.status >= SERVER_ERROR:
        return record.error or str(record.status)
    return None


def _client_span(
    notes: TraceNotes,
    attempt: AttemptNotes,
    number: int,
    record: Record | None,
    route: SpanNames | None,
) -> Span:
    """An attempt; `record` is that of the request if this is the last one."""
    operation = route.operation if route else "unknown"
    provider, telemetry_name = attempt.provider
    error = _client_error(attempt, record)
    origin = attempt.origin
    values: dict[str, Value | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": telemetry_name or provider,
        "gen_ai.request.model": attempt.model,
        "gen_ai.request.stream": attempt.stream or None,
        "gen_ai.response.model": attempt.response_model,
        "server.address": origin.host,
        "server.port": origin.port or _PORTS.get(origin.scheme),
        "http.response.status_code": attempt.status,
        "http.request.resend_count": number or None,
        "error.type": error,
        "orqen.provider": provider,
        **(_usage(record) if record is not None else {}),
    }
    span = Span(
        trace_id=bytes.fromhex(notes.context.trace_id),
        span_id=bytes.fromhex(attempt.span_id),
        parent_span_id=bytes.fromhex(notes.context.span_id),
        trace_state=notes.context.state.decode("ascii"),
        flags=int(notes.is_sampled) | _HAS_PARENT_REMOTE,
        name=f"{operation} {attempt.model}",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=_time(notes, attempt.started),
        end_time_unix_nano=_time(notes, notes.ended if attempt.ended is None else attempt.ended),
        attributes=attributes(values),
    )
    if error is not None:
        span.status.code = Status.STATUS_CODE_ERROR
    return span


def _usage(record: Record) -> dict[str, Value | None]:
    return {
        "gen_ai.usage.input_tokens": record.input_tokens,
        "gen_ai.usage.output_tokens": record.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": record.cache_write_tokens or None,
        "orqen.usage": record.usage,
        "orqen.credential": record.credential or None,
    }


def _client_error(attempt: AttemptNotes, record: Record | None) -> str | None:
    if attempt.failure is not None:
        return attempt.failure
    if attempt.status is not None and attempt.status >= CLIENT_ERROR:
        return str(attempt.status)
    return record.outcome if record is not None and record.outcome != "ok" else None


def _time(notes: TraceNotes, moment: int) -> int:
    """The time of day at a monotonic moment, in nanoseconds."""
    return notes.clock + moment - notes.started
