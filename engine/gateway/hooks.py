"""Interfaces by which other packages take part in a request: limits, a vault, telemetry.

Each hook is off by default, and costs a comparison with None then. A hook is called on the event
loop, so it must not block; what it raises besides GatewayError is a bug of the hook.

The gateway bounds what it awaits: `admit` and `search` are cancelled after HOOK_SECONDS, and the
caller gets 503 `overloaded`. A hook that is cancelled must end at once and keep nothing. The other
methods are no coroutines, and nothing bounds them.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Protocol, TypeVar

from engine.gateway.cancellation import Deadline
from engine.gateway.errors import GatewayError
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.record import Record
from engine.gateway.tracing import Trace
from engine.plan.plan import Caller, CredentialSet, Endpoint, Provider
from engine.upstream import Pairs

T = TypeVar("T")
HOOK_SECONDS = 10.0  # longest time that a request waits for one hook


class Permit(Protocol):
    """What `Admission.admit` has granted to one request.

    `headers` are sent with the response, in place of the provider's own whose names begin with one of `replaces`.
    """

    headers: Pairs

    @property
    def replaces(self) -> tuple[bytes, ...]:
        """Header-name prefixes to replace. Must be one constant tuple (it is a cache key)."""

    @property
    def settle(self) -> Callable[[Record], None] | None:
        """Called exactly once when the request is over, however it ended, cancelled included. None: it needs no call.

        Not a coroutine, since a cancellation could interrupt one.
        """


class Admission(Protocol):
    """Whether a request may be served now, as a limit of requests, tokens or money says."""

    def admit(
        self, caller: Caller, endpoint: Endpoint, model: str, body: RequestBody, size: int | None
    ) -> Permit | Coroutine[Any, Any, Permit] | None:
        """Admit a request whose caller may use `endpoint` and `model`, before anything is sent.

        `size` is that of its `body` in bytes, 0 without one; None while that is unknown. None: nothing limits the
        request. What has to wait returns a coroutine; most do not, and cost less.

        Raises:
            GatewayError: it is refused; there is nothing to settle, as after a cancellation.
        """


class CredentialLimits(Protocol):
    """Whether the operator's credentials may be used for a request now, as the limits of their provider say."""

    def admit_credentials(
        self,
        provider: Provider,
        endpoint: Endpoint,
        model: str,
        body: RequestBody,
        size: int | None,
    ) -> Permit | Coroutine[Any, Any, Permit] | None:
        """Admit a request with the credentials of `provider`, a variant that has `credential_limits`.

        Raises:
            GatewayError: it is refused; there is nothing to settle, as after a cancellation.
        """


class KeySource(Protocol):
    """Gateway keys that are stored outside the configuration, beside those of keys.yaml."""

    def known(self, digest: bytes) -> Caller | None:
        """The holder of the key with this SHA-256 digest, if it is cached."""

    def is_current(self, caller: Caller) -> bool:
        """Whether `caller` is still valid: `known` returns the same object. Called only for account keys."""

    async def search(self, digests: Sequence[bytes]) -> Mapping[bytes, Caller]:
        """The holders of the keys with these digests, as the store has them now.

        Raises:
            GatewayError: `accounts_unavailable`.
        """


class CredentialSource(Protocol):
    """Credentials of providers that belong to callers, stored outside the configuration.

    They come after those that a caller sends with the request, and before the operator's.
    """

    def find(self, caller: Caller, provider: Provider) -> CredentialSet | None:
        """The credentials of `caller` for `provider`, or None to go on with the operator's.

        Called for each provider of a rule before the first attempt, for every request: it looks
        into memory alone.

        Raises:
            GatewayError: the request is refused.
        """


class Sink(Protocol):
    """Takes the records of all requests, besides the access log: in batches, a moment after they have ended."""

    def write(self, records: Sequence[Record]) -> None:
        """Take the records of requests that have ended lately, which are frozen, and return at once."""


class Tracer(Protocol):
    """Decides which requests are traced, and takes what was noted of them."""

    def start(self, scope: Mapping[str, Any]) -> Trace | None:
        """The trace of a request that begins; None for one of which nothing is noted."""

    def end(self, trace: Any, record: Record) -> None:
        """The request of `trace`, which `start` has returned, is over."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of one worker."""

    keys: KeySource | None = None
    admission: Admission | None = None
    credentials: CredentialSource | None = None
    sinks: tuple[Sink, ...] = ()
    tracer: Tracer | None = None
    credential_limits: CredentialLimits | None = None


NO_HOOKS = Hooks()


async def call_hook(deadline: Deadline, hook: Awaitable[T], what: str) -> T:
    """What a hook gives; it is cancelled after HOOK_SECONDS.

    Raises:
        GatewayError: `overloaded` when it took longer; what the hook raises.
    """
    late = partial(GatewayError, "overloaded", f"{what} took longer than {HOOK_SECONDS:g} s")
    with deadline:
        deadline.limit(monotonic() + HOOK_SECONDS, late)
        return await hook
