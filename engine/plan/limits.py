"""What a caller may use: rates, calendar budgets of tokens and of money, and requests at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from struct import pack, unpack
from typing import Any, ClassVar

NANOSECONDS = 1_000_000_000
MAX_COUNT = 1_000_000_000  # of a rate, in a second at the least
TOKEN_RATES = ("tokens", "input_tokens", "output_tokens")
UNITS = {1: "second", 60: "minute", 3600: "hour"}


class Period(StrEnum):
    """A calendar window of a budget. A week begins on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class StorePolicy(StrEnum):
    """What is done with limited requests while the store of their limits fails."""

    LOCAL = "local"
    REFUSE = "refuse"
    ALLOW = "allow"


def _derived() -> Any:
    return field(init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` units in `seconds`, which may come at once: a token bucket, kept as GCRA.

    `interval` are the nanoseconds in which a unit comes back, rounded up; `tolerance` those in
    which all of them do. `digits` is `count` as text.
    """

    count: int
    seconds: int
    interval: int = field(init=False, repr=False)
    tolerance: int = field(init=False, repr=False)
    digits: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        interval = -(-self.seconds * NANOSECONDS // self.count)
        object.__setattr__(self, "interval", interval)
        object.__setattr__(self, "tolerance", interval * self.count)
        object.__setattr__(self, "digits", b"%d" % self.count)

    @property
    def unit(self) -> str:
        """The time that it is for, as a word."""
        return UNITS[self.seconds]

    @property
    def code(self) -> int:
        """It as 32 bits, no other's, and not 0."""
        return self.count << 2 | 1 + [*UNITS].index(self.seconds)


def interval_of(code: int) -> int:
    """The interval of the rate with this code."""
    return Rate(code >> 2, [*UNITS][(code & 3) - 1]).interval


def codes_of(words: Sequence[int]) -> Sequence[int]:
    """The codes of four rates in two words, of requests and then of TOKEN_RATES; 0 for none."""
    return unpack("=4I", pack("=2q", *words))


def words_of(codes: Sequence[int]) -> Sequence[int]:
    """The two words with these codes."""
    return unpack("=2q", pack("=4I", *codes))


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens, input and output together, or billionths of a dollar, for each `per` of the calendar in `zone`.

    `unpriced` is what a request whose price is not known is charged; None: it is refused. When `warn_at` is
    used, the log says so. `number` is which of six counters is its own, `calendar` names its windows;
    `interval` is as of a Rate: nothing comes back before a window ends.
    """

    amount: int
    per: Period
    zone: str = "UTC"
    is_usd: bool = False
    unpriced: int | None = None
    warn_at: int | None = None
    number: int = _derived()
    calendar: str = _derived()
    interval: ClassVar[int] = 0

    def __post_init__(self) -> None:
        number = len(Period) * self.is_usd + list(Period).index(self.per)
        object.__setattr__(self, "number", number)
        object.__setattr__(self, "calendar", f"{self.per} {self.zone}")


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """All limits of one key or account; `tokens` is input and output together.

    `models` are further limits for models, by a name or a prefix that ends in `*`. The first that
    matches one of the names of a model applies. `is_default`: they are those of keys without limits of their own.

    The other fields are derived from these once, since every request reads them. `size`: how many limits there are,
    without those of `models`. `rates` and `side_rates`: the encoded rates, two integers of 64 bits. `token_rates`: the
    rates of tokens, each with its number and name: 1 for input and output together, 2 for input, 3 for output.
    `counts_tokens`: tokens or cost are limited. `counts_usage` and `counts_usd`: tokens or cost, and cost, are limited
    here or by `models`. `holds`: a request reserves something of these until it is over. `only_rate`: the rate of
    requests, if there is no other limit.
    """

    requests: Rate | None = None
    tokens: Rate | None = None
    input_tokens: Rate | None = None
    output_tokens: Rate | None = None
    concurrent: int | None = None
    budgets: tuple[Budget, ...] = ()
    models: tuple[tuple[str, "CallerLimits"], ...] = ()
    is_default: bool = False
    keeps: tuple[Budget, ...] = ()  # are not counted by these limits, but by others of the scope
    token_rates: tuple[tuple[int, str, Rate], ...] = _derived()
    counts_tokens: bool = _derived()
    counts_usage: bool = _derived()
    counts_usd: bool = _derived()
    holds: bool = _derived()
    size: int = _derived()
    rates: int = _derived()
    side_rates: int = _derived()
    only_rate: Rate | None = field(init=False, repr=False, compare=False)
    _of_free: "CallerLimits | None" = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        inner = [limits for _, limits in self.models]
        rates = tuple(
            (number, name, rate)
            for number, name in enumerate(TOKEN_RATES, 1)
            if (rate := getattr(self, name)) is not None
        )
        tokens = bool(rates or self.budgets)
        usd = any(budget.is_usd for budget in self.budgets)
        holds = tokens or self.concurrent is not None
        derived = {
            "token_rates": rates,
            "counts_tokens": tokens,
            "counts_usage": tokens or any(limits.counts_tokens for limits in inner),
            "counts_usd": usd or any(limits.counts_usd for limits in inner),
            "holds": holds,
            "only_rate": None if holds else self.requests,
            "size": sum(map(bool, (self.requests, self.concurrent, *rates, *self.budgets))),
        }
        every = (self.requests, self.tokens, self.input_tokens, self.output_tokens)
        codes = [0 if rate is None else rate.code for rate in every]
        derived["rates"], derived["side_rates"] = words_of(codes)
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        if tokens and (self.requests is not None or self.concurrent is not None):
            free = CallerLimits(
                requests=self.requests,
                concurrent=self.concurrent,
                is_default=self.is_default,
                keeps=self.budgets,
            )
            for name in ("rates", "side_rates"):  # as of the scope, whose other rates stay
                object.__setattr__(free, name, derived[name])
            object.__setattr__(self, "_of_free", free)

    @property
    def for_free(self) -> "CallerLimits | None":
        """What of these counts requests that cost nothing and use no tokens; None for nothing."""
        return self._of_free if self.counts_tokens else self

    def for_model(self, names: Sequence[str]) -> "tuple[str, CallerLimits] | None":
        """The further limits for a model with these names, in lower case, and the pattern that one of them matches."""
        return next((entry for entry in self.models if _matches(entry[0].lower(), names)), None)


def _matches(pattern: str, names: Sequence[str]) -> bool:
    if not pattern.endswith("*"):
        return pattern in names
    return any(name.startswith(pattern[:-1]) for name in names)
