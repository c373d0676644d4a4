"""Limits of callers as values, once they passed the schema."""

from typing import Any

from engine.config.prices import exact
from engine.plan.limits import Budget, CallerLimits, Period, Rate
from engine.plan.prices import NANO

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_FACTORS = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}


def build_limits(data: Any, *, is_default: bool = False) -> CallerLimits | None:
    """The limits that an entry declares; None for none. `is_default`: they are for keys without any of their own."""
    if not data:
        return None
    tokens = data.get("tokens")
    parts = tokens if isinstance(tokens, dict) else {}
    return CallerLimits(
        requests=_rate(data.get("requests")),
        tokens=None if parts else _rate(tokens),
        input_tokens=_rate(parts.get("input")),
        output_tokens=_rate(parts.get("output")),
        concurrent=data.get("concurrent"),
        budgets=tuple(_budget(entry) for entry in data.get("budgets", ())),
        models=tuple(
            (
                pattern,
                build_limits(entry, is_default=is_default) or CallerLimits(),
            )  # without limits: those after it do not apply
            for pattern, entry in data.get("models", {}).items()
        ),
        is_default=is_default,
    )


def parse_count(text: str | int) -> int:
    """`"5M"` as 5000000. The text has passed the schema."""
    if isinstance(text, int):
        return text
    digits = text.rstrip("kMG")
    return int(digits) * _FACTORS.get(text[len(digits) :], 1)


def _rate(text: str | None) -> Rate | None:
    if text is None:
        return None
    count, _, unit = text.partition("/")
    return Rate(parse_count(count), _SECONDS[unit])


def _budget(data: dict[str, Any]) -> Budget:
    per, zone = Period(data["per"]), data.get("zone", "UTC")
    if "usd" not in data:
        amount = parse_count(data["tokens"])
        return Budget(amount, per, zone, warn_at=_share(data, amount))
    unpriced = data.get("unpriced", "refuse")
    charge = None if unpriced == "refuse" else _nano(unpriced["usd"])
    amount = _nano(data["usd"])
    return Budget(amount, per, zone, is_usd=True, unpriced=charge, warn_at=_share(data, amount))


def _share(data: dict[str, Any], amount: int) -> int | None:
    """What of a budget is used when `warn_at` is reached, rounded up."""
    text = data.get("warn_at")
    return None if text is None else -(-amount * int(text[:-1]) // 100)


def _nano(usd: float) -> int:
    return int((exact(usd) * NANO).to_integral_value())
