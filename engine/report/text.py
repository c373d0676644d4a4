"""Findings for a person at a terminal: the line, an underline, and how to fix it."""

import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

from engine.config.diagnostics.diagnostic import Diagnostic, Severity
from engine.config.source.document import Document
from engine.report.excerpt import Excerpt
from engine.report.view import Findings, View, count_by_severity, view_finding

_COLOURS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.NOTE: "36"}
TAB = "    "
DEFAULT_WIDTH = 160  # a line of a file is cut to this where no terminal says how wide it is
MIN_WIDTH, MAX_WIDTH = 30, 400
_SHORT_CODE = re.compile("`[^`]{1,24}`")

Cell = tuple[str, int]


def render_text(
    diagnostics: Sequence[Diagnostic],
    documents: Mapping[str, Document],
    *,
    colour: bool,
    width: int | None = None,
    folder: str = "",
) -> str:
    """All findings with excerpts; "" when there are none.

    `width` is that of the terminal in columns; without one, messages are not wrapped.
    """
    findings = Findings(diagnostics, documents, folder=folder)
    return "\n".join(
        render_finding(view_finding(d, findings), colour=colour, width=width) for d in diagnostics
    )


def summary(diagnostics: Sequence[Diagnostic], files: int, suppressed: int = 0) -> str:
    """The closing line of a run that found something."""
    counts = count_by_severity(diagnostics)
    parts = [_count(counts["errors"], "error"), _count(counts["warnings"], "warning")]
    hidden = f" ({suppressed} suppressed)" if suppressed else ""
    return f"found {', '.join(parts)} in {_count(files, 'file')}{hidden}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def render_finding(found: View, *, colour: bool, width: int | None = None) -> str:
    """One finding of a view, over several lines."""
    width = min(max(width, MIN_WIDTH), MAX_WIDTH) if width else None
    related = found["related"]
    last = max(r["range"]["start"]["line"] for r in (found, *related))
    gutter = len(str(last))
    pad = " " * gutter
    head = f"{found['severity']}[{found['code']}]:"
    lines = _wrapped(f"{head} {found['message']}", "  ", width)
    style = f"1;{_COLOURS[Severity(found['severity'])]}"
    lines[0] = _paint(head[:-1], style, colour) + lines[0][len(head) - 1 :]
    for item, arrow, mark in ((found, "-->", "^"), *((r, ":::", "-") for r in related)):
        excerpt = _excerpt(item, mark, gutter, width)
        label = "" if excerpt else f" {item['label']}"
        lines += [f"{pad}{arrow} {_place(item)}{label}".rstrip(), *excerpt]
    if found["help"]:
        lines += _wrapped(f"{pad} = help: {found['help']}", f"{pad}   ", width)
    return "\n".join(lines) + "\n"


def _place(item: View) -> str:
    start = item["range"]["start"]
    return f"{item['range']['file']}:{start['line']}:{start['column']}"


def _wrapped(text: str, indent: str, width: int | None) -> list[str]:
    if width is None:
        return [text]
    kept = _SHORT_CODE.sub(lambda code: code[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    lines = textwrap.wrap(
        kept, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _excerpt(item: View, mark: str, gutter: int, width: int | None) -> list[str]:
    """The line of an item with its place underlined, cut around it to what fits."""
    line, label = item["excerpt"], item["label"]
    if not line.text:
        return []
    begin, end = item["range"]["start"], item["range"]["end"]
    start = begin["column"] - line.first
    stop = end["column"] - line.first if end["line"] == begin["line"] else len(line.text)
    room = (width or DEFAULT_WIDTH) - gutter - len(" | ")
    shown, before, marked = _window(line, start, max(stop, start + 1), room)
    pad = " " * gutter
    underline = " " * before + mark * marked
    lines = [f"{pad} |", f"{begin['line']:>{gutter}} | {shown}".rstrip()]
    if width is None or before + marked + 1 + len(label) <= room:
        lines.append(f"{pad} | {underline} {label}".rstrip())
    else:
        indent = " " * max(0, min(before, room - len(label)))
        lines.append(f"{pad} | {underline}")
        lines += [f"{pad} | {part}" for part in textwrap.wrap(indent + label, room)]
    return [*lines, f"{pad} |"]


def _window(line: Excerpt, start: int, stop: int, room: int) -> tuple[str, int, int]:
    """At most `room` columns of a line: the text, the columns before the marked part, and its own.

    The marked part has priority, then the text around it, with more of what follows.
    """
    cells = [_cell(c) for c in line.text]
    low, high = 0, len(cells)
    if not line.is_whole or _width(cells) > room:
        left = room - 2  # for an ellipsis on either side
        high = start + _fitting(cells[start:stop], left)
        left -= _width(cells[start:high])
        low = start - _fitting(cells[:start][::-1], left // 2)
        left -= _width(cells[low:start])
        if high == min(stop, len(cells)):
            more = _fitting(cells[high:], left)
            left -= _width(cells[high : high + more])
            high += more
        low -= _fitting(cells[:low][::-1], left)
    text = "".join(text for text, _ in cells[low:high])
    is_cut = low > 0 or line.first > 1
    shown = ("…" if is_cut else "") + text + ("…" if high < len(cells) else "")
    before = _width(cells[low:start]) + is_cut
    return shown, before, max(1, _width(cells[start : min(stop, high)]))


def _fitting(cells: Sequence[Cell], room: int) -> int:
    """How many of the first cells take at most `room` columns."""
    for taken, (_, width) in enumerate(cells):
        room -= width
        if room < 0:
            return taken
    return len(cells)


def _width(cells: Sequence[Cell]) -> int:
    return sum(width for _, width in cells)


@lru_cache(4096)
def _cell(character: str) -> Cell:
    """A character as it is shown, and the columns it takes on a terminal."""
    if character == "\t":
        return TAB, len(TAB)
    if unicodedata.combining(character):
        return character, 0
    return character, 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _paint(text: str, code: str, colour: bool) -> str:  # noqa: FBT001 a private shorthand
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
