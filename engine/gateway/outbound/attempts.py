"""Which attempts one request makes: a generator that does no I/O.

`attempts` yields what to do next, and is sent the outcome of that:

    Try(target)     -> ResponseHead when the head of a response has arrived, else a Failure
    Pause(seconds)  -> None
    RELAY           -> None when the response was relayed to its end, else the Failure that broke it

At its end it returns None, or why there is no response. Nothing is billed twice because of this
rule: a request is sent again only if it was not sent at all, or if the provider refused it with a
status that the operator has listed; and never once its response is being relayed. Where the
operator has chosen so, by `fallback_on` of a target, the next target also gets a request that this one
may have processed; such an attempt, and all that follow it, are marked.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from math import ceil
from typing import ClassVar, TypeAlias

from engine.gateway.errors import GatewayError
from engine.gateway.outbound.health import Health
from engine.gateway.routing.match import Target
from engine.plan.plan import Retry
from engine.upstream import Failure

FIRST_PAUSE = 0.25
SERVER_ERROR = 500
MAX_WAIT_SECONDS = 86400.0

# What the caller reads of each Failure; never the text of an exception.
_MESSAGES = {
    Failure.CONNECT_FAILED: "provider `{}` cannot be reached",
    Failure.CONNECT_TIMEOUT: "provider `{}` did not accept a connection in time",
    Failure.DNS_FAILED: "the host of provider `{}` cannot be resolved",
    Failure.TLS_FAILED: "the TLS handshake with provider `{}` failed",
    Failure.SIGN_IN_FAILED: "the request to provider `{}` could not be signed",
    Failure.OVERLOADED: "too many requests to provider `{}` are in flight",
    Failure.LIMITED: "the limits of the credentials of provider `{}` are reached",
    Failure.CLOSED: "provider `{}` closed the connection without a response",
    Failure.BAD_RESPONSE: "provider `{}` sent a response that is not valid HTTP",
    Failure.TRUNCATED: "provider `{}` broke off its response",
    Failure.FIRST_BYTE_TIMEOUT: "provider `{}` did not begin to respond in time",
    Failure.IDLE_TIMEOUT: "provider `{}` stopped in the middle of its response",
    Failure.TOTAL_TIMEOUT: "the exchange with provider `{}` took longer than `total` allows",
}


# By a word of `fallback_on`, after which failures the next target gets the request.
_FALLBACK = {
    Failure.FIRST_BYTE_TIMEOUT: "timeout",
    Failure.IDLE_TIMEOUT: "timeout",
    Failure.CLOSED: "closed",
    Failure.TRUNCATED: "closed",
    Failure.BAD_RESPONSE: "closed",
}


_OURS = (Failure.OVERLOADED, Failure.LIMITED)


@dataclass(frozen=True, slots=True)
class Try:
    """Send the request to this target. `paid_before`: another target may have processed it."""

    target: Target
    paid_before: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next attempt at the same target."""

    seconds: float


class Relay(Enum):
    """Relay the response whose head has just arrived."""

    RELAY = auto()


