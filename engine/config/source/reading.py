"""Errors of a YAML reader as people need them: place, cause, advice, and a fix."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

QUOTE = "put the value in quotes"
TEMPLATE = "a value that begins with `{{` must be in quotes"
# The message of libyaml, what it means here, and what to do.
_WORDS = {
    "could not find expected ':'": ("this line is not `key: value`; a `:` with a space is missing", ""),
    "did not find expected key": ("the indentation does not fit, or a quote or comma is missing", ""),
    "mapping values are not allowed": ("a `:` with a space is inside a value", QUOTE),
    "did not find expected ',' or '}'": ("a `,` or `}` is missing", ""),
    "did not find expected ',' or ']'": ("a `,` or `]` is missing", ""),
    "did not find expected '-' indicator": ("a `-` or spaces are missing before this line of a list", ""),
    "found unexpected end of stream": ("a quote or bracket is never closed", ""),
    "did not find expected <document start>": ("a line that begins with `%` must come first", "remove it, or quote it"),
    "block sequence entries are not allowed": ("a list cannot begin on the line of its key", "begin it on the next line, or write `[a, b]`"),
    "mapping keys are not allowed": ("a value cannot begin with `?` and a space", QUOTE),
    "did not find expected comment or line break": ("`|` or `>` begins a block of text on the lines below, so nothing may follow it", QUOTE),
    "did not find expected node content": ("a value or an entry is missing here", "write it, or remove the `,` or bracket"),
    "found character that cannot start any token": ("a reserved character begins a value", QUOTE),
    "did not find expected alphabetic or numeric character": ("a reserved character begins a value", QUOTE),
    "unexpected document indicator": ("`---` or `...` is inside a quoted value", "close the quote before it"),
    "did not find the expected": ("a reserved character begins a value", QUOTE),
    "found incompatible YAML document": ("the version in `%YAML` is not one that can be read", "remove the line"),
    "tag": ("`!` begins a tag, which is not supported here", "put the value in quotes if it begins with `!`"),
}  # fmt: skip
_TAKES = {
    "*": "an alias", "&": "an anchor", "!": "a tag", "%": "a directive", "|": "a block of text",
    ">": "a block of text", "@": "", "`": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SyntaxFinding:
    """A syntax error with our message, at a line and columns from 0; `text` would fix columns `put`."""

    words: str
    line: int
    shown: tuple[int, int]
    fix_hint: str = ""
    put: tuple[int, int] = (0, 0)
    text: str | None = None


def explain_syntax(lines: Sequence[str], line: int, column: int, problem: str) -> SyntaxFinding:
    """What is wrong where a reader stopped; `problem` is its own message."""
    if "document start" in problem:
        line, column = next(((n, 0) for n, t in enumerate(lines) if t[:1] == "%"), (line, column))
    text = lines[line] if line < len(lines) else ""
    found: SyntaxFinding | bool | None = (
        _escape(text, line, column, problem)
        or ("document start" not in problem and _begins(text, line, column))
        or _behind_a_quote(text, line, column, problem)
        or _template(text, line, column)
        or ("mapping values" in problem and _without_braces(text, line))
    )
    if isinstance(found, SyntaxFinding):
        return found
    words, fix_hint = next(
        (said for start, said in _WORDS.items() if start in problem),
        ("this cannot be read as YAML", "look for a quote, bracket or `:` too many or too few"),
    )
    return SyntaxFinding(words, line, (column, column + 1), fix_hint)


def _escape(text: str, line: int, column: int, problem: str) -> SyntaxFinding | None:
    """A backslash in double quotes that begins no escape, such as in a path of Windows."""
    at = text.rfind("\\", 0, column + 1)
    if at < 0 or not ("escape" in problem or "hexdecimal" in problem or "Unicode" in problem):
        return None
    words = "in double quotes a `\\` begins an escape, and this escape does not exist"
    return SyntaxFinding(words, line, (at, at + 2), "use single quotes, or write `\\\\`")


def _template(text: str, line: int, column: int) -> SyntaxFinding | None:
    """A plain value that begins with a template, which YAML reads as a mapping in braces."""
    for hit in re.finditer(r"(?:^|[:,\[-]) *(\{\{[^{}]*\}\}[^,}\]#]*)", text[: column + 1] + "\n"):
        start = hit.start(1)
        return SyntaxFinding(TEMPLATE, line, (start, start + 2), QUOTE)
    return None


def _without_braces(text: str, line: int) -> SyntaxFinding | None:
    """`- a: b, c: d`, an entry of a list on one line."""
    hit = re.match(r" *- ([a-z_]+: *[^,{}\"'#]*(?:, *[a-z_]+: [^,{}\"'#]*)+)", text)
    if hit is None:
        return None
    span = hit.start(1), hit.start(1) + len(hit[1].rstrip())
    return SyntaxFinding(
        "an entry with `,` between its keys must be in braces",
        line,
        span,
        "write { before it and } behind it",
    )


def _begins(text: str, line: int, column: int) -> SyntaxFinding | None:
    """A plain value that begins with a character which YAML reserves."""
    for at in (column, column - 1):
        sign = text[at : at + 1]
        before = text[:at]
        if not sign or sign not in _TAKES or not re.search(r"(?:^|[:,\[{-])[ \t]*$", before):
            continue
        in_braces = before.count("{") + before.count("[") > before.count("}") + before.count("]")
        value = re.match(r"[^,\[\]{}#]*" if in_braces else r"(?:[^ ]| (?!#))*", text[at:])
        end = at + len(value[0].rstrip() if value else "")
        name = "a backtick" if sign == "`" else f"`{sign}`"
        taken = f"reads as {_TAKES[sign]}" if _TAKES[sign] else "reserves"
        words = f"a value cannot begin with {name}, which YAML {taken}"
        inner = text[at:end]
        if "'" in inner or ": " in inner or not inner.strip():
            return SyntaxFinding(words, line, (at, at + 1), QUOTE)
        return SyntaxFinding(words, line, (at, at + 1), QUOTE, (at, end), f"'{inner}'")
    return None


def _behind_a_quote(text: str, line: int, column: int, problem: str) -> SyntaxFinding | None:
    before = text[:column].rstrip()
    if "expected key" not in problem or before[-1:] not in ("'", '"') or not text[column:].strip():
        return None
    mark = before[-1]
    words = f"the value ends with this {mark}, and more text follows"
    twice = "; a ' inside is written twice" if mark == "'" else '; a " inside is written \\"'
    at = len(before) - 1
    return SyntaxFinding(words, line, (at, at + 1), "put all of it into one pair of quotes" + twice)


# Where YAML requires spaces: before the code of a line, and after a `:`; there a tab is allowed.
_BLANKS = re.compile(r"^\s*(?:-\s+)*(?=\S)|(?<=:)[^\S\t]+")


def with_spaces(line: str, width: int = 2) -> str:
    """`line` with spaces for tabs, `width` for each, and for what only looks like a space."""
    tab = " " * width
    return _BLANKS.sub(
        lambda hit: re.sub(r"\s", " ", hit[0].replace("-\t", "- ").replace("\t", tab)), line
    )
