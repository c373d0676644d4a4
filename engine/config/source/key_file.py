"""Adds an entry to the text of keys.yaml, or removes one; every other character stays as it is.

The list may be absent, `[]`, or entries after `- `, indented or not; what is in brackets is left to its writer.
Places come from the tokens of YAML. The result is read again, and refused when it is not what was intended.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.config.diagnostics.diagnostic import LINE_END, Diagnostic
from engine.config.source.document import Data, Document, parse_document
from engine.config.source.tokens import Token, scan

FILE = "keys.yaml"
_MARK = "\ufeff"
_ENDS = {"BlockEnd", "DocumentEnd", "StreamEnd"}
_NOT_HERE = f"{FILE} is written in a way that cannot be changed here"
_IN_BRACKETS = f"{FILE} or its list of keys is in brackets or braces; write each key on a line of its own, after `- `"
Fields = Mapping[str, str | Sequence[str]]


class NotEditableError(Exception):
    """The text cannot take the change; the message says why, `found` has its findings."""

    def __init__(self, words: str, found: Sequence[Diagnostic] = ()) -> None:
        super().__init__(words)
        self.found = found


def entry_lines(fields: Fields, indent: int = 2) -> list[str]:
    """An entry of the list as lines of YAML."""
    lines = [f"{name}: {_value(name, value)}" for name, value in fields.items()]
    return [" " * indent + ("  " if n else "- ") + line for n, line in enumerate(lines)]


def _value(name: str, value: str | Sequence[str]) -> str:
    plain = name in ("sha256", "expires") and isinstance(value, str)
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def with_entry(text: str, fields: Fields) -> str:
    """`text` with one more entry.

    Raises:
        NotEditableError: it is not YAML, or no list of keys, or has the name already.
    """
    mark, bare = _unmarked(text)
    document, found = parse_document(FILE, bare.encode())
    if [d.code for d in found] == ["Y007"]:
        eol = _line_end(bare)
        start = bare + ("" if not bare or bare[-1] in "\r\n" else eol)
        return mark + start + eol.join(["version: 1", "keys:", *entry_lines(fields), ""])
    data = _mapping(document, found)
    entries = data.get("keys") or []
    if not isinstance(entries, list):
        raise NotEditableError(f"`keys:` in {FILE} is not a list")
    if fields["name"] in _names(entries):
        raise NotEditableError(f"the name `{fields['name']}` is taken in {FILE}")
    new = _added(_Text(bare), "keys" in data, len(entries), fields)
    wanted = data | {"keys": [*entries, {k: v if isinstance(v, str) else list(v) for k, v in fields.items()}]}  # fmt: skip
    return mark + _proved(new, wanted)


def without_entry(text: str, name: str) -> str:
    """`text` without the entries called `name`; comments beside and above them stay.

    Raises:
        NotEditableError: it is not YAML, or has no such entry.
    """
    mark, bare = _unmarked(text)
    data = _mapping(*parse_document(FILE, bare.encode()))
    entries = data.get("keys")
    if not isinstance(entries, list) or name not in _names(entries):
        raise NotEditableError(f"{FILE} has no key `{name}`")
    while name in _names(entries):
        index = _names(entries).index(name)
        bare = _removed(_Text(bare), index, len(entries))
        entries = [*entries[:index], *entries[index + 1 :]]
    return mark + _proved(bare, data | {"keys": entries})


def _unmarked(text: str) -> tuple[str, str]:
    mark = _MARK if text.startswith(_MARK) else ""
    return mark, text.removeprefix(mark)


def _mapping(document: Document | None, found: Sequence[Diagnostic]) -> dict[str, Data]:
    if document is None or any(d.code == "Y002" for d in found):
        raise NotEditableError(f"{FILE} cannot be read", found)
    if not isinstance(document.data, dict):
        raise NotEditableError(f"{FILE} is not a mapping with `version:` and `keys:`")
    return document.data


def _names(entries: Sequence[Data]) -> list[Data]:
    return [entry.get("name") if isinstance(entry, dict) else None for entry in entries]


def _proved(text: str, wanted: Data) -> str:
    """`text`, when it has the intended entries: the last guard against a wrong edit."""
    document, _ = parse_document(FILE, text.encode())
    if document is None or document.data != wanted:
        raise NotEditableError(_NOT_HERE)
    return text


def _line_end(text: str) -> str:
    found = re.search("\r\n|\n|\r", text)
    return found[0] if found else "\n"


@dataclass(frozen=True, slots=True)
class _Span:
    """One entry of the list: its first and last token, by their numbers."""

    first: int
    last: int


class _Text:
    """A text with its tokens, and where the list under the first level's `keys` stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.eol = _line_end(text)
        self.starts = [0, *(hit.end() for hit in LINE_END.finditer(text))]
        self.tokens = scan(text)
        _refuse_if(any(token.kind == "FlowMappingStart" for token in self.tokens[1:3]))

    def offset(self, place: tuple[int, int]) -> int:
        return self.starts[place[0]] + place[1]

    def slice(self, token: Token) -> str:
        return self.text[self.offset(token.start) : self.offset(token.end)]

    def value(self) -> int:
        """The number of the `Value` token after `keys`, which is a key of the outermost mapping."""
        depth = 0
        for at, token in enumerate(self.tokens):
            depth += token.kind.endswith(("MappingStart", "SequenceStart"))
            depth -= token.kind in ("BlockEnd", "FlowMappingEnd", "FlowSequenceEnd")
            is_key = token.kind == "Key" and self.slice(self.tokens[at + 1]).strip("\"'") == "keys"
            if depth == 1 and is_key:
                return at + 2
        raise NotEditableError(_NOT_HERE)

    def items(self, value: int) -> list[_Span]:
        """The entries of the list that begins after the token `value`."""
        start = value + 1
        _refuse_if(self.tokens[start].kind == "FlowSequenceStart")
        bare = self.tokens[start].kind == "BlockEntry"  # a list that is not indented
        spans: list[_Span] = []
        depth, first = (1 if bare else 0), start + 1
        for at in range(start, len(self.tokens)):
            kind = self.tokens[at].kind
            closes = kind in ("BlockEnd", "FlowMappingEnd", "FlowSequenceEnd")
            ends = depth == 1 and (closes or (bare and kind == "Key"))
            if (ends or (depth == 1 and kind == "BlockEntry")) and at > first:
                spans.append(_Span(first, at - 1))
            if ends:
                break
            if depth == 1 and kind == "BlockEntry":
                first = at + 1
            depth += kind.endswith(("MappingStart", "SequenceStart")) - closes
        return spans

    def last_line(self, token: int) -> int:
        """The line on which the text of the tokens up to `token` ends."""
        while self.tokens[token].kind in _ENDS:
            token -= 1
        line, column = self.tokens[token].end
        return line - (column == 0 and line > self.tokens[token].start[0])

    def insert_after(self, line: int, lines: Sequence[str]) -> str:
        """The text with `lines` after `line`."""
        more = self.eol.join(lines) + self.eol
        if line + 1 >= len(self.starts):
            return self.text + self.eol + more
        at = self.starts[line + 1]
        return self.text[:at] + more + self.text[at:]

    def put(self, start: int, end: int, text: str) -> "_Text":
        return _Text(self.text[:start] + text + self.text[end:])


