"""Twenty kinds of slip that people make in a configuration file, each a function of the shipped text.

A slip says which lines a person would have to look at, and which word was meant where there is one.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from engine.config.diagnostics.diagnostic import Span
from engine.config.schema.wrong_words import WRONG_WORDS
from engine.config.source.document import Document, Path, parse_document

LETTERS = "abcdefghijklmnopqrstuvwxyz_"
NAMES = {"endpoints", "providers", "credentials", "variables", "headers", "query", "body"}
ENUMS = {"body", "errors", "method", "client", "error"}


@dataclass(frozen=True)
class Slip:
    """A broken text. `lines` are those the first finding may stand on; `meant` the word intended."""

    text: str
    lines: frozenset[int]
    meant: str | None = None


@dataclass(frozen=True)
class Source:
    """One of the shipped files and what is known of it."""

    file: str
    text: str
    document: Document

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    def at(self, span: Span) -> str:
        line = self.lines[span.start.line - 1]
        return line[span.start.column - 1 : span.end.column - 1]

    def put(self, span: Span, new: str) -> str:
        lines = self.lines
        line = lines[span.start.line - 1]
        lines[span.start.line - 1] = (
            line[: span.start.column - 1] + new + line[span.end.column - 1 :]
        )
        return "\n".join(lines)

    def own_keys(self) -> list[Path]:
        """The paths whose last step is a key of the language, not a name of the operator's."""
        return [path for path, entry in self.document.entries.items() if entry.key and is_key(path)]

    def scalars(self) -> list[Path]:
        """The paths of one-line values."""
        branches = {path[:-1] for path in self.document.entries if path}
        return [p for p in self.document.entries if p not in branches and p]

    def code_lines(self) -> list[int]:
        """Indexes of lines that hold more than a comment."""
        return [i for i, line in enumerate(self.lines) if line.strip() and line.strip()[0] != "#"]


def source(file: str, text: str) -> Source:
    document, _ = parse_document(file, text.encode())
    assert document is not None
    return Source(file, text, document)


def is_key(path: Path) -> bool:
    if not isinstance(path[-1], str):
        return False
    parents = [step for step in path[:-1] if isinstance(step, str)]
    if path[0] == "providers" and len(path) == 2:
        return False
    return not (parents and parents[-1] in NAMES and not (len(path) > 2 and path[-2] == path[1]))


def typo(word: str, random: Random) -> str:
    """`word` with one letter lost, doubled, swapped, replaced or added."""
    while True:
        i = random.randrange(len(word))
        new = random.choice(
            [
                word[:i] + word[i + 1 :],
                word[:i] + word[i] + word[i:],
                word[:i] + word[i : i + 2][::-1] + word[i + 2 :],
                word[:i] + random.choice(LETTERS) + word[i + 1 :],
                word[:i] + random.choice(LETTERS) + word[i:],
            ]
        )
        if new != word and re.fullmatch(r"[a-z][a-z0-9_-]*", new):
            return new


def only(*lines: int) -> frozenset[int]:
    return frozenset(lines)


def head(src: Source, path: Path) -> int:
    return src.document.entry(path).head.start.line


def misspelt_key(src: Source, random: Random) -> Slip | None:
    path = random.choice([p for p in src.own_keys() if len(str(p[-1])) > 2])
    span = src.document.entries[path].head
    return Slip(src.put(span, typo(str(path[-1]), random)), only(span.start.line), str(path[-1]))


def respelt_key(src: Source, random: Random) -> Slip | None:
    path = random.choice([p for p in src.own_keys() if len(str(p[-1])) > 2])
    word = str(path[-1])
    camel = re.sub(r"_([a-z])", lambda m: m[1].upper(), word)
    new = random.choice(
        [camel, word.upper(), word.capitalize(), word.replace("_", "-"), word + "s"]
    )
    span = src.document.entries[path].head
    return Slip(src.put(span, new), only(span.start.line), word) if new != word else None


