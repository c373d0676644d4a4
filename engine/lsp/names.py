"""The names of a configuration: where each is defined and where it is used, across its files."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from engine.config.diagnostics.diagnostic import Position, Span
from engine.config.source.document import Document, Path
from engine.lsp.grammar import DocumentNode, nodes

_INSERTED = re.compile(r"\{\{.*?(?:\}\}|$)")
_DOTTED = re.compile(r"\b(credential|variable)s(?:\.|\[\s*['\"])([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class Name:
    """A name of some kind. `scope` is the provider that a credential or variable belongs to."""

    kind: str
    text: str
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One place of a name, without quotes around it; `defines` where it is defined."""

    name: Name
    span: Span
    path: Path
    defines: bool

    def covers(self, file: str, position: Position) -> bool:
        """Whether a cursor at `position` touches it."""
        return self.span.file == file and self.span.start <= position <= self.span.end


def occurrences(documents: Mapping[str, Document]) -> tuple[Occurrence, ...]:
    """Every mention of every name, definitions and uses."""
    return tuple(
        mention
        for file, document in documents.items()
        for site in nodes(file, document.data)
        if site.path not in document.inherited
        for mention in _mentioned(document, site)
    )


def _mentioned(document: Document, site: DocumentNode) -> Iterator[Occurrence]:
    entry = document.entries[site.path]
    span = entry.key if site.is_key and entry.key else entry.value
    if "x-template" in site.schema:
        yield from _inserted(document, site.path, span)
    for word in ("x-defines", "x-refers"):
        text = site.path[-1] if site.is_key else _value(document, site.path)
        kind = site.schema.get(word)
        if kind and isinstance(text, str) and text:
            name = Name(kind, text, _scope(document, kind, text, site.path))
            yield Occurrence(name, _bare(document, span), site.path, word == "x-defines")


def _inserted(document: Document, path: Path, span: Span) -> Iterator[Occurrence]:
    """The credentials and variables that a template of one line inserts."""
    line = document.lines[span.start.line - 1]
    for template in _INSERTED.finditer(line, span.start.column - 1, span.end.column - 1):
        for found in _DOTTED.finditer(line, template.start(), template.end()):
            start, end = (Position(span.start.line, column + 1) for column in found.span(2))
            name = Name(found[1], found[2], _scope(document, found[1], found[2], path))
            yield Occurrence(name, Span(span.file, start, end), path, defines=False)


def _scope(document: Document, kind: str, text: str, path: Path) -> str:
    """The provider that has the credential or variable: the one at `path`, or the one it extends."""
    if kind not in ("credential", "variable"):
        return ""
    own = (*path[:2], f"{kind}s", text)
    return str(document.inherited.get(own, own)[1])


def _value(document: Document, path: Path) -> object:
    value: object = document.data
    for step in path:
        value = value[step]  # type: ignore[index] # the path comes from this very data
    return value


def _bare(document: Document, span: Span) -> Span:
    """`span` without the quotes around it."""
    line = document.lines[span.start.line - 1]
    if line[span.start.column - 1 : span.start.column] not in ("'", '"'):
        return span
    start = Position(span.start.line, span.start.column + 1)
    return Span(span.file, start, max(start, Position(span.end.line, span.end.column - 1)))


def defined(known: Iterable[Occurrence], kind: str, scope: str = "") -> list[str]:
    """The names of a kind, in the order of their definitions; those of a provider and all that it extends."""
    known = tuple(known)
    extended = {str(m.path[1]): m.name.text for m in known if m.path[2:3] == ("extends",)}
    scopes = [scope]
    while scopes[-1] in extended and extended[scopes[-1]] not in scopes:
        scopes.append(extended[scopes[-1]])
    names = (
        m.name.text for m in known if m.defines and m.name.kind == kind and m.name.scope in scopes
    )
    return list(dict.fromkeys(names))
