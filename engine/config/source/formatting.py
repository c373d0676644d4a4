"""One layout for configuration files, reached by changing spaces and empty lines alone.

Values, quotes, comments and the line of each stay as they are. The layout: two columns a
level, list items two columns inside their key, one space after `:`, `-` and `,`, none inside
brackets, two before a comment, at most one empty line.

A result that another reader could read differently is never returned: its meaning is compared with
that of the original.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from engine.config.source.tokens import Token, meaning, scan

INDENT = 2
_LINE = re.compile("([^\n\r\x85\u2028\u2029]*)(\r\n|[\n\r\x85\u2028\u2029]|$)")
_OPENERS = {"FlowMappingStart", "FlowSequenceStart"}
_CLOSERS = {"FlowMappingEnd", "FlowSequenceEnd"}
_STRUCTURE = {"StreamStart", "StreamEnd", "BlockMappingStart", "BlockSequenceStart", "BlockEnd"}
_KNOWN = {"Scalar", "Key", "Value", "BlockEntry", "FlowEntry", "DocumentStart", "DocumentEnd"}


class FormatError(ValueError):
    """The text cannot be formatted safely; the message says why."""


@dataclass(slots=True)
class _Level:
    """A block collection: its column before and after."""

    old: int
    new: int
    is_list: bool
    is_implied: bool = False


@dataclass(slots=True)
class _Line:
    """A line: its tokens, the text after them, and its new indent (None: not decided)."""

    text: str
    end: str
    tokens: list[Token] = field(default_factory=list)
    indent: int | None = None
    levels: tuple[tuple[int, int], ...] = ()
    shift: int | None = None


def format_text(text: str) -> str:
    """`text`, which `parse_document` accepts, in the one layout.

    Raises:
        FormatError: no layout was found that certainly means the same.
    """
    made = _laid_out(text)
    if meaning(made) != meaning(text) or _without_spaces(made) != _without_spaces(text):
        raise FormatError("its layout is too unusual to be changed safely")
    return made


def _laid_out(text: str) -> str:
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines = [_Line(hit[1], hit[2]) for hit in _LINE.finditer(text.removeprefix(mark))]
    _place(scan(text), lines)
    _place_comments(lines)
    return mark + "".join(_without_spare_lines(lines))


# -- indentation ---------------------------------------------------------------------------------


def _place(tokens: Sequence[Token], lines: list[_Line]) -> None:
    """Give each line its tokens, and each line that begins with a token its indent."""
    levels: list[_Level] = []
    depth = 0
    for token in tokens:
        if token.kind not in _STRUCTURE | _KNOWN | _OPENERS | _CLOSERS:
            raise FormatError("it uses YAML that configuration files do not")
        line = lines[token.start[0]] if token.start[0] < len(lines) else _Line("", "")
        _follow_blocks(token, levels, is_flow=depth > 0)
        depth -= token.kind in _CLOSERS
        if token.start != token.end and token.kind not in _STRUCTURE:
            if not line.tokens and line.indent is None:
                line.indent = _indent_of(token, levels, depth)
            line.levels = tuple((level.old, level.new) for level in levels)
            line.tokens.append(token)
            _keep_inside(token, levels, lines)
        depth += token.kind in _OPENERS


def _follow_blocks(token: Token, levels: list[_Level], *, is_flow: bool) -> None:
    column = token.start[1]
    match token.kind:
        case "BlockMappingStart" | "BlockSequenceStart":
            new = levels[-1].new + INDENT if levels else 0
            levels.append(_Level(column, new, token.kind == "BlockSequenceStart"))
        case "BlockEnd":
            while levels.pop().is_implied:
                pass
        case "BlockEntry" if not levels[-1].is_list:  # a list at the column of its key
            levels.append(_Level(column, levels[-1].new + INDENT, is_list=True, is_implied=True))
        case "Key" if not is_flow and levels and levels[-1].is_implied:
            levels.pop()


def _indent_of(token: Token, levels: Sequence[_Level], depth: int) -> int:
    if not levels:
        return INDENT * depth
    if depth:
        return levels[-1].new + INDENT * depth
    starts_entry = token.kind in {"BlockEntry", "Key"} or token.start[1] == levels[-1].old
    return levels[-1].new if starts_entry or token.kind in _CLOSERS else levels[-1].new + INDENT


def _keep_inside(token: Token, levels: Sequence[_Level], lines: list[_Line]) -> None:
    """The lines of a scalar that has several move with the block they are in."""
    shift = levels[-1].new - levels[-1].old if levels else 0
    last = token.end[0] if token.end[1] else token.end[0] - 1
    for line in lines[token.start[0] + 1 : last + 1]:
        line.shift = shift


def _place_comments(lines: list[_Line]) -> None:
    """A comment of its own stays with the block whose column it has: first the one that follows."""
    below: tuple[tuple[int, int], ...] = ((0, 0),)
    above: tuple[tuple[int, int], ...] = ()
    following: list[tuple[tuple[int, int], ...]] = []
    for line in reversed(lines):
        following.append(below)
        if line.tokens and line.indent is not None:
            below = ((_column(line.text), line.indent),)
    for line, after in zip(lines, reversed(following), strict=True):
        if line.tokens:
            above = line.levels
        elif line.text.strip() and line.shift is None:
            line.indent = _nearest(_column(line.text), (*after, *reversed(above)))


def _nearest(column: int, places: Sequence[tuple[int, int]]) -> int:
    for old, new in places:
        if old == column:
            return new
    inside = [place for place in places if place[0] < column]
    if inside and max(inside)[0] < column < places[0][0] == max(places)[0]:
        return places[0][1]  # before the first line of a block that is further in
    return max(inside)[1] if inside else 0


def _column(text: str) -> int:
    return len(text) - len(text.lstrip(" \t"))


# -- lines ---------------------------------------------------------------------------------------


def _without_spare_lines(lines: Sequence[_Line]) -> Iterator[str]:
    ending = next((line.end for line in lines if line.end), "\n")
    written = [(_written(line), line) for line in lines]
    while written and not written[-1][0]:
        written.pop()
    was_empty = True
    for text, line in written:
        if text or line.shift is not None or not was_empty:
            yield text + (line.end or ending)
        was_empty = not text and line.shift is None


def _written(line: _Line) -> str:
    if line.shift is not None:
        return _shifted(line)
    if not line.tokens:
        return " " * (line.indent or 0) + line.text.strip() if line.text.strip() else ""
    return " " * (line.indent or 0) + _spaced(line, line.tokens)


def _shifted(line: _Line) -> str:
    """A line inside a scalar; after its end, more tokens may follow."""
    shift = line.shift or 0
    column = _column(line.text)
    return " " * max(0, column + shift) + line.text[column:] if line.text and shift else line.text


def _spaced(line: _Line, tokens: Sequence[Token]) -> str:
    words = []
    before = None
    at = 0
    for token in tokens:
        is_whole = token.end[0] == token.start[0]
        end = token.end[1] if is_whole else len(line.text)
        words.append(_gap(before, token) + line.text[token.start[1] : end])
        before, at = token, end
    rest = line.text[at:].strip()
    text = "".join(words).rstrip(" \t") if at >= len(line.text) else "".join(words)
    return f"{text}  {rest}" if rest else text


def _gap(before: Token | None, token: Token) -> str:
    if before is None:
        return ""
    if token.kind in _CLOSERS | {"FlowEntry"}:
        return " " if before.kind == "Value" else ""
    return "" if token.kind == "Value" or before.kind in _OPENERS else " "


def _without_spaces(text: str) -> list[str]:
    """Each line that is not empty, without its spaces."""
    lines = ("".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line]