RELAY = Relay.RELAY


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The head of a response. `is_repeatable`: the request's body can be sent again."""

    status: int
    retry_after: float | None = None
    is_repeatable: bool = True

    @property
    def label(self) -> str:
        """What the access record says of an attempt that was followed by another."""
        return str(self.status)


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No target may be called now; one of them may be again after `seconds`."""

    seconds: float
    outcome: ClassVar[str] = "unavailable"


@dataclass(frozen=True, slots=True)
class Abandoned:
    """`provider` may have processed the request, but failed, and no other target could serve it.

    `status` is that of its response, which is closed, if it sent one.
    """

    failure: Failure
    provider: str
    status: int | None = None

    @property
    def outcome(self) -> str:
        """The word for the access record."""
        return self.failure.outcome


Step: TypeAlias = Try | Pause | Relay
Outcome: TypeAlias = ResponseHead | Failure | None
NoResponse: TypeAlias = Failure | Unavailable | Abandoned
AttemptGenerator: TypeAlias = Generator[Step, Outcome, NoResponse | None]
Clock: TypeAlias = Callable[[], float]
# When `total` of a target passes, by the clock; later than any time while no attempt was sent.
TotalEnd: TypeAlias = Callable[[Target], float]


def attempts(
    targets: Sequence[Target],
    healths: Mapping[str, Health],
    clock: Clock,
    total_end: TotalEnd,
    *,
    resendable: bool = True,
) -> AttemptGenerator:
    """Try each target until one responds, or may have received the request.

    No attempt begins after the end of the target's `total`. `resendable`: the body can be sent again
    after it was sent, which `fallback_on` needs.
    """
    why: NoResponse = Unavailable(MAX_WAIT_SECONDS)
    for index, target in enumerate(targets):
        if clock() >= total_end(target):
            continue
        others = targets[index + 1 :]
        paid_before = isinstance(why, Abandoned)
        visit = _TargetAttempts(target, others, healths, clock, total_end, paid_before)
        left = yield from visit.run()
        if left is None:
            return left
        if isinstance(left, Failure) and left.sent:
            if not (resendable and _FALLBACK.get(left) in target.fallback_on):
                return left
            left = Abandoned(left, target.provider.name)
        why = _closer(why, left)
    return why


def _closer(first: NoResponse, second: NoResponse) -> NoResponse:
    """What is reported to the caller: what may have been paid, the last failure, or the shortest wait."""
    if isinstance(first, Abandoned) and not isinstance(second, Abandoned):
        return first
    if isinstance(first, Unavailable) and isinstance(second, Unavailable):
        return min(first, second, key=lambda why: why.seconds)
    return first if isinstance(second, Unavailable) else second


@dataclass(frozen=True, slots=True)
class _TargetAttempts:
    """The attempts at one target; `others` are those after it, `paid_before` as in Try."""

    target: Target
    others: Sequence[Target]
    healths: Mapping[str, Health]
    clock: Clock
    total_end: TotalEnd
    paid_before: bool

    @property
    def health(self) -> Health:
        return self.healths[self.target.provider.name]

    def run(self) -> AttemptGenerator:
        """None when a response was relayed, else why there is none from this target."""
        retry = self.target.provider.retry
        left: NoResponse | None = None
        self.health.add_share()
        number = 1
        while True:
            is_probe = self.health.admit(self.clock())
            if is_probe is None:
                return left or Unavailable(self.health.wait(self.clock()))
            outcome = yield from self._attempt(is_probe=is_probe)
            if isinstance(outcome, Failure):
                left = outcome
                if outcome.sent or not self._may_repeat(retry, number, outcome):
                    return left
            elif outcome.status not in retry.statuses or not outcome.is_repeatable:
                if self._falls_back(outcome):
                    name = self.target.provider.name
                    return Abandoned(Failure.BAD_RESPONSE, name, outcome.status)
                return (yield from self._relay())
            elif not self._may_repeat(retry, number, outcome):
                if not any(map(self._is_open, self.others)):
                    return (yield from self._relay())
                return Unavailable(outcome.retry_after or 0.0)
            else:
                left = None  # that was waited for
            yield Pause(_pause(outcome, number))
            number += 1

    def _attempt(self, *, is_probe: bool) -> Generator[Step, Outcome, ResponseHead | Failure]:
        """One attempt; its end is reported to the breaker, also when the caller leaves."""
        is_good: bool | None = None
        try:
            outcome = yield Try(self.target, self.paid_before)
            if outcome is None:
                raise TypeError("an attempt ends with a ResponseHead or a Failure")
            is_good = _is_good(outcome)
        finally:
            self.health.record(self.clock(), is_good=is_good, is_probe=is_probe)
        return outcome

    def _relay(self) -> AttemptGenerator:
        if (yield RELAY) is not None:
            self.health.record(self.clock(), is_good=False, is_probe=False)
        return None

    def _may_repeat(self, retry: Retry, number: int, outcome: ResponseHead | Failure) -> bool:
        """Whether the same target is tried again; if so, that is taken from the retry budget."""
        if number >= retry.attempts or outcome in _OURS:
            return False
        pause = _pause(outcome, number)
        is_in_time = self.clock() + pause < self.total_end(self.target)
        return pause <= retry.max_wait and is_in_time and self.health.take_retry()

    def _falls_back(self, head: ResponseHead) -> bool:
        """Whether the next target gets the request in place of this response."""
        return (
            head.status >= SERVER_ERROR
            and head.is_repeatable
            and "5xx" in self.target.fallback_on
            and any(map(self._is_open, self.others))
        )

    def _is_open(self, other: Target) -> bool:
        """Whether an attempt at `other` may begin now."""
        now = self.clock()
        return now < self.total_end(other) and self.healths[other.provider.name].wait(now) == 0


def _pause(outcome: ResponseHead | Failure, number: int) -> float:
    """Seconds: what the provider asked for, or twice as long after each attempt."""
    if isinstance(outcome, ResponseHead) and outcome.retry_after is not None:
        return outcome.retry_after
    return FIRST_PAUSE * 2.0 ** (number - 1)


def _is_good(outcome: ResponseHead | Failure) -> bool | None:
    """Whether the provider works, by this outcome; None for a limit of the gateway's own."""
    if isinstance(outcome, ResponseHead):
        return outcome.status < SERVER_ERROR
    return None if outcome in _OURS else False


def retry_after(value: bytes | None, now: float) -> float | None:
    """Seconds in a `retry-after` header (RFC 9110, 10.2.3): a number, or a date; None if neither."""
    if value is None:
        return None
    if value.strip().isdigit():
        return min(float(value), MAX_WAIT_SECONDS)
    try:
        moment = parsedate_to_datetime(value.decode("latin-1")).timestamp()
        return min(max(0.0, moment - now), MAX_WAIT_SECONDS)
    except (ValueError, OverflowError, TypeError, OSError):  # what a date can do to datetime
        return None


def error_of(why: NoResponse, provider: str) -> GatewayError:
    """The error response when there is none to relay; `provider` was the last one tried."""
    if isinstance(why, Abandoned):
        message = _MESSAGES[why.failure].format(why.provider)
        if why.status is not None:
            message = f"provider `{why.provider}` responded with status {why.status}"
        return GatewayError(why.failure.code, f"{message}, and no other target could serve")
    if isinstance(why, Failure):
        return GatewayError(why.code, _MESSAGES[why].format(provider))
    message = f"provider `{provider}` has failed or asked to wait, and is not called for now"
    return GatewayError("upstream_unavailable", message, retry_after=max(1, ceil(why.seconds)))
