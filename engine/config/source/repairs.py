"""Fixes of one line each, for common typos in YAML."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.config.source.quotes import CURLY
from engine.config.source.reading import bullet, foreign_comment

NEAR = 12
STEP = 2
_KEY = r"^\s*(?:- +)?[\w.$-]+"
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


def has_tab(line: str) -> bool:
    """Whether a tab, or what looks like a space, is in the indentation."""
    return line[: _indent(line)].strip(" ") != ""


def tabs(index: int, lines: list[str]) -> Iterator[Repair]:
    line = lines[index]
    indent = _indent(line)
    odd = line[:indent].lstrip(" ")
    if not odd:
        return
    what = "a tab" if odd[0] == "\t" else "a character that only looks like a space"
    words = f"{what} is in the indentation; YAML requires spaces"
    at = line.index(odd[0])
    for width in dict.fromkeys(_indents_around(lines, index)):
        yield Repair(index, 0, indent, " " * width, words, (at, at + 1))


def signs(index: int, line: str) -> Iterator[Repair]:
    """A line that begins as an entry does in a text, as a comment does in another language, or as the end of a document."""
    if span := bullet(line):
        words = "a list entry begins with `-`; this is another character"
        yield Repair(index, *span, "-", words, span)
    if span := foreign_comment(line):
        yield Repair(index, *span, "#", "a comment begins with `#`", span)
    if line.rstrip() == "...":
        words = "`...` ends the document, so nothing may follow it"
        yield Repair(index, 0, len(line), "", words, (0, 3), "remove it")


def typeset(index: int, line: str) -> Iterator[Repair]:
    """A line with signs that only look like those of YAML, from the first one to its end."""
    end = _scan(line).end
    at = next((at for at, c in enumerate(line[:end]) if c in _TYPESET), None)
    if at is None:
        return
    sign = _TYPESET[line[at]]
    code = re.sub("\uff1a(?! )", ": ", line[at:end])
    text = "".join(_TYPESET.get(c, c) for c in code).rstrip()
    words = f"this character only looks like `{sign}`"
    yield Repair(index, at, end, text, words, (at, at + 1), f"write `{sign}` instead")


def odd_blanks(index: int, line: str) -> Iterator[Repair]:
    """A line with blanks behind its indentation that only look like spaces, such as no-break spaces."""
    code = line[: _scan(line).end]
    rest = line[len(code) :]
    end = len(code) + len(rest) - len(rest.lstrip())
    hit = re.search(r"(?<=\S)[^\S \t]", line[:end])
    if hit is None:
        return
    text = re.sub(r"[^\S \t]", " ", line[hit.start() : end])
    words = "a character that only looks like a space is here; YAML requires spaces"
    yield Repair(index, hit.start(), end, text if line[end:] else text.rstrip(), words, hit.span())


def quotes(index: int, line: str) -> Iterator[Repair]:
    """A line that leaves a quote open: close it, or make its two quotes the same."""
    scan = _scan(line)
    if scan.quote is None:
        return
    mark = line[scan.quote]
    other = "'" if mark == '"' else '"'
    shown = (scan.quote, scan.quote + 1)
    for at in range(len(line) - 1, scan.quote, -1):
        if line[at] == other:
            words = f"a value starts with {mark} and ends with {other}"
            yield Repair(index, at, at + 1, mark, words, shown)
            yield Repair(index, scan.quote, scan.quote + 1, other, words, shown)
    words = f"the {mark} that starts here is never closed"
    ends = {len(line.rstrip())}
    ends |= {m.start() for m in re.finditer(r"[\s}\],]+(?:#.*)?$|, |\s+#", line)}
    ends |= {m.end() for m in re.finditer(r"\}\}", line)}
    for end in sorted(end for end in ends if end > scan.quote + 1):
        yield Repair(index, end, end, mark, words, shown)
    words = f"a {mark} too many"
    yield Repair(index, scan.quote, scan.quote + 1, "", words, shown)


def brackets(index: int, line: str) -> Iterator[Repair]:
    """A line with a bracket that has no partner in it."""
    scan = _scan(line)
    for at, bracket in scan.brackets:
        shown = (at, at + 1)
        if bracket in _OPEN:
            mate = _OPEN[bracket]
            words = f"the `{bracket}` that starts here is never closed with `{mate}`"
            ends = {scan.end, *(m.end() for m in re.finditer(r"[\w\"'*/}\]](?=[,}\]])", line))}
            for end in sorted(ends, reverse=True):
                if end > at:
                    yield Repair(index, end, end, mate, words, shown)
        else:
            mate = _CLOSE[bracket]
            words = f"this `{bracket}` has no `{mate}` before it"
            for match in re.finditer(r"(?:^\s*-|:) +", line[:at]):
                yield Repair(index, match.end(), match.end(), mate, words, shown)
        yield Repair(index, at, at + 1, "", f"a `{bracket}` too many", shown)


def dashes(index: int, lines: list[str]) -> Iterator[Repair]:
    """A line that would begin an entry of the list around it if its dash, or the space behind, were there."""
    line = lines[index]
    indent, shown = _indent(line), (_indent(line), _scan(line).end)
    if re.match(r" *-[\w{\[\"']", line):
        words = "a space is missing after this `-`"
        yield Repair(index, indent + 1, indent + 1, " ", words, (indent, indent + 1))
        return
    around = lines[max(0, index - NEAR) : index + NEAR]
    items = [hit for other in around if (hit := re.match(r"( *)- +(\{|[\w.$-]+:)", other))]
    for width in dict.fromkeys(len(hit[1]) for hit in items):
        begins = {hit[2] for hit in items if len(hit[1]) == width}
        starts = any(line[indent:].startswith(word) for word in begins)
        if starts and indent in (width, width + STEP):
            words = "the `-` that begins this entry is missing"
            yield Repair(index, 0, indent, " " * width + "- ", words, shown)


def colons(index: int, line: str) -> Iterator[Repair]:
    """A line that would be `key: value` if the colon or the space behind it were there."""
    if hit := re.match(_KEY + r"( *= *)(?=[^\s=]|$)", line):
        words = "a key and its value are separated by `: `, not `=`"
        text = ": " if line[hit.end() :] else ":"
        yield Repair(index, *hit.span(1), text, words, hit.span(1))
    if hit := re.match(_KEY + r"(?=[ \t]+[^\s:#]|\s*(?:\s#.*)?$)", line):
        end = hit.end()
        start = end - len(re.sub(r"^\s*(?:- +)?", "", hit[0]))
        word = line[start:end]
        words = f"a `:` is missing after `{word}`" if _is_word(word) else "a `:` is missing here"
        yield Repair(index, end, end, ":", words, (start, end))
    if hit := re.match(_KEY + r":(?=[^\s:])", line):
        yield Repair(
            index, hit.end(), hit.end(), " ", "a space is missing after this `:`",
            (hit.end() - 1, hit.end()),
        )  # fmt: skip


def _is_word(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z_]{0,30}", text) is not None


def commas(index: int, line: str) -> Iterator[Repair]:
    """Two entries in braces with only a blank between them."""
    for hit in re.finditer(r"(?<=[\w\"'}\]/*-])(?= +[\w-]+: )", line):
        shown = (hit.start() - 1, hit.start())
        if line[: hit.start()].strip(" -"):  # else it is the dash of an entry
            yield Repair(index, hit.start(), hit.start(), ",", "a `,` is missing after this", shown)
    for hit in re.finditer(r"(?<=[\w\"'}\]/*-]) *;(?= *[\w-]+: )", line):
        words = "entries in braces are separated by `,`"
        yield Repair(index, hit.end() - 1, hit.end(), ",", words, (hit.end() - 1, hit.end()))


def indents(lines: list[str], code: list[int], stopped: int) -> Iterator[Repair]:
    """A line that would fit its neighbours with another indentation, the odd ones first."""
    after = [i for i in range(stopped + 1, len(lines)) if bare(lines[i])][:1]
    near = [*code[-3:][::-1], *after]
    odd = [i for i in [*near, *code[-NEAR:-3][::-1]] if _is_odd(lines, i)]
    for index in dict.fromkeys([*odd, *near]):
        line = lines[index]
        indent = _indent(line)
        words = "this line is indented unlike the ones it belongs to"
        for width in dict.fromkeys(_indents_around(lines, index)):
            if width != indent:
                yield Repair(
                    index, 0, indent, " " * width, words, (indent, len(line[: _scan(line).end]))
                )


def _is_odd(lines: list[str], index: int) -> bool:
    """Whether a line is indented as nothing should be: by halves, or by a leap to what it belongs to."""
    line = lines[index]
    above = next((lines[i] for i in range(index - 1, -1, -1) if bare(lines[i])), "")
    below = next((lines[i] for i in range(index + 1, len(lines)) if bare(lines[i])), "")
    indent = _indent(line)
    owns, is_owned = bare(line).endswith(":"), bare(above).endswith(":")
    is_item = line.lstrip().startswith("-")
    return (
        indent % STEP == 1
        or (owns and _indent(below) > indent + STEP)
        or (is_owned and indent > _indent(above) + STEP)
        or (is_owned and indent <= _indent(above) and not is_item)
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _indents_around(lines: list[str], index: int) -> Iterator[int]:
    """The indentations that a line could have had: those of its neighbours and one step deeper."""
    around = [i for i in range(index - 1, -1, -1) if bare(lines[i])][:12]
    above = lines[around[0]] if around else ""
    indent = _indent(above)
    if bare(above).endswith(":"):
        yield indent + 2
    yield indent
    below = next((lines[i] for i in range(index + 1, len(lines)) if bare(lines[i])), None)
    if below is not None:
        yield len(below) - len(below.lstrip())
    for i in around:
        yield _indent(lines[i])
    yield indent + 2
    yield indent + 4
