"""From rows of usage to what the overview and the usage page show. Pure functions.

Latencies are counts: how many requests took up to each of LATENCY_BOUNDS, and how many longer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from engine.accounts.tables import LATENCY_BOUNDS
from engine.accounts.usage import Usage
from engine.admin import formats
from engine.admin.plots import Axis, Plot, PlotTexts, Series, lines, stacked_bars

HOUR, DAY = 3600, 86400
NOT_MEASURED = "not measured yet"
NO_PRICES = "no prices"  # there is no prices.yaml, so no cost will come
DASH = "–"
NOTHING = "Nothing was called in this time."


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    """A stretch of time up to now, in steps of an hour or a day that begin in UTC."""

    key: str
    text: str
    tab: str
    step: int
    steps: int

    def starts(self, now: float) -> list[int]:
        """The beginning of each step, the present one last."""
        last = int(now) // self.step * self.step
        return [last - back * self.step for back in reversed(range(self.steps))]


PERIODS = {
    period.key: period
    for period in (
        UsagePeriod("24h", "Last 24 hours", "24 h", HOUR, 24),
        UsagePeriod("7d", "Last 7 days", "7 days", DAY, 7),
        UsagePeriod("30d", "Last 30 days", "30 days", DAY, 30),
        UsagePeriod("90d", "Last 90 days", "90 days", DAY, 90),
    )
}


@dataclass(frozen=True, slots=True)
class Counts:
    """The sum of some rows. Tokens are None when no row has any."""

    requests: int = 0
    errors: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    latencies: Sequence[int] = field(default=())
    cost_nano_usd: int | None = None
    unpriced: int = 0

    @classmethod
    def of(cls, row: Usage) -> "Counts":
        tokens = row.input_tokens, row.output_tokens
        cost = row.cost_nano_usd, row.unpriced
        return cls(row.requests, row.errors, *tokens, row.latency, *cost)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.requests + other.requests,
            self.errors + other.errors,
            _sum(self.input_tokens, other.input_tokens),
            _sum(self.output_tokens, other.output_tokens),
            _added(self.latencies, other.latencies),
            _sum(self.cost_nano_usd, other.cost_nano_usd),
            self.unpriced + other.unpriced,
        )


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other


def _added(one: Sequence[int], other: Sequence[int]) -> Sequence[int]:
    if not one or not other:
        return one or other
    return tuple(a + b for a, b in zip(one, other, strict=True))


def total(rows: Sequence[Counts]) -> Counts:
    result = Counts()
    for row in rows:
        result += row
    return result


def quantile(latencies: Sequence[int], share: float) -> float | None:
    """The time (ms) within which `share` of the requests ended, interpolated in its class.

    None without requests. What took longer than the last bound counts as that.
    """
    wanted, seen = share * sum(latencies), 0
    if not wanted:
        return None
    for (low, high), number in zip(pairwise((0, *LATENCY_BOUNDS)), latencies, strict=False):
        if number and seen + number >= wanted:
            return low + (high - low) * (wanted - seen) / number
        seen += number
    return float(LATENCY_BOUNDS[-1])


def format_quantile(counts: Counts, share: float) -> str:
    found = quantile(counts.latencies, share)
    return DASH if found is None else format_latency(found)


def format_latency(ms: float) -> str:
    """A quantile; `< 50 ms` in the first class and `> 2.0 min` in the last, of which no more is known."""
    least, most = LATENCY_BOUNDS[0], LATENCY_BOUNDS[-1]
    if ms <= least:
        return f"< {formats.duration(least)}"
    return f"> {formats.duration(most)}" if ms >= most else formats.duration(ms)


def format_tokens(tokens: int | None) -> str:
    return DASH if tokens is None else formats.format_count(tokens)


def format_cost(nano_usd: int | None) -> str:
    return DASH if nano_usd is None else formats.usd(nano_usd)


def unpriced_text(counts: Counts) -> str:
    """`12 requests of unknown cost`; empty without any."""
    if not counts.unpriced:
        return ""
    plural = "" if counts.unpriced == 1 else "s"
    return f"{formats.format_count(counts.unpriced)} request{plural} of unknown cost"


def tiles(counts: Counts, *, has_prices: bool) -> list[dict[str, Any]]:
    """The figures at the top of the overview; a `value` of None is not measured."""
    tokens = _sum(counts.input_tokens, counts.output_tokens)
    without = NOT_MEASURED if has_prices else NO_PRICES
    return [
        {"title": "Requests", "value": formats.format_count(counts.requests), "under": ""},
        {
            "title": "Errors",
            "value": formats.percent(counts.errors, counts.requests),
            "under": formats.format_count(counts.errors) if counts.errors else "",
        },
        {"title": "Latency p50", "value": format_quantile(counts, 0.5), "under": ""},
        {"title": "Latency p95", "value": format_quantile(counts, 0.95), "under": ""},
        {
            "title": "Tokens",
            "value": None if tokens is None else formats.format_count(tokens),
            "under": NOT_MEASURED if tokens is None else "",
        },
        {
            "title": "Cost",
            "value": None if counts.cost_nano_usd is None else formats.usd(counts.cost_nano_usd),
            "under": unpriced_text(counts) or (without if counts.cost_nano_usd is None else ""),
        },
    ]


def axis_of(period: UsagePeriod, now: float) -> Axis:
    starts = period.starts(now)
    if period.step == HOUR:
        return Axis("Hour", [formats.hour(s) for s in starts], [f"{s // HOUR % 24:02}:00" for s in starts])  # fmt: skip
    names = [formats.day(s) for s in starts]
    return Axis("Day", names, names)


def requests_plot(period: UsagePeriod, by_step: Mapping[int, Counts], now: float) -> Plot:
    columns = [by_step.get(start, Counts()) for start in period.starts(now)]
    whole = total(columns)
    return stacked_bars(
        PlotTexts("Requests", _requests_text(whole), NOTHING),
        axis_of(period, now),
        [
            Series("succeeded", "fill-1", [c.requests - c.errors for c in columns]),
            Series("errors", "fill-bad", [c.errors for c in columns]),
        ],
        formats.format_count,
    )


def _requests_text(counts: Counts) -> str:
    errors = f"{formats.format_count(counts.errors)} error{'' if counts.errors == 1 else 's'}"
    return f"{formats.format_count(counts.requests)}, {errors}"


def latency_plot(period: UsagePeriod, by_step: Mapping[int, Counts], now: float) -> Plot:
    columns = [by_step.get(start, Counts()) for start in period.starts(now)]
    whole = total(columns)
    shares = (("p50", "stroke-1", 0.5), ("p95", "stroke-2", 0.95))
    text = ", ".join(f"{name} {format_quantile(whole, share)}" for name, _, share in shares)
    series = [
        Series(name, kind, [quantile(c.latencies, share) for c in columns], DASH)
        for name, kind, share in shares
    ]
    return lines(
        PlotTexts("Latency", text, NOTHING),
        axis_of(period, now),
        series,
        formats.duration,
        format_latency,
    )


def table_row(name: str, href: str, counts: Counts, whole: Counts) -> dict[str, Any]:
    return {
        "name": name,
        "href": href,
        "share": counts.requests / whole.requests if whole.requests else 0.0,
        "requests": formats.format_count(counts.requests),
        "errors": formats.format_count(counts.errors),
        "input_tokens": format_tokens(counts.input_tokens),
        "output_tokens": format_tokens(counts.output_tokens),
        "cost": format_cost(counts.cost_nano_usd),
        "unpriced": unpriced_text(counts),
        "p50": format_quantile(counts, 0.5),
        "p95": format_quantile(counts, 0.95),
    }
