"""What a gateway key of an account may use, by the names that the account API has for it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.accounts.errors import InvalidValueError
from engine.plan.limits import Budget, CallerLimits, Period, Rate

MOST = {
    "rate_limit_rpm": 1_000_000,
    "daily_token_budget": 10**15,
    "weekly_token_budget": 10**15,
}


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Requests in a minute, and tokens in a day and a week (UTC, from Monday); None for no limit."""

    rate_limit_rpm: int | None = None
    daily_token_budget: int | None = None
    weekly_token_budget: int | None = None

    @classmethod
    def of(cls, row: Any) -> "KeyLimits":
        """The limits in a row, or in anything with these names."""
        return cls(*(getattr(row, name) for name in MOST))

    def columns(self) -> Mapping[str, int | None]:
        """The limits by the names of their columns.

        Raises:
            InvalidValueError: one is below 1, or too high.
        """
        values: dict[str, int | None] = asdict(self)
        for name, value in values.items():
            if value is not None and not 1 <= value <= MOST[name]:
                raise InvalidValueError(name, f"must be 1 to {MOST[name]}")
        return values

    def caller_limits(self) -> CallerLimits | None:
        """The same for the gateway; None for no limit at all."""
        if self == NO_LIMITS:
            return None
        budgets = ((self.daily_token_budget, Period.DAY), (self.weekly_token_budget, Period.WEEK))
        return CallerLimits(
            requests=None if self.rate_limit_rpm is None else Rate(self.rate_limit_rpm, 60),
            budgets=tuple(Budget(count, per) for count, per in budgets if count is not None),
        )


NO_LIMITS = KeyLimits()
