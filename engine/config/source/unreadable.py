"""One finding for a text that is not YAML: where the mistake is, what it is, and its fix."""

from collections.abc import Callable, Sequence
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
    without_tabs,
)
from engine.config.source.repairs import Repair
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
    untabbed = _untabbed(file, lines, error_line)
    if untabbed is not None:
        return untabbed
    repair = find_repair(lines, stopped.line, stopped.opened_line, error_line)
    if repair is not None:
        return _repaired(file, repair)
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
    if what.text is not None and _is_harmless(lines[what.line : what.line + 1]):
        fix = Fix(_stretch(file, what.line, what.put), what.text, Applicability.SAFE)
    shown = _stretch(file, what.line, what.shown)
    return Diagnostic("Y001", what.words, shown, help=what.fix_hint, related=related, fix=fix)


def _is_harmless(lines: Sequence[str]) -> bool:
    """Whether lines may be part of a fix: a secret must not."""
    return mask_lines(tuple(lines)) == tuple(lines)


def _untabbed(file: str, lines: tuple[str, ...], error_line: ErrorLine) -> Diagnostic | None:
    """One finding, with its fix, for a file whose only mistake is indentation by tabs."""
    made = without_tabs(lines)
    if made is None or not _is_harmless(made.lines):
        return None
    last = made.first + len(made.lines) - 1
    text = "\n".join((*lines[: made.first], *made.lines, *lines[last + 1 :]))
    if error_line(text) is not None:
        return None
    at = lines[made.first].index("\t")
    end = Position(last + 1, len(lines[last]) + 1)
    fix = Fix(
        Span(file, Position(made.first + 1, 1), end),
        "\n".join(made.lines),
        Applicability.SAFE if made.is_sure else Applicability.UNSAFE,
    )
    words = "a tab is in the indentation; YAML requires spaces"
    return Diagnostic("Y001", words, _stretch(file, made.first, (at, at + 1)), fix=fix)


def _stretch(file: str, line: int, columns: tuple[int, int]) -> Span:
    """A part of one line, all from 0, as a Span."""
    start, end = columns
    return Span(file, Position(line + 1, start + 1), Position(line + 1, end + 1))


def _repaired(file: str, repair: Repair) -> Diagnostic:
    fix = Fix(_stretch(file, repair.line, (repair.start, repair.end)), repair.text)
    shown = _stretch(file, repair.line, repair.shown)
    return Diagnostic("Y001", repair.words, shown, help=repair.fix_hint, fix=fix)


def last_line(file: str, lines: tuple[str, ...]) -> Span:
    """The last character of a text that has no line end behind it."""
    line = Position(len(lines), len(lines[-1]))
    return Span(file, line, Position(line.line, line.column + 1))
