"""From counts to figures and plots."""

from engine.accounts.tables import LATENCY_COLUMNS
from engine.admin.formats import usd
from engine.admin.usage_view import (
    DAY,
    HOUR,
    PERIODS,
    Counts,
    format_quantile,
    latency_plot,
    quantile,
    requests_plot,
    table_row,
    tiles,
    total,
)
from tests.tables import each

NOW = 1_795_725_000.0  # 26 Nov 2026, 20:30 UTC


def latency(**classes: int) -> tuple[int, ...]:
    """Counts by class: `c0` is up to 50 ms, `c1` up to 100."""
    return tuple(classes.get(f"c{number}", 0) for number in range(len(LATENCY_COLUMNS)))


@each(
    ("counts", "share", "ms"),
    [
        (latency(c0=10), 0.5, 25),  # the middle of its class
        (latency(c0=10, c1=10), 0.5, 50),
        (latency(c0=10, c1=10), 0.75, 75),
        (latency(c0=1, c3=1), 1.0, 500),
        (latency(c11=5), 0.5, 120_000),  # longer than all bounds
        (latency(), 0.5, None),
        ((), 0.5, None),
    ],
)
def test_quantiles(counts: tuple[int, ...], share: float, ms: float | None) -> None:
    assert quantile(counts, share) == ms


def test_what_is_longer_than_all_bounds_is_shown_as_more() -> None:
    assert format_quantile(Counts(latencies=latency(c11=1)), 0.5) == "> 2.0 min"
    assert format_quantile(Counts(), 0.5) == "\N{EN DASH}"


def test_what_is_in_the_first_class_is_shown_as_less() -> None:
    short = Counts(1, latencies=latency(c0=1))
    assert [format_quantile(short, share) for share in (0.5, 0.95)] == ["< 50 ms"] * 2
    assert format_quantile(Counts(latencies=latency(c1=1)), 0.5) == "75 ms"
    plot = latency_plot(PERIODS["7d"], {PERIODS["7d"].starts(NOW)[-1]: short}, NOW)
    assert plot.rows[-1] == ("26 Nov", "< 50 ms", "< 50 ms")
    assert plot.y_ticks[0] == "0 ms"


def test_a_cost_without_prices_is_not_waited_for() -> None:
    shown = [
        tile["under"]
        for has_prices in (True, False)
        for tile in tiles(Counts(1), has_prices=has_prices)
        if tile["title"] == "Cost"
    ]
    assert shown == ["not measured yet", "no prices"]


def test_counts_are_added_and_unknown_is_not_zero() -> None:
    one = Counts(2, 1, None, 5, latency(c0=2))
    two = Counts(3, 0, None, None, latency(c1=3))
    assert total([one, two]) == Counts(5, 1, None, 5, latency(c0=2, c1=3))
    assert total([]) == Counts()


def test_a_cost_is_shown_with_the_requests_that_are_not_in_it() -> None:
    whole = total([Counts(2, cost_nano_usd=360_000), Counts(1, unpriced=1), Counts(3, unpriced=11)])
    (cost,) = (tile for tile in tiles(whole, has_prices=True) if tile["title"] == "Cost")
    assert cost == {"title": "Cost", "value": "$0.00036", "under": "12 requests of unknown cost"}
    row = table_row("m", "", Counts(1, unpriced=1), whole)
    assert (row["cost"], row["unpriced"]) == ("\N{EN DASH}", "1 request of unknown cost")


@each(
    ("nano_usd", "text"),
    [(0, "$0.00"), (1, "<$0.000001"), (360_000, "$0.00036"), (500_000_000, "$0.50"), (1234_500_000_000, "$1,234.50")],
)  # fmt: skip
def test_dollars(nano_usd: int, text: str) -> None:
    assert usd(nano_usd) == text


def test_what_is_not_measured_is_said_to_be() -> None:
    shown = {
        tile["title"]: tile["value"]
        for tile in tiles(Counts(4, 1, None, None, latency(c0=4)), has_prices=True)
    }
    assert (shown["Tokens"], shown["Cost"]) == (None, None)
    assert (shown["Requests"], shown["Errors"]) == ("4", "25%")
    measured = {tile["title"]: tile["value"] for tile in tiles(Counts(4, 1, 7, 5), has_prices=True)}
    assert measured["Tokens"] == "12"


def test_periods_end_with_the_present_step() -> None:
    assert PERIODS["24h"].starts(NOW)[-1] == int(NOW) // HOUR * HOUR
    days = PERIODS["7d"].starts(NOW)
    assert (len(days), days[-1] - days[0]) == (7, 6 * DAY)
    assert days[-1] % DAY == 0


def test_a_plot_has_a_column_for_each_step_and_its_error_part() -> None:
    today = PERIODS["7d"].starts(NOW)[-1]
    by_step = {today: Counts(4, 1, None, None, latency(c0=4))}
    plot = requests_plot(PERIODS["7d"], by_step, NOW)
    assert len(plot.columns) == 7
    assert plot.columns[-1].text == "26 Nov: succeeded 3, errors 1"
    assert plot.summary == "4, 1 error"
    assert latency_plot(PERIODS["7d"], by_step, NOW).rows[0] == ("20 Nov", *["\N{EN DASH}"] * 2)


def test_shares_are_of_the_whole() -> None:
    row = table_row("m", "", Counts(1, 0), Counts(4, 0))
    assert (row["share"], row["input_tokens"]) == (0.25, "\N{EN DASH}")
    assert table_row("m", "", Counts(), Counts())["share"] == 0
