"""Text to plain data plus the place of every key and value. With `tokens` and `scalars`, all that knows YAML.

YAML is read by the 1.2 core schema: only `true`/`false`, `null`/`~`/empty and decimal numbers are
not strings, so a date such as 2023-06-01 stays a string and `on` stays a word. Anchors, aliases,
merge keys and tags are refused. Size, depth and count of events are bounded before anything is
composed: the C composer overflows its stack on deep input.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from engine.config.diagnostics.diagnostic import LINE_END, Diagnostic, Fix, Position, Related, Span
from engine.config.source.masking import mask_lines
from engine.config.source.quotes import odd_quote
from engine.config.source.scalars import core_value, reads_differently
from engine.config.source.tokens import LOADER, position
from engine.config.source.unreadable import Stop, bad_key, explain

Path = tuple[str | int, ...]
Data = dict[str, "Data"] | list["Data"] | str | int | float | bool | None

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_EVENTS = 200_000

_FORBIDDEN = re.compile("[^\t\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_STEPS = {
    yaml.MappingStartEvent: 1,
    yaml.SequenceStartEvent: 1,
    yaml.MappingEndEvent: -1,
    yaml.SequenceEndEvent: -1,
}


class Entry(NamedTuple):
    """The places of a key (None for a list item and the root) and of its value.

    `value` of a block collection is the place of its key or first line, never the whole block.
    """

    key: Span | None
    value: Span

    @property
    def head(self) -> Span:
        return self.key or self.value


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One configuration file: its lines for excerpts, its data, and the place of each entry.

    `inherited` has the entries of providers that extend another, where these are not their own: the
    path at which each is written. Their places in `entries` are those.
    """

    file: str
    lines: tuple[str, ...]
    data: Data
    entries: dict[Path, Entry]
    inherited: Mapping[Path, Path] = field(default_factory=dict)

    def entry(self, path: Path) -> Entry:
        """The entry at `path`, or the nearest one around it."""
        while path not in self.entries:
            path = path[:-1]
        return self.entries[path]

    def source_of(self, path: Path) -> Path | None:
        """Where the entry at `path`, or the one around it, is written, if it is inherited."""
        for end in range(len(path) if self.inherited else 0, 2, -1):
            if path[:end] in self.entries:
                source = self.inherited.get(path[:end])
                return None if source is None else source + path[end:]
        return None

    def written(self) -> Iterator[tuple[Path, Entry]]:
        """The entries at the paths where they are written."""
        return ((path, e) for path, e in self.entries.items() if path not in self.inherited)

    def value(self, path: Path) -> Data:
        """The data at `path`, which exists."""
        value: Any = self.data
        for step in path:
            value = value[step]
        return value  # type: ignore[no-any-return]


@dataclass(slots=True)
class _Walk:
    file: str
    entries: dict[Path, Entry] = field(default_factory=dict)
    found: list[Diagnostic] = field(default_factory=list)


def parse_document(file: str, raw: bytes) -> tuple[Document | None, list[Diagnostic]]:
    """Read `raw` as one YAML document; without a Document when it cannot be trusted at all."""
    whole = Span(file, Position(1, 1), Position(1, 1))
    text = _decode(file, raw)
    if isinstance(text, Diagnostic):
        return None, [text]
    lines = tuple(LINE_END.split(text))
    try:
        found = _preflight(file, text)
        node = yaml.compose(text, Loader=LOADER) if not found else None
    except yaml.MarkedYAMLError as error:
        return None, [_syntax_error(file, lines, error)]
    except yaml.YAMLError as error:  # the reader's: NUL and other characters YAML forbids
        return None, [Diagnostic("Y001", _reader_problem(error), _forbidden(file, lines))]
    if found:
        return None, found
    if node is None:
        return None, [
            Diagnostic("Y007", f"`{file}` is empty", whole, help="start with `version: 1`")
        ]
    walk = _Walk(file)
    data = _build(walk, node, ())
    return Document(file, lines, data, walk.entries), walk.found


def unread_document(file: str, raw: bytes) -> Document | None:
    """What can be shown of a text that is no document: lines without secrets, and no data."""
    text = _decode(file, raw)
    if isinstance(text, Diagnostic):
        return None
    start = Position(1, 1)
    lines = mask_lines(tuple(LINE_END.split(text)))
    return Document(file, lines, None, {(): Entry(None, Span(file, start, start))})


def _decode(file: str, raw: bytes) -> str | Diagnostic:
    if len(raw) > MAX_BYTES:
        place = Span(file, Position(1, 1), Position(1, 1))
        return Diagnostic("F003", f"`{file}` is larger than 1 MiB", place)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = Position(raw.count(b"\n", 0, error.start) + 1, 1)
        return Diagnostic("F002", f"`{file}` is not UTF-8 text", Span(file, line, line))


def _preflight(file: str, text: str) -> list[Diagnostic]:
    """Bounds and refused features, on the event stream, which needs no stack."""
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=LOADER)):
        is_plain = isinstance(event, yaml.ScalarEvent) and event.anchor is event.tag is None
        if is_plain and count <= MAX_EVENTS:
            continue
        depth += _STEPS.get(type(event), 0)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if problem := _refused(event, count, depth, documents):
            code, message, hint = problem
            return [Diagnostic(code, message, _mark_span(file, event.start_mark), help=hint)]
    return []


