"""What callers get to know of their limits: headers of what is left, and why a request is refused."""

from collections.abc import Mapping
from functools import lru_cache
from time import gmtime, time

from engine.gateway.errors import GatewayError
from engine.limits.core import Left, Refused
from engine.limits.store import FullError
from engine.plan.plan import Dialect
from engine.plan.prices import NANO
from engine.upstream import Pairs

_UNITS = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "budget": "tokens",
}
MAX_SECONDS = 366 * 24 * 3600  # until all is back, as it is said
_WHAT = b"limit", b"remaining", b"reset"
_ANTHROPIC_KINDS = {
    "requests": b"requests",
    "tokens": b"tokens",
    "input_tokens": b"input-tokens",
    "output_tokens": b"output-tokens",
}
# The headers of each kind of `Grant.left` that the SDKs of a dialect know; those of OpenAI know no sides of tokens.
_ANTHROPIC = {
    kind: [b"anthropic-ratelimit-%b-%b" % (name, what) for what in _WHAT]
    for kind, name in _ANTHROPIC_KINDS.items()
}
_OPENAI = {
    kind: [b"x-ratelimit-%b-%b" % (what, kind.encode()) for what in _WHAT]
    for kind in ("requests", "tokens")
}
# How the headers begin by which providers say what is left of their own limits.
PROVIDER_LIMITS = (
    b"anthropic-fast-",
    b"anthropic-priority-",
    b"anthropic-ratelimit-",
    b"ratelimit",
    b"x-rate-limit-",
    b"x-ratelimit",
    b"x-tokenlimit-",
)


def uncounted(error: Exception) -> GatewayError:
    """The error of a request whose limits cannot be counted."""
    if isinstance(error, FullError):
        return GatewayError(
            "overloaded",
            "there is no room to count another request or key: too many are limited now",
        )
    return GatewayError("limits_unavailable", "the store that counts limits cannot be used now")


def refusal(refused: Refused, dialect: Dialect) -> GatewayError:
    """The error of a refused request."""
    code = "budget_exceeded" if refused.is_spent else "rate_limited"
    headers = tuple(limit_headers(refused.left, dialect))
    return GatewayError(code, _message(refused), headers=headers, retry_after=refused.wait)


def credential_refusal(refused: Refused, provider: str) -> GatewayError:
    """The error of a request for which no credential of `provider` may be used now."""
    code = "budget_exceeded" if refused.is_spent else "rate_limited"
    message = f"a credential of provider `{provider}` may not be used now: {_message(refused)}"
    return GatewayError(code, message, retry_after=refused.wait)


def unpriced(provider: str) -> GatewayError:
    """The error of a request of which nobody knows what it would take from a budget of `provider`."""
    message = f"the credentials of provider `{provider}` have a budget in US dollars, and the price of this model is not known"
    return GatewayError("not_allowed", message, param="model")


def _message(refused: Refused) -> str:
    if refused.kind == "concurrent":
        return f"the limit of {refused.limit} requests at once is reached"
    what = f"{described(refused.kind, refused.limit)} per {refused.per}"
    if refused.is_spent:
        return f"the budget of {what} is spent; the next one begins in {refused.wait} s"
    if refused.kind.startswith("budget"):
        return f"requests under way hold what is left of the budget of {what}"
    return f"the limit of {what} is reached; try again in {refused.wait} s"


def described(kind: str, amount: int) -> str:
    """An amount of a limit for people; `kind` as in `Refused`, but for `concurrent`."""
    if kind == "budget_usd":
        return f"{amount / NANO:g} US dollars"
    return f"{amount} {_UNITS[kind]}"


def limit_headers(left: Mapping[str, Left], dialect: Dialect) -> Pairs:
    """What is left, in the headers that the SDKs of a dialect know.

    The reset of OpenAI is a duration, that of Anthropic a time (RFC 3339): when all is back.
    """
    is_time = dialect is Dialect.ANTHROPIC
    names = _ANTHROPIC if is_time else _OPENAI
    headers: Pairs = []
    for kind, (limit, remaining, seconds) in left.items():
        if kind in names:
            of_limit, of_remaining, of_reset = names[kind]
            reset = _moment(seconds) if is_time else _duration(seconds)
            headers += (of_limit, b"%d" % limit), (of_remaining, b"%d" % remaining), (of_reset, reset)  # fmt: skip
    return headers


def _duration(seconds: float) -> bytes:
    """As OpenAI writes it: `12ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return b"%dms" % (seconds * 1000)
    if seconds < 60:
        return b"%gs" % round(seconds, 1)
    return _long(int(seconds))


@lru_cache(1024)  # those until the end of a day are the same for all requests of a second
def _long(seconds: int) -> bytes:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return (b"%dh" % hours if hours else b"") + b"%dm%ds" % (minutes, rest)


def _moment(seconds: float) -> bytes:
    """The time in so many seconds, as Anthropic writes it."""
    at = gmtime(time() + min(seconds, MAX_SECONDS))  # a third of what datetime.strftime takes
    return b"%04d-%02d-%02dT%02d:%02d:%02dZ" % at[:6]
