"""What an editor's requests look up, with the positions of this package: what is here, where it is made and used."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.config.diagnostics.diagnostic import Diagnostic, Position, Span
from engine.config.diagnostics.fixes import choose
from engine.config.source.document import Document, Path
from engine.lsp.cursor import locate
from engine.lsp.folder import Folder
from engine.lsp.hover import describe_key, describe_name, describe_rule
from engine.lsp.names import Occurrence

_WORD = re.compile(r"\w+")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class RefusedError(Exception):
    """A request that cannot be done; the message is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """An entry of a file's outline: `span` is what to select, `end` where all of it ends."""

    name: str
    kind: str
    span: Span
    end: Position
    children: tuple["Symbol", ...]


def occurrence_at(folder: Folder, file: str, offset: int) -> Occurrence | None:
    """The name under the cursor. In a text that is not valid YAML, any name with the same letters."""
    document = folder.readable().get(file)
    if document is not None:
        position = folder.text(file).position(offset)
        return next((m for m in folder.occurrences() if m.covers(file, position)), None)
    text = folder.text(file)
    start, end = text.line_around(offset)
    for word in _WORD.finditer(text.source, start, end):
        if word.start() <= offset <= word.end():
            return next((m for m in folder.occurrences() if m.name.text == word[0]), None)
    return None


def hover(folder: Folder, file: str, offset: int) -> tuple[str, Span | None] | None:
    """Markdown for what is at the cursor, and the span it is about."""
    mention = occurrence_at(folder, file, offset)
    if mention is not None:
        span = mention.span if mention.span.file == file else None
        return describe_name(folder, mention.name), span
    cursor = locate(folder.text(file), offset)
    if cursor is None:
        return None
    words = None
    match cursor.path:
        case ("models", int(index), *_) if file == "routes.yaml" and not cursor.is_key:
            words = describe_rule(folder, index)
        case _:
            words = describe_key(file, cursor.path)
    return (words, None) if words else None


def definitions(folder: Folder, file: str, offset: int) -> list[Span]:
    """Where the name under the cursor is defined."""
    mention = occurrence_at(folder, file, offset)
    if mention is None:
        return []
    return [m.span for m in folder.occurrences() if m.defines and m.name == mention.name]


def references(
    folder: Folder, file: str, offset: int, *, with_definition: bool = True
) -> list[Span]:
    """Every place of the name under the cursor."""
    mention = occurrence_at(folder, file, offset)
    if mention is None:
        return []
    same = [m for m in folder.occurrences() if m.name == mention.name]
    return [m.span for m in same if with_definition or not m.defines]


def renamed(folder: Folder, file: str, offset: int, new: str) -> list[Span]:
    """The places that a new name for what is under the cursor must be written to.

    Raises:
        RefusedError: there is no such name, the new one is taken or no name, or a file is broken.
    """
    mention = occurrence_at(folder, file, offset)
    if mention is None:
        raise RefusedError("there is no name here that could be changed")
    if not _NAME.fullmatch(new):
        raise RefusedError(
            "a name has lower-case letters, digits and `_`, and starts with a letter"
        )
    for other in folder.occurrences():
        if other.defines and (other.name.kind, other.name.scope, other.name.text) == (
            mention.name.kind,
            mention.name.scope,
            new,
        ):
            raise RefusedError(f"there is a {mention.name.kind} called `{new}` already")
    broken = folder.documents.keys() - folder.readable().keys()
    if broken:
        raise RefusedError(f"{', '.join(sorted(broken))} cannot be read as it is; fix it first")
    return references(folder, file, offset)


def fixes(folder: Folder, file: str, start: Position, end: Position) -> list[Diagnostic]:
    """The findings with a fix that touch the range from `start` to `end`."""
    return [
        d
        for d in folder.loaded().diagnostics
        if d.fix is not None and d.span.file == file and d.span.start <= end and start <= d.span.end
    ]


def safe_fixes(folder: Folder, file: str) -> list[Diagnostic]:
    """The findings of a file whose fix can be applied without review, without two that overlap."""
    return choose(folder.loaded().diagnostics, {file}, unsafe=False)


def symbols(folder: Folder, file: str) -> list[Symbol]:
    """The outline of a file: its sections, and the entries of each."""
    folder.loaded()
    document = folder.documents.get(file)
    if document is None or not isinstance(document.data, dict):
        return []
    ends = _ends(document)
    return [
        _symbol(
            document, (section,), section, "section", ends, tuple(_entries(document, section, ends))
        )
        for section in document.data
    ]


def _entries(document: Document, section: str, ends: dict[Path, Position]) -> Iterator[Symbol]:
    value = document.data[section] if isinstance(document.data, dict) else None
    match value:
        case dict():
            for name in value:
                yield _symbol(document, (section, name), name, "named", ends)
        case list():
            for index, item in enumerate(value):
                title = _title(item) or f"{section} {index + 1}"
                yield _symbol(document, (section, index), title, "item", ends)
        case _:
            pass


def _title(item: object) -> str:
    """A line for an entry of a list: a rule, a test, a key, a group of paths."""
    match item:
        case {"prefix": str(pattern), **rest}:
            return f"{pattern}*" + _target(rest)
        case {"endpoint": str(endpoint), "model": str(model), "expect": dict()}:
            return f"{endpoint} {model}"
        case {"model": str(pattern), **rest}:
            return pattern + _target(rest)
        case {"name": str(name)}:
            return name
        case {"paths": [str(path), *_]}:
            return path
    return ""


def _target(rule: Mapping[Any, object]) -> str:
    targets = rule.get("targets")
    chosen = [rule, *(targets if isinstance(targets, list) else ())]
    named = [
        rule_target["provider"]
        for rule_target in chosen
        if isinstance(rule_target, dict) and "provider" in rule_target
    ]
    return " → " + ", ".join(map(str, named)) if named else ""


def _symbol(  # noqa: PLR0913, PLR0917 the parts of a symbol
    document: Document,
    path: Path,
    name: str,
    kind: str,
    ends: dict[Path, Position],
    children: tuple[Symbol, ...] = (),
) -> Symbol:
    span = document.entries[path].head
    return Symbol(name, kind, span, max(ends[path], span.end), children)


def _ends(document: Document) -> dict[Path, Position]:
    """Where each section and each of its entries ends: with the last thing inside."""
    ends: dict[Path, Position] = {}
    for path, entry in document.written():
        for outer in (path[:1], path[:2]):
            ends[outer] = max(ends.get(outer, entry.value.end), entry.value.end)
    return ends
