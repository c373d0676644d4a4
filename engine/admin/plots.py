"""The geometry of plots: series of numbers -> rectangles and lines that a template writes as SVG.

The drawing is 1000 wide and 100 high and is stretched by the page; text stands beside it as HTML,
so that it stays legible on a phone. Every plot has the same figures as a table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, log10

WIDTH, HEIGHT = 1000.0, 100.0
_GAP = 0.28  # of a column, between two bars
_NICE = (1, 2, 3, 4, 5, 6, 8, 10)

Value = float | None
Format = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Series:
    """One value a column; None where nothing was measured. `kind` is a class of the style sheet."""

    name: str
    kind: str
    values: Sequence[Value]
    missing: str = "none"


@dataclass(frozen=True, slots=True)
class Axis:
    """What stands along the bottom: a name for each column, in full and short."""

    title: str
    names: Sequence[str]
    short: Sequence[str]


@dataclass(frozen=True, slots=True)
class Rect:
    """A bar, or the part of one."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """A path; it has a gap where a value is missing."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Column:
    """The area of one column, and what is read out for it."""

    x: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """All that the template `plot` needs. Ticks go from the bottom up and from left to right."""

    title: str
    summary: str
    empty: str
    is_empty: bool
    rects: Sequence[Rect]
    lines: Sequence[Line]
    columns: Sequence[Column]
    grid: Sequence[float]
    y_ticks: Sequence[str]
    x_ticks: Sequence[str]
    legend: Sequence[tuple[str, str]]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class PlotTexts:
    """What a plot says in words: its title, its figure in one line, and what it says when empty."""

    title: str
    summary: str
    empty: str


def stacked_bars(texts: PlotTexts, axis: Axis, series: Sequence[Series], show: Format) -> Plot:
    """Bars whose parts are `series`, the first at the bottom."""
    sums = [sum(value or 0 for value in values) for values in _by_column(series)]
    top = axis_maximum(max(sums, default=0))
    rects = [
        rect
        for at, values in enumerate(_by_column(series))
        for rect in _bar(at, len(axis.names), series, values, top)
    ]
    return _plot(texts, axis, series, show, show, top, rects, [])


def lines(
    texts: PlotTexts, axis: Axis, series: Sequence[Series], show_tick: Format, show: Format
) -> Plot:
    """One line for each of `series`, broken where a value is missing."""
    known = [value for each in series for value in each.values if value is not None]
    top = axis_maximum(max(known, default=0))
    paths = [Line(each.kind, _path(each.values, top)) for each in reversed(series)]
    return _plot(texts, axis, series, show_tick, show, top, [], paths)


def axis_maximum(largest: float) -> float:
    """The smallest round number that is not below `largest`, and at least 1."""
    if largest <= 1:
        return 1
    power = 10.0 ** floor(log10(largest))
    return next(step * power for step in _NICE if step * power >= largest)


def _plot(  # noqa: PLR0913, PLR0917 what both kinds of plot share
    texts: PlotTexts,
    axis: Axis,
    series: Sequence[Series],
    show_tick: Format,
    show: Format,
    top: float,
    rects: Sequence[Rect],
    paths: Sequence[Line],
) -> Plot:
    width = WIDTH / max(1, len(axis.names))
    rows = [
        (name, *(_shown(each, value, show) for each, value in zip(series, values, strict=True)))
        for name, values in zip(axis.names, _by_column(series), strict=True)
    ]
    columns = [
        Column(_round(at * width), _round(width), _read_out(row, series))
        for at, row in enumerate(rows)
    ]
    legend = [(each.kind, each.name) for each in series] if len(series) > 1 else []
    return Plot(
        texts.title,
        texts.summary,
        texts.empty,
        not any(value for each in series for value in each.values),
        rects,
        paths,
        columns,
        (0.0, HEIGHT / 2, HEIGHT),
        (show_tick(0), show_tick(top / 2) if top > 1 else "", show_tick(top)),
        _ticks(axis.short),
        legend,
        (axis.title, *(each.name for each in series)),
        rows,
    )


def _by_column(series: Sequence[Series]) -> list[tuple[Value, ...]]:
    return list(zip(*(each.values for each in series), strict=True))


def _bar(
    at: int, count: int, series: Sequence[Series], values: Sequence[Value], top: float
) -> list[Rect]:
    width = WIDTH / count
    rects, below = [], 0.0
    for each, value in zip(series, values, strict=True):
        height = (value or 0) / top * HEIGHT
        if height:
            x, y = (at + _GAP / 2) * width, HEIGHT - below - height
            rects.append(Rect(each.kind, *map(_round, (x, y, width * (1 - _GAP), height))))
        below += height
    return rects


def _path(values: Sequence[Value], top: float) -> str:
    """The line through the middle of each column; a value between two gaps becomes a short stroke."""
    width = WIDTH / max(1, len(values))
    steps = []
    for at, value in enumerate(values):
        if value is None:
            continue
        before, after = (values[n] if 0 <= n < len(values) else None for n in (at - 1, at + 1))
        x, y = (at + 0.5) * width, _round(HEIGHT - value / top * HEIGHT)
        if before is None and after is None:
            steps.append(f"M{_round(x - width / 4):g} {y:g}h{_round(width / 2):g}")
        else:
            steps.append(f"{'M' if before is None else 'L'}{_round(x):g} {y:g}")
    return "".join(steps)


def _shown(series: Series, value: Value, show: Format) -> str:
    return series.missing if value is None else show(value)


def _read_out(row: Sequence[str], series: Sequence[Series]) -> str:
    words = [f"{each.name} {value}" for each, value in zip(series, row[1:], strict=True)]
    return f"{row[0]}: {', '.join(words)}"


def _ticks(names: Sequence[str]) -> tuple[str, ...]:
    """The first, the middle and the last name."""
    if len(names) <= 3:
        return tuple(names)
    return names[0], names[len(names) // 2], names[-1]


def _round(value: float) -> float:
    return round(value, 2)
