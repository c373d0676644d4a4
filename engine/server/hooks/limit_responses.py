"""What callers get to know of their limits: headers of what is left, and why a request is refused."""

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from time import gmtime, time

from engine.gateway.errors import GatewayError
from engine.limits.core import Refused, Remaining, remaining_at
from engine.limits.store import FullError
from engine.plan.limits import NANOSECONDS, Rate
from engine.plan.plan import Dialect
from engine.plan.prices import NANO
from engine.upstream import Pairs

_UNITS = {
    "requests": "request",
    "concurrent": "request",
    "tokens": "token",
    "input_tokens": "input token",
    "output_tokens": "output token",
    "budget": "token",
    "budget_usd": "US dollar",
}
_ANTHROPIC_API = Dialect.ANTHROPIC  # looking a member up in its class takes 60 ns
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
_LIMIT, _REMAINING, _RESET = _OPENAI["requests"]
_RESETS = [(_RESET, b"%dms" % number) for number in range(1000)]  # 100 KB, for most responses
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


def limits_unavailable(error: Exception) -> GatewayError:
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


def credential_refusal(refused: Refused) -> GatewayError:
    """The error of a request for which no credential of its provider may be used now."""
    code = "budget_exceeded" if refused.is_spent else "rate_limited"
    return GatewayError(code, _message(refused), retry_after=refused.wait)


def price_unknown(provider: str) -> GatewayError:
    """The error of a request of which nobody knows what it would take from a budget of `provider`."""
    message = f"the credentials of provider `{provider}` have a budget in US dollars, and the price of this model is not known"
    return GatewayError("not_allowed", message, param="model")


def _message(refused: Refused) -> str:
    name, limits = refused.scope
    owner, _, model = name.partition(" ")
    default = "by default, " if limits.is_default else ""
    period = f"{'an' if refused.per == 'hour' else 'a'} {refused.per}" if refused.per else "at once"
    of_model = f" for `{model}`" if model else ""
    what = describe(refused.kind, refused.limit)
    allowed = f"{default}{_owner(owner)} allows {what} {period}{of_model}"
    if refused.is_spent:
        are = "are" if what[-1] == "s" else "is"
        return f"{allowed}, which {are} spent; the next {refused.per} begins in {refused.wait} s"
    if refused.kind.startswith("budget"):
        allowed += ", and requests under way hold what is left"
    return f"{allowed}; try again in {refused.wait} s"


def _owner(name: str) -> str:
    """What has the limits of a scope, as its caller knows it: `@` is before an account, `$` before a provider."""
    start = name[:1]
    owner, _, key = name[1:].partition("/")
    if start == "$":
        return f"a credential of provider `{owner}`"
    if start != "@":
        return f"key `{name}`"
    return f"key `{key}`" if key else f"account `{owner}`"


def describe(kind: str, amount: int) -> str:
    """An amount of a limit for people; `kind` as in `Refused`."""
    number = f"{Decimal(amount) / NANO:f}" if kind == "budget_usd" else f"{amount}"
    return f"{number} {_UNITS[kind]}{'' if number == '1' else 's'}"


def limit_headers(left: Mapping[str, Remaining], dialect: Dialect) -> Pairs:
    """What is left, in the headers that the SDKs of a dialect know.

    The reset of OpenAI is a duration, that of Anthropic a time (RFC 3339): when all is back.
    """
    is_time = dialect is _ANTHROPIC_API
    names = _ANTHROPIC if is_time else _OPENAI
    headers: Pairs = []
    for kind, (limit, remaining, seconds) in left.items():
        of = names.get(kind)
        if of is not None:
            reset = _moment(seconds) if is_time else _duration(seconds)
            headers += (of[0], b"%d" % limit), (of[1], b"%d" % remaining), (of[2], reset)
    return headers


def rate_headers(rate: Rate, ahead: int, dialect: Dialect) -> Pairs:
    """The same of a rate of requests alone, which is whole again in `ahead` nanoseconds."""
    if dialect is _ANTHROPIC_API:
        return limit_headers({"requests": remaining_at(rate, ahead)}, dialect)
    left = b"%d" % ((rate.tolerance - ahead) // rate.interval)
    if ahead < NANOSECONDS:
        return [(_LIMIT, rate.digits), (_REMAINING, left), _RESETS[ahead // 1_000_000]]
    return [(_LIMIT, rate.digits), (_REMAINING, left), (_RESET, _duration(ahead / NANOSECONDS))]


def _duration(seconds: float) -> bytes:
    """As OpenAI writes it: `12ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return b"%dms" % int(seconds * 1000)
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
