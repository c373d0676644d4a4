"""One finding for a text that is not YAML: where the mistake is, what it is, and its fix."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from engine.config.diagnostics.diagnostic import (
    Applicability,
    Diagnostic,
    Fix,
    Position,
    Related,
    Span,
)
from engine.config.source.masking import mask_lines
from engine.config.source.reading import (
    QUOTE,
    TEMPLATE,
    SyntaxFinding,
    explain_syntax,
    with_spaces,
)
from engine.config.source.repairs import Repair, never_closed, open_bracket
from engine.config.source.syntax import find_marker, find_repair


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a YAML reader stopped, where what it read began, all from 0, and its own message."""

    line: int
    column: int
    opened_line: int
    opened_column: int
    problem: str


ErrorLine = Callable[[str], int | None]


def explain(file: str, lines: tuple[str, ...], stopped: Stop, error_line: ErrorLine) -> Diagnostic:
    """The finding; `error_line` gives the line at which reading a text stops, None for its end."""
    if (marker := find_marker(lines)) is not None:
        start, end = Position(marker + 1, 1), Position(marker + 1, 8)
        words = "a merge left both sides here; keep one and delete the three marker lines"
        return Diagnostic("Y001", words, Span(file, start, end))
    odd = _odd_spaces(file, lines, stopped.line, error_line)
    if odd is not None:
        return odd
    repair = find_repair(lines, stopped.line, stopped.opened_line, error_line)
    if repair is not None:
        return _repaired(file, lines, repair)
    if (bracket := open_bracket(lines)) is not None and bracket[0] <= stopped.line:
        line, column, sign = bracket
        return Diagnostic("Y001", never_closed(sign), _stretch(file, line, (column, column + 1)))
    if lines[-1] and stopped.line >= len(lines) - 1:
        words = "the file stops in the middle of something; it may be cut short"
        return Diagnostic("Y001", words, last_line(file, lines))
    return _finding(
        file, lines, explain_syntax(lines, stopped.line, stopped.column, stopped.problem), stopped
    )


def bad_key(span: Span, *, is_mapping: bool) -> Diagnostic:
    """The finding for a key that is no string; a mapping is a template without quotes."""
    if is_mapping:
        return Diagnostic("Y005", TEMPLATE, span, help=QUOTE)
    return Diagnostic("Y005", "a key must be a string", span, help="quote the key")


def _finding(file: str, lines: tuple[str, ...], what: SyntaxFinding, opened: Stop) -> Diagnostic:
    related: tuple[Related, ...] = ()
    if opened.opened_line != what.line and what.text is None:
        related = (
            Related(
                _stretch(
                    file, opened.opened_line, (opened.opened_column, opened.opened_column + 1)
                ),
                "reading from here",
            ),
        )
    fix = None
    if what.text is not None:
        place = _stretch(file, what.line, what.put)
        fix = _without_secrets(lines, Fix(place, what.text, Applicability.SAFE))
    shown = _stretch(file, what.line, what.shown)
    return Diagnostic("Y001", what.words, shown, help=what.fix_hint, related=related, fix=fix)


def _without_secrets(lines: Sequence[str], fix: Fix) -> Fix | None:
    """The fix, unless its text may hold a secret, where it would stand."""
    (first, left), (last, right) = fix.span.start, fix.span.end
    before = lines[first - 1][: left - 1]
    made = f"{before}{fix.text}{lines[last - 1][right - 1 :]}"
    shown = "\n".join(mask_lines(tuple(made.split("\n"))))
    return fix if shown.startswith(fix.text, len(before)) else None


def _odd_spaces(
    file: str, lines: tuple[str, ...], stopped: int, error_line: ErrorLine
) -> Diagnostic | None:
    """One finding for all tabs, and all that only looks like a space, where YAML requires spaces."""
    made = next(_readable(lines, error_line), tuple(map(with_spaces, lines)))
    odd = [n for n, line in enumerate(lines) if line != made[n]]
    if not odd:
        return None
    first, last = odd[0], odd[-1]
    reached = error_line("\n".join(made))
    if stopped not in odd and reached is not None and reached <= stopped:
        return None  # it is legal where it is
    pairs = zip(lines[first], made[first], strict=False)
    at = next(n for n, (old, new) in enumerate(pairs) if old != new)
    is_tab = lines[first][at] == "\t"
    what = "a tab" if is_tab else "a character that only looks like a space"
    fix = None
    if reached is None:
        whole = Span(file, Position(first + 1, 1), Position(last + 1, len(lines[last]) + 1))
        # How wide a tab is matters only where other lines are indented by spaces.
        spaced = any(re.match(" +[^ #]", line) for line in lines)
        sure = Applicability.SAFE if is_tab and not spaced else Applicability.UNSAFE
        fix = _without_secrets(lines, Fix(whole, "\n".join(made[first : last + 1]), sure))
    where = "here" if lines[first][:at].strip(" -") else "in the indentation"
    words = f"{what} is {where}; YAML requires spaces"
    fix_hint = "" if fix else "indent the line by as many spaces as the lines it belongs to"
    return Diagnostic("Y001", words, _stretch(file, first, (at, at + 1)), help=fix_hint, fix=fix)


def _readable(lines: tuple[str, ...], error_line: ErrorLine) -> Iterator[tuple[str, ...]]:
    """The lines with their tabs as spaces, in each width with which the text can be read."""
    for width in (2, 4, 8) if any("\t" in line for line in lines) else ():
        made = tuple(with_spaces(line, width) for line in lines)
        if made != lines and error_line("\n".join(made)) is None:
            yield made


def _stretch(file: str, line: int, columns: tuple[int, int]) -> Span:
    """A part of one line, all from 0, as a Span."""
    start, end = columns
    return Span(file, Position(line + 1, start + 1), Position(line + 1, end + 1))


def _repaired(file: str, lines: Sequence[str], repair: Repair) -> Diagnostic:
    place = _stretch(file, repair.line, (repair.start, repair.end))
    fix = _without_secrets(lines, Fix(place, repair.text))
    shown = _stretch(file, repair.line, repair.shown)
    return Diagnostic("Y001", repair.words, shown, help=repair.fix_hint, fix=fix)


def last_line(file: str, lines: tuple[str, ...]) -> Span:
    """The last character of a text that has no line end behind it."""
    line = Position(len(lines), len(lines[-1]))
    return Span(file, line, Position(line.line, line.column + 1))
