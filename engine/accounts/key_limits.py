"""What a gateway key of an account, or the account, may use, by the names of their columns and of the account API."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from engine.accounts.errors import InvalidValueError
from engine.plan.limits import Budget, CallerLimits, Period, Rate
from engine.plan.prices import NANO

MAX_COUNTS = {
    "rate_limit_rpm": 1_000_000,
    "daily_token_budget": 10**15,
    "weekly_token_budget": 10**15,
    "monthly_nano_usd_budget": 10**15 - 1,  # just below a million dollars
}
USD = {"monthly_usd_budget": "monthly_nano_usd_budget"}  # in US dollars for people: the column
USD_PATTERN = r"^(?=.*[1-9])[0-9]{1,6}(\.[0-9]{1,9})?$"  # a decimal above 0
USD_WANTED = "must be US dollars above 0 and below a million, such as 12.50"


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Requests in a minute, and tokens in a day and a week (UTC, from Monday); None for no limit.

    `monthly_nano_usd_budget` are billionths of a US dollar in a calendar month (UTC).
    """

    rate_limit_rpm: int | None = None
    daily_token_budget: int | None = None
    weekly_token_budget: int | None = None
    monthly_nano_usd_budget: int | None = None

    @classmethod
    def of(cls, row: Any) -> "KeyLimits":
        """The limits in a row, or in anything with these names."""
        return cls(*(getattr(row, name) for name in MAX_COUNTS))

    def columns(self) -> Mapping[str, int | None]:
        """The limits by the names of their columns.

        Raises:
            InvalidValueError: one is below 1, or too high.
        """
        values: dict[str, int | None] = asdict(self)
        for name, value in values.items():
            if value is not None and not 1 <= value <= MAX_COUNTS[name]:
                raise InvalidValueError(name, f"must be 1 to {MAX_COUNTS[name]}")
        return values

    def with_changes(self, changes: "KeyLimits") -> "KeyLimits":
        """The same, with those of `changes` that are limits."""
        return replace(self, **{n: v for n, v in asdict(changes).items() if v is not None})

    def api_fields(self) -> dict[str, int | str | None]:
        """The limits by the names that people and the account API have for them, money as decimal text."""
        values: dict[str, int | str | None] = {name: getattr(self, name) for name in MAX_COUNTS}
        for shown, column in USD.items():
            nano = values.pop(column)
            values[shown] = None if nano is None else usd_text(int(nano))
        return values

    def caller_limits(self, *, is_default: bool = False) -> CallerLimits | None:
        """The same for the gateway; None for no limit at all. `is_default`: all of them are of keys without any."""
        if self == NO_LIMITS:
            return None
        budgets = (
            (self.daily_token_budget, Period.DAY, False),
            (self.weekly_token_budget, Period.WEEK, False),
            (self.monthly_nano_usd_budget, Period.MONTH, True),
        )
        return CallerLimits(
            requests=None if self.rate_limit_rpm is None else Rate(self.rate_limit_rpm, 60),
            budgets=tuple(
                Budget(amount, per, is_usd=is_usd)
                for amount, per, is_usd in budgets
                if amount is not None
            ),
            is_default=is_default,
        )


NO_LIMITS = KeyLimits()
LIMIT_NAMES: Iterable[str] = tuple(NO_LIMITS.api_fields())


def nano_usd(text: str) -> int:
    """Billionths of a dollar of a decimal that fits USD_PATTERN."""
    return int(Decimal(text) * NANO)


def usd_text(nano: int) -> str:
    """A decimal without zeros at its end: `100`, `0.25`."""
    whole, rest = divmod(nano, NANO)
    return f"{whole}.{rest:09}".rstrip("0").rstrip(".")