def _refused(  # noqa: PLR0911 one line a refusal
    event: yaml.Event, count: int, depth: int, documents: int
) -> tuple[str, str, str] | None:
    """Why reading stops at `event`: code, message, fix."""
    plain = "write the value out where it is used"
    if count > MAX_EVENTS:
        return "Y006", "too many entries", "split the file or shorten it"
    if depth > MAX_DEPTH:
        return "Y006", f"nested deeper than {MAX_DEPTH} levels", "flatten it"
    if documents > 1:
        return "Y008", "a second document starts here", "keep one document in a file"
    if isinstance(event, yaml.AliasEvent):
        return "Y003", "aliases are not supported", f"{plain}; quote a value that begins with `*`"
    if getattr(event, "anchor", None) is not None:
        return "Y003", "anchors are not supported", f"{plain}; quote a value that begins with `&`"
    if getattr(event, "tag", None) not in (None, "!"):
        return "Y003", "tags are not supported", "remove the tag; quote the value to keep a string"
    return None


def _build(walk: _Walk, node: yaml.Node, path: Path, key: Span | None = None) -> Data:
    walk.entries[path] = Entry(key, _node_span(walk.file, node, key))
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(walk, node, path)
    if isinstance(node, yaml.SequenceNode):
        return [_build(walk, item, (*path, i)) for i, item in enumerate(node.value)]
    return _build_scalar(walk, node)  # composing yields nothing else


def _build_mapping(walk: _Walk, node: yaml.MappingNode, path: Path) -> Data:
    data: dict[str, Data] = {}
    for key_node, value_node in node.value:
        span = _node_span(walk.file, key_node, None)
        name = _key_name(walk, key_node, span)
        if name is None:
            continue
        if name in data:
            first = Related(walk.entries[(*path, name)].head, "first written here")
            is_in_list = isinstance(path[-1] if path else None, int)
            begins_another = is_in_list and name == next(iter(data))
            hint = "begin another entry with `-`, or " if begins_another else ""
            words = f"key `{name}` is written twice in the same mapping"
            at, hint = (*path, name), hint + "keep one of them"
            walk.found.append(Diagnostic("Y002", words, span, "", hint, at, (first,)))
            if begins_another:
                break  # what follows belongs to it
            continue
        data[name] = _build(walk, value_node, (*path, name), span)
    return data


def _key_name(walk: _Walk, node: yaml.Node, span: Span) -> str | None:
    if not isinstance(node, yaml.ScalarNode) or not isinstance(core_value(node), str):
        walk.found.append(bad_key(span, is_mapping=isinstance(node, yaml.MappingNode)))
        return None
    if node.value == "<<" and not node.style:
        walk.found.append(
            Diagnostic("Y003", "merge keys are not supported", span, help="write the keys out")
        )
        return None
    _report_ambiguous(walk, node, node.value)
    return str(node.value)


def _build_scalar(walk: _Walk, node: Any) -> Data:
    value = core_value(node)
    _report_ambiguous(walk, node, value)
    return value


def _report_ambiguous(walk: _Walk, node: Any, value: Data) -> None:
    """Report a plain scalar that is probably not what its writer intended."""
    if not node.style and reads_differently(node.value, value):
        span = _node_span(walk.file, node, None)
        words = "this unquoted value means different things to different YAML readers"
        label, fix_hint = "read here as a string", "put it in quotes"
        walk.found.append(Diagnostic("Y004", words, span, label, fix_hint))
    odd = None if node.style else odd_quote(node.value)
    if odd is not None:
        span = _node_span(walk.file, node, None)
        fix = Fix(Span(span.file, span.start, span.start), odd.missing) if odd.missing else None
        walk.found.append(Diagnostic(odd.code, odd.words, span, help=odd.fix_hint, fix=fix))


def _node_span(file: str, node: yaml.Node, key: Span | None) -> Span:
    start = position(node.start_mark)
    if isinstance(node, yaml.ScalarNode):
        if node.style in ("|", ">") or node.end_mark.line != node.start_mark.line:
            return Span(file, start, Position(start.line, start.column + 1))
        end = position(node.end_mark)
        return Span(file, start, end if end > start else Position(start.line, start.column + 1))
    if (
        isinstance(node, yaml.CollectionNode)
        and node.flow_style
        and node.end_mark.line == node.start_mark.line
    ):
        return Span(file, start, position(node.end_mark))
    if key is not None:
        return key
    if isinstance(node, yaml.MappingNode) and node.value:
        return _node_span(file, node.value[0][0], None)
    return Span(file, start, Position(start.line, start.column + 1))


def _mark_span(file: str, mark: Any) -> Span:
    start = position(mark) if mark else Position(1, 1)
    return Span(file, start, Position(start.line, start.column + 1))


def _syntax_error(file: str, lines: tuple[str, ...], error: yaml.MarkedYAMLError) -> Diagnostic:
    stopped: Any = error.problem_mark or error.context_mark
    opened: Any = error.context_mark or stopped
    where = Stop(stopped.line, stopped.column, opened.line, opened.column, error.problem or "")
    return explain(file, lines, where, _error_line)


def _error_line(text: str) -> int | None:
    try:
        for _ in yaml.parse(text, Loader=LOADER):
            pass
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        return int(mark.line)
    return None


def _forbidden(file: str, lines: tuple[str, ...]) -> Span:
    """The place of the first character that YAML does not allow."""
    for number, line in enumerate(lines, 1):
        if hit := _FORBIDDEN.search(line):
            return Span(file, Position(number, hit.start() + 1), Position(number, hit.end() + 1))
    return Span(file, Position(1, 1), Position(1, 1))


def _reader_problem(error: yaml.YAMLError) -> str:
    character = getattr(error, "character", None)
    if isinstance(character, int):
        return f"the character U+{character:04X} is not allowed in YAML"
    return "the file has characters that YAML does not allow"
