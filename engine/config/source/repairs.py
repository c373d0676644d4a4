"""Common mistakes in one line of YAML, and what is written instead. `syntax` finds out which one was made.

Most are a row of `TYPOS`. Quotes, brackets and indentation need more than a pattern.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from engine.config.source.quotes import CURLY

INDENT = 2
MAX_NEAR = 12  # lines in which the indentation of one is looked at
NO_SPACE = "a space is missing after this `-`"
_KEY = re.compile(r"[\w.$-]+:(?: |$)")
_OPEN = {"{": "}", "[": "]"}
_CLOSE = {"}": "{", "]": "["}
# What an input method for Chinese or Japanese, or a word processor, writes in place of the signs of YAML.
_TYPESET = {chr(ord(sign) + 0xFEE0): sign for sign in ":,{}[]#-'\""} | dict.fromkeys(CURLY, '"')


@dataclass(frozen=True, slots=True)
class Repair:
    """Replace columns `start` to `end` of a line (all from 0) by `text`; `shown` is to be underlined."""

    line: int
    start: int
    end: int
    text: str
    words: str
    shown: tuple[int, int]
    fix_hint: str = ""

    def apply(self, lines: Sequence[str]) -> list[str]:
        """The lines with the repair made."""
        old = lines[self.line]
        new = old[: self.start] + self.text + old[self.end :]
        return [*lines[: self.line], new, *lines[self.line + 1 :]]


class Typo(NamedTuple):
    """A mistake in the code of a line: `pattern` matches, and its group `at` should be `text`.

    The group `shown`, or else `at`, is underlined; a `{}` in `words` is the underlined text.
    """

    pattern: str
    text: str | Callable[[str], str]
    words: str
    fix_hint: str = ""


def _in_ascii(text: str) -> str:
    spaced = re.sub("\uff1a(?! )", ": ", text)
    return "".join(_TYPESET.get(c, c) for c in spaced).rstrip()


TYPOS = (
    Typo("^ *(?P<at>[*\u2013\u2014\u2212\u2022\u00b7\u25cf\u2010\u2011])(?= +[\\w{\\[\"'])", "-",
            "a list entry begins with `-`; this is another character"),
    Typo(r"^ *(?P<at>//+)", "#", "a comment begins with `#`"),
    Typo(r"^(?P<at>\.\.\.)$", "", "`...` ends the document, so nothing may follow it", "remove it"),
    *(Typo(f"^[^{re.escape(''.join(_TYPESET))}]*(?P<at>(?P<shown>{wide}).*)", _in_ascii,
              f"this character only looks like `{sign}`", f"write `{sign}` instead")
      for wide, sign in _TYPESET.items()),
    Typo(r"^ *(?P<shown>-)(?P<at>)[\w{\[\"']", " ", NO_SPACE),
    Typo(r"^ *(?:- +)?[\w.$-]+(?P<at> *= *)[^\s=]", ": ", "a key and its value are separated by `: `, not `=`"),
    Typo(r"^ *(?:- +)?[\w.$-]+(?P<at> *=)$", ":", "a key and its value are separated by `: `, not `=`"),
    Typo(r"^ *(?:- +)?(?P<shown>[a-z][a-z_]{0,30})(?P<at>)(?: +[^\s:=]|$)", ":", "a `:` is missing after `{}`"),
    Typo(r"^ *(?:- +)?(?P<shown>\w{1,60}[A-Z0-9.-][\w.-]*)(?P<at>)(?: +[^\s:=]|$)", ":", "a `:` is missing here"),
    Typo(r"^ *(?:- +)?[\w.$-]+(?P<shown>:)(?P<at>)[^\s:]", " ", "a space is missing after this `:`"),
    Typo(r"\S *(?P<shown>[\w\"'}\]/*-])(?P<at>) +[\w-]+: ", ",", "a `,` is missing after this"),
)  # fmt: skip


def typos(index: int, line: str) -> Iterator[Repair]:
    """Every mistake of `TYPOS` that a line may have."""
    code = line[: _scan(line).end]
    for typo in TYPOS:
        for hit in re.finditer(typo.pattern, code):
            text = typo.text if isinstance(typo.text, str) else typo.text(hit["at"])
            shown = hit.span("shown" if "shown" in hit.groupdict() else "at")
            words = typo.words.replace("{}", code[slice(*shown)])
            # What stays as it is, a secret perhaps, is no part of the repair.
            ends = zip(reversed(hit["at"]), reversed(text), strict=False)
            same = len(list(takewhile(lambda pair: pair[0] == pair[1], ends)))
            start, end = hit.span("at")
            put = text[: len(text) - same]
            yield Repair(index, start, end - same, put, words, shown, typo.fix_hint)


def bare(line: str) -> str:
    """The line without its comment and the blanks around it."""
    return line[: _scan(line).end].strip()


@dataclass(slots=True)
class _Scan:
    """One line read for itself: where its code ends, and what it leaves open."""

    end: int = 0
    quote: int | None = None
    brackets: tuple[tuple[int, str], ...] = ()


def _scan(line: str) -> _Scan:
    quote: int | None = None
    stack: list[tuple[int, str]] = []
    end = len(line)
    for at, c in enumerate(line):
        if quote is not None:
            if c == line[quote] and not (c == '"' and line[at - 1] == "\\"):
                quote = None
        elif c in "\"'" and (at == 0 or line[at - 1] in " \t{[,:"):
            quote = at
        elif c == "#" and (at == 0 or line[at - 1] in " \t"):
            end = at
            break
        elif c in _OPEN:
            stack.append((at, c))
        elif c in _CLOSE:
            if stack and stack[-1][1] == _CLOSE[c]:
                stack.pop()
            else:
                stack.append((at, c))
    return _Scan(len(line[:end].rstrip()), quote, tuple(stack))


def quotes(index: int, line: str) -> Iterator[Repair]:
    """A line that leaves a quote open: it ends with the other kind, or is not closed."""
    at = _scan(line).quote
    if at is None:
        return
    mark = line[at]
    other = "'" if mark == '"' else '"'
    shown = (at, at + 1)
    before_comment = re.split(r"(?<!\s)\s+#", line[at:], maxsplit=1)[0]
    for part in dict.fromkeys((before_comment, line[at:])):
        for hit in re.finditer(other, part):
            words = f"a value starts with {mark} and ends with {other}"
            yield Repair(index, at + hit.start(), at + hit.end(), mark, words, shown)
        for end in _ends(line[:at] + part, at + 1):
            yield Repair(index, end, end, mark, never_closed(mark), shown)


def brackets(index: int, line: str) -> Iterator[Repair]:
    """A line with a bracket that has no partner in it."""
    scan = _scan(line)
    for at, bracket in scan.brackets:
        shown = (at, at + 1)
        if bracket in _OPEN:
            mate = _OPEN[bracket]
            words = never_closed(bracket)
            for end in _ends(line[: scan.end], at + 1):
                yield Repair(index, end, end, mate, words, shown)
        else:
            mate = _CLOSE[bracket]
            words = f"this `{bracket}` has no `{mate}` before it"
            for hit in re.finditer(r"(?:^\s*-|:) +", line[:at]):
                yield Repair(index, hit.end(), hit.end(), mate, words, shown)
            yield Repair(index, at, at + 1, "", f"a `{bracket}` too many", shown)


def open_bracket(lines: Sequence[str]) -> tuple[int, int, str] | None:
    """The last bracket that is open where the text ends: its line and column, from 0, and the bracket."""
    stack: list[tuple[int, int, str]] = []
    for index, line in enumerate(lines):
        for at, bracket in _scan(line).brackets:
            if bracket in _OPEN and re.search(r"(?:^|[:,\[{]|(?:^| )-) *$", line[:at]):
                stack.append((index, at, bracket))
            elif stack and stack[-1][2] == _CLOSE.get(bracket):
                stack.pop()
    return stack[-1] if stack else None


def never_closed(mark: str) -> str:
    """What is said of a bracket or a quote that stays open."""
    return (
        f"the {mark} that starts here is never closed"
        if mark not in _OPEN
        else f"the `{mark}` that starts here is never closed with `{_OPEN[mark]}`"
    )


def _ends(line: str, start: int) -> list[int]:
    """Where what begins before `start` may end: at the end of the line, inside the brackets there, before a comma, after a template."""
    ends = [
        len(line.rstrip()),
        *(hit.start() for hit in re.finditer(r"(?=[ }\],]{0,9}$|, )|(?<=\}\})", line)),
    ]
    return [at for at in dict.fromkeys(ends) if at > start]


def dashes(index: int, lines: list[str]) -> Iterator[Repair]:
    """A line that begins as the entries of the list around it do, or the list itself, without a dash."""
    line, (above, _) = lines[index], _neighbours(lines, index)
    indent = _indent(line)
    for other in lines[max(0, index - MAX_NEAR) : index + MAX_NEAR]:
        hit = re.match(r"( *)- +(\{|[\w.$-]+:)", other)
        step = indent - len(hit[1]) if hit else -1
        is_first = step == INDENT and bare(above).endswith(":") and _KEY.match(line, indent)
        if hit and (is_first or (line.startswith(hit[2], indent) and step in (0, INDENT))):
            words = "the `-` that begins this entry is missing"
            shown = (indent, _scan(line).end)
            yield Repair(index, 0, indent, f"{hit[1]}- ", words, shown)
            return


def indents(lines: list[str], code: list[int], stopped: int) -> Iterator[Repair]:
    """A line that would fit its neighbours with another indentation, the odd ones first."""
    after = [i for i in range(stopped + 1, len(lines)) if bare(lines[i])][:1]
    near = [*code[-3:][::-1], *after]
    odd = [i for i in [*near, *code[-MAX_NEAR:-3][::-1]] if _is_odd(lines, i)]
    for index in dict.fromkeys([*odd, *near]):
        line = lines[index]
        indent = _indent(line)
        words = "this line is indented unlike the ones it belongs to"
        shown = (indent, len(line[: _scan(line).end]))
        for width in dict.fromkeys(_indents_around(lines, index)):
            if width != indent:
                yield Repair(index, 0, indent, " " * width, words, shown)


def _is_odd(lines: list[str], index: int) -> bool:
    """Whether a line is indented by an odd number, or not one step deeper than the key that it belongs to."""
    above, below = _neighbours(lines, index)
    indent = _indent(lines[index])
    leaps = bare(lines[index]).endswith(":") and _indent(below) > indent + INDENT
    steps = (0, INDENT) if bare(lines[index]).startswith("-") else (INDENT,)
    misses = bare(above).endswith(":") and indent - _indent(above) not in steps
    return indent % INDENT == 1 or leaps or misses


def _indents_around(lines: list[str], index: int) -> Iterator[int]:
    """The indentations that a line could have had: those of its neighbours and one step deeper."""
    above, below = _neighbours(lines, index)
    yield _indent(above) + INDENT * bare(above).endswith(":")
    yield from (_indent(above), _indent(below), _indent(above) + INDENT)


def _neighbours(lines: list[str], index: int) -> tuple[str, str]:
    """The next lines with code above and below."""
    above = next((lines[i] for i in range(index - 1, -1, -1) if bare(lines[i])), "")
    below = next((lines[i] for i in range(index + 1, len(lines)) if bare(lines[i])), "")
    return above, below


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
