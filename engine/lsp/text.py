"""A text as an editor holds it: with its edits applied, and positions converted between its counting and ours.

An editor counts lines from 0, ended by LF, CRLF or CR, and columns in the code units agreed on
(LSP 3.17, Position). We count both from 1, lines as YAML ends them, columns in code points. An
offset into the text, in code points, is where the two meet.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from engine.config.diagnostics.diagnostic import LINE_END, Position

_EDITOR_LINE_END = re.compile("\r\n|\n|\r")
_UNIT = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}
BOM = "\ufeff"

Point = tuple[int, int]
"""An editor's place: line from 0, column in code units from 0."""


@dataclass(frozen=True, slots=True)
class Text:
    """`source` with the starts of its lines, as the editor and as YAML counts them."""

    source: str
    encoding: str = "utf-16"
    _lines: tuple[int, ...] = field(init=False, repr=False)
    _yaml_lines: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lines", _starts(_EDITOR_LINE_END, self.source))
        object.__setattr__(self, "_yaml_lines", _starts(LINE_END, self.source))

    @property
    def raw(self) -> bytes:
        """The text as a file would hold it; half a surrogate pair makes it invalid UTF-8."""
        return self.source.encode("utf-8", "surrogatepass")

    def offset(self, point: Point) -> int:
        """The offset of an editor's place; a place after the end of its line or of the text is that end."""
        line, column = point
        if line >= len(self._lines):
            return len(self.source)
        start, end = self._line(line)
        for offset in range(start, end):
            column -= self._units(self.source[offset])
            if column < 0:
                return offset
        return end

    def point(self, offset: int) -> Point:
        """The editor's place of an offset."""
        line = bisect_right(self._lines, offset) - 1
        return line, self._units(self.source[self._lines[line] : offset])

    def offset_of(self, position: Position) -> int:
        """The offset of one of our places."""
        if position.line > len(self._yaml_lines):
            return len(self.source)
        mark = self.source.startswith(BOM) and position.line == 1
        offset = self._yaml_lines[position.line - 1] + position.column - 1 + mark
        return min(offset, len(self.source))

    def position(self, offset: int) -> Position:
        """One of our places for an offset."""
        line = bisect_right(self._yaml_lines, offset) - 1
        mark = self.source.startswith(BOM) and line == 0
        return Position(line + 1, max(1, offset - self._yaml_lines[line] + 1 - mark))

    def line_around(self, offset: int) -> tuple[int, int]:
        """Where the line of `offset` starts, and where it ends without its line end."""
        return self._line(bisect_right(self._lines, offset) - 1)

    def edited(self, start: Point, end: Point, replacement: str) -> "Text":
        """The text with a range of it replaced."""
        first, last = self.offset(start), self.offset(end)
        source = self.source[:first] + replacement + self.source[max(first, last) :]
        return Text(source, self.encoding)

    def _line(self, line: int) -> tuple[int, int]:
        start = self._lines[line]
        if line + 1 == len(self._lines):
            return start, len(self.source)
        end = self._lines[line + 1] - 1
        return start, end - (self.source[end] == "\n" and self.source[start:end].endswith("\r"))

    def _units(self, text: str) -> int:
        codec, width = _UNIT[self.encoding]
        return len(text) if text.isascii() else len(text.encode(codec, "surrogatepass")) // width


def _starts(line_end: re.Pattern[str], source: str) -> tuple[int, ...]:
    return (0, *(match.end() for match in line_end.finditer(source)))