def wrong_word(src: Source, random: Random) -> Slip | None:
    words = {
        right: [w for w, r in WRONG_WORDS.items() if r == right] for right in WRONG_WORDS.values()
    }
    fitting = [p for p in src.own_keys() if p[-1] in words and not wanders(p)]
    path = random.choice(fitting)
    span = src.document.entries[path].head
    new = random.choice(words[str(path[-1])])
    siblings = {p[-1] for p in src.document.entries if p and p[:-1] == path[:-1]}
    return (
        None if new in siblings else Slip(src.put(span, new), only(span.start.line), str(path[-1]))
    )


def wanders(path: Path) -> bool:
    """`model` is a key in several places, and the wrong words for it fit only model rules."""
    return "tests" in path


def misspelt_provider(src: Source, random: Random) -> Slip | None:
    return misspelt_value(src, random, lambda p: p[-1] == "provider" and p[0] == "models")


def misspelt_endpoint(src: Source, random: Random) -> Slip | None:
    if src.file == "providers.yaml":
        keys = [p for p in src.document.entries if len(p) == 4 and p[2] == "endpoints"]
        path = random.choice(keys)
        span = src.document.entries[path].head
        word = str(path[-1])
        return Slip(src.put(span, typo(word, random)), only(span.start.line), word)
    return misspelt_value(src, random, lambda p: p[0] in ("models", "tests") and "endpoint" in p)


def misspelt_choice(src: Source, random: Random) -> Slip | None:
    def chosen(path: Path) -> bool:
        return path[-1] in ENUMS or (
            len(path) > 1 and path[-2] == "body" and path[0] == "endpoints"
        )

    return misspelt_value(src, random, chosen)


def misspelt_value(src: Source, random: Random, fits: Callable[[Path], bool]) -> Slip | None:
    paths = [p for p in src.scalars() if fits(p)]
    if not paths:
        return None
    span = src.document.entries[random.choice(paths)].value
    word = src.at(span)
    if not re.fullmatch(r"[a-z][a-z0-9_]{2,}", word):
        return None
    return Slip(src.put(span, typo(word, random)), only(span.start.line), word)


def misspelt_in_template(src: Source, random: Random) -> Slip | None:
    hits = [
        (i, m)
        for i, line in enumerate(src.lines)
        for m in re.finditer(r"\{\{ (credentials|variables)\.(\w+) ", line)
    ]
    if not hits:
        return None
    index, match = random.choice(hits)
    group = random.choice((1, 2))
    lines = src.lines
    line = lines[index]
    lines[index] = (
        line[: match.start(group)] + typo(match[group], random) + line[match.end(group) :]
    )
    return Slip("\n".join(lines), only(index + 1), match[group])


def wrong_indent(src: Source, random: Random) -> Slip | None:
    lines = src.lines
    index = random.choice(src.code_lines())
    by = random.choice((-2, -1, 1, 2))
    indent = len(lines[index]) - len(lines[index].lstrip())
    if indent + by < 0:
        return None
    lines[index] = " " * (indent + by) + lines[index].lstrip()
    return Slip("\n".join(lines), only(index + 1))