def _added(text: _Text, is_there: bool, count: int, fields: Fields) -> str:  # noqa: FBT001
    """The text with the entry after the last one, as the list is written."""
    if not is_there:
        last = text.last_line(len(text.tokens) - 1)
        return text.insert_after(last, ["keys:", *entry_lines(fields)])
    value = text.value()
    if not count:
        key, first = text.tokens[value], text.tokens[value + 1]
        end = {"FlowSequenceStart": value + 2, "Scalar": value + 1}.get(first.kind)  # `[]`, `null`
        if end is not None:
            _refuse_if(text.tokens[end].end[0] != key.end[0])  # a comment may be inside
            at = text.offset(text.tokens[end].end)
            blank = " " if text.text.startswith("#", at) else ""  # `[]# comment`
            text = text.put(text.offset(key.end), at, blank)
        return text.insert_after(key.start[0], entry_lines(fields))
    items = text.items(value)
    dash = text.tokens[items[-1].first - 1].start[1]
    line = _with_comments(text, text.last_line(items[-1].last), dash)
    return text.insert_after(line, entry_lines(fields, dash))


def _refuse_if(is_in_brackets: bool) -> None:  # noqa: FBT001
    if is_in_brackets:
        raise NotEditableError(_IN_BRACKETS)


def _with_comments(text: _Text, line: int, dash: int) -> int:
    """The line of the last comment that is indented into the entry that ends at `line`."""
    lines = LINE_END.split(text.text)
    while line + 1 < len(lines) and re.match(f" {{{dash + 1},}}#", lines[line + 1]):
        line += 1
    return line


def _removed(text: _Text, index: int, count: int) -> str:
    """The text without the entry of that number; a list that would be empty is written `[]`."""
    value = text.value()
    item = text.items(value)[index]
    first, last = text.tokens[item.first - 1].start[0], text.last_line(item.last)
    end = text.starts[last + 1] if last + 1 < len(text.starts) else len(text.text)
    text = text.put(text.starts[first], end, "") if count > 1 else _emptied(text, value, first, end)
    return text.text


def _emptied(text: _Text, value: int, first: int, end: int) -> _Text:
    at = text.offset(text.tokens[value].end)
    return _Text(text.text[:at] + " []" + text.text[at : text.starts[first]] + text.text[end:])
