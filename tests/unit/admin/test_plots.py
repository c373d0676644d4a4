"""The geometry of plots: what is drawn where, and that the table says the same."""

from engine.admin import formats
from engine.admin.plots import Axis, PlotTexts, Series, axis_maximum, lines, stacked_bars
from tests.tables import each

TEXTS = PlotTexts("Requests", "7 requests", "Nothing was called.")
AXIS = Axis("Day", ("1 Nov", "2 Nov"), ("1 Nov", "2 Nov"))


@each(("largest", "top"), [(0, 1), (1, 1), (1.5, 2), (7, 8), (10, 10), (11, 20), (2001, 3000)])
def test_the_scale_ends_at_a_round_number(largest: float, top: float) -> None:
    assert axis_maximum(largest) == top


def test_parts_of_a_bar_stand_on_each_other() -> None:
    series = [Series("succeeded", "fill-1", (3, 0)), Series("errors", "fill-bad", (1, 0))]
    plot = stacked_bars(TEXTS, AXIS, series, formats.format_count)
    below, above = plot.rects
    assert (below.y + below.height, above.y + above.height) == (100, below.y)
    assert (below.height, above.height) == (75, 25)
    assert plot.y_ticks == ("0", "2", "4")


def test_the_table_and_the_readout_have_every_figure() -> None:
    series = [Series("succeeded", "fill-1", (3, 0)), Series("errors", "fill-bad", (1, 0))]
    plot = stacked_bars(TEXTS, AXIS, series, formats.format_count)
    assert plot.header == ("Day", "succeeded", "errors")
    assert plot.rows == [("1 Nov", "3", "1"), ("2 Nov", "0", "0")]
    assert [column.text for column in plot.columns] == [
        "1 Nov: succeeded 3, errors 1",
        "2 Nov: succeeded 0, errors 0",
    ]


def test_a_line_has_a_gap_where_nothing_was_measured() -> None:
    axis = Axis("Day", tuple("abcd"), tuple("abcd"))
    plot = lines(
        TEXTS,
        axis,
        [Series("p50", "stroke-1", (1, None, 2, 2), "–")],
        formats.duration,
        formats.duration,
    )
    assert plot.lines[0].path == "M62.5 50h125M625 0L875 0"
    assert plot.rows[1] == ("b", "–")


def test_nothing_at_all_is_empty() -> None:
    assert lines(TEXTS, AXIS, [Series("p50", "stroke-1", (None, None))], str, str).is_empty
    assert stacked_bars(TEXTS, AXIS, [Series("x", "fill-1", (0, 0))], str).is_empty


def test_a_small_value_has_a_scale_of_its_own_and_no_middle() -> None:
    plot = stacked_bars(TEXTS, AXIS, [Series("x", "fill-1", (1, 0))], formats.format_count)
    assert plot.y_ticks == ("0", "", "1")