def tab(src: Source, random: Random) -> Slip | None:
    lines = src.lines
    index = random.choice(src.code_lines())
    indent = len(lines[index]) - len(lines[index].lstrip())
    if not indent:
        return None
    lines[index] = "\t" * max(1, indent // random.choice((2, 4, 8))) + lines[index].lstrip()
    return Slip("\n".join(lines), only(index + 1))


def without(src: Source, random: Random, pattern: str) -> Slip | None:
    """One match of `pattern` (its group 1) left out of some line."""
    lines = src.lines
    hits = [(i, m) for i in src.code_lines() for m in re.finditer(pattern, bare(lines[i]))]
    if not hits:
        return None
    index, match = random.choice(hits)
    lines[index] = lines[index][: match.start(1)] + lines[index][match.end(1) :]
    return Slip("\n".join(lines), only(index + 1))


def bare(line: str) -> str:
    """The line without its comment."""
    return re.sub(r"(^|\s)#.*", "", line)


def missing_colon(src: Source, random: Random) -> Slip | None:
    return without(src, random, r"^\s*(?:- )?[a-z_-]+(:)(?: |$)")


def missing_space(src: Source, random: Random) -> Slip | None:
    return without(src, random, r"[a-z_]:( )(?![{|])")


def missing_comma(src: Source, random: Random) -> Slip | None:
    return without(src, random, r"[\w\"}\]](,) ")


def missing_bracket(src: Source, random: Random) -> Slip | None:
    return without(src, random, r"((?<!\{)\{(?!\{)|(?<!\})\}(?!\})|[\[\]])")


def missing_quote(src: Source, random: Random) -> Slip | None:
    return without(src, random, r"(\")")


def swapped_quote(src: Source, random: Random) -> Slip | None:
    hits = [i for i in src.code_lines() if '"' in bare(src.lines[i])]
    index = random.choice(hits)
    lines = src.lines
    places = [m.start() for m in re.finditer('"', bare(lines[index]))]
    at = random.choice(places)
    lines[index] = lines[index][:at] + "'" + lines[index][at + 1 :]
    return Slip("\n".join(lines), only(index + 1))


def duplicate_line(src: Source, random: Random) -> Slip | None:
    lines = src.lines
    index = random.choice([i for i in src.code_lines() if re.match(r"\s*(- )?[{\w]", lines[i])])
    lines.insert(index + 1, lines[index])
    return Slip("\n".join(lines), only(index + 1, index + 2))


def moved_line(src: Source, random: Random) -> Slip | None:
    lines = src.lines
    start = random.choice(src.code_lines())
    end = random.choice(src.code_lines())
    if abs(start - end) < 2:
        return None
    line = lines.pop(start)
    lines.insert(end, line)
    left = start + 1 if start < end else start + 2
    return Slip("\n".join(lines), only(end + 1, left, left - 1, *heads(src, start)))


def heads(src: Source, index: int) -> Iterable[int]:
    """The heads of the entries that line `index` belonged to."""
    indent = len(src.lines[index]) - len(src.lines[index].lstrip())
    for above in range(index - 1, -1, -1):
        line = src.lines[above]
        if line.strip() and not line.strip().startswith("#"):
            depth = len(line) - len(line.lstrip())
            if depth < indent:
                yield above + 1
                return
    yield from range(
        1, src.code_lines()[0] + 3
    )  # the root has no line: its first key stands for it


def deleted_line(src: Source, random: Random) -> Slip | None:
    lines = src.lines
    index = random.choice(
        [
            i
            for i in src.code_lines()
            if re.match(r"\s*(path|base_url|reason|version|endpoints|api_key):", lines[i])
        ]
    )
    around = heads(src, index)
    del lines[index]
    return Slip("\n".join(lines), only(index, index + 1, *around))


def wrong_type(src: Source, random: Random) -> Slip | None:
    path = random.choice(src.scalars())
    span = src.document.entries[path].value
    if span.end.line != span.start.line:
        return None
    new = random.choice(["[1, 2]", "{a: b}", "12", "true", "null", "1.5"])
    return Slip(src.put(span, new), only(span.start.line))


def dropped_unit(src: Source, random: Random) -> Slip | None:
    return without(src, random, r": [0-9]+(s|m|h|MiB|KiB)\b")


def cut_short(src: Source, random: Random) -> Slip | None:
    at = random.randrange(len(src.text) // 4, len(src.text))
    text = src.text[:at]
    last = text.count("\n") + 1
    return Slip(text, only(last, last - 1))


SLIPS: dict[str, Callable[[Source, Random], Slip | None]] = {
    "a key misspelt": misspelt_key,
    "a key in another case or number": respelt_key,
    "another tool's word for a key": wrong_word,
    "a provider misspelt": misspelt_provider,
    "an endpoint misspelt": misspelt_endpoint,
    "a choice misspelt": misspelt_choice,
    "a name in a template misspelt": misspelt_in_template,
    "wrong indent": wrong_indent,
    "tab": tab,
    "missing colon": missing_colon,
    "missing space": missing_space,
    "missing comma": missing_comma,
    "missing bracket": missing_bracket,
    "missing quote": missing_quote,
    "swapped quote": swapped_quote,
    "duplicate line": duplicate_line,
    "moved line": moved_line,
    "deleted line": deleted_line,
    "wrong type": wrong_type,
    "unit left out": dropped_unit,
    "cut short": cut_short,
}  # fmt: skip
