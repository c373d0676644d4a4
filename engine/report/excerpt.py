"""One line of a file, safe to show: secrets masked, no control characters."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from engine.config.checks.secrets import secret_paths
from engine.config.diagnostics.diagnostic import Span
from engine.config.source.document import Document
from engine.config.source.masking import is_path
from engine.config.source.secret_shapes import SECRET

# Far more than a terminal shows, so that no secret is cut where it would not be recognised.
MAX_CONTEXT = 500


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of a line that begins at column `first`; `is_whole` when it is the whole line."""

    text: str
    first: int = 1
    is_whole: bool = True


class Excerpts:
    """The lines of documents, for any place in them."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._documents = documents
        self._secret: dict[str, Mapping[int, list[Span]]] = {}

    def at(self, span: Span) -> Excerpt:
        """The text around the start of `span` on its line; empty when there is none to show."""
        document = self._documents.get(span.file)
        if document is None or span.start.line > len(document.lines):
            return Excerpt("")
        line = document.lines[span.start.line - 1]
        for secret in self._secrets(document).get(span.start.line, ()):
            line = _starred(line, secret)
        first = max(0, span.start.column - MAX_CONTEXT)
        text = line[first : span.start.column + MAX_CONTEXT]
        text = SECRET.sub(lambda match: "*" * len(match[0]), text)
        return Excerpt(_harmless(text), first + 1, len(text) == len(line))

    def _secrets(self, document: Document) -> Mapping[int, list[Span]]:
        if document.file not in self._secret:
            self._secret[document.file] = _secret_places(document)
        return self._secret[document.file]


def _harmless(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c == "\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _secret_places(document: Document) -> Mapping[int, list[Span]]:
    """By line, each value in a place for secrets: whatever it is, it may be one."""
    branches = {path[:-1] for path in document.entries if path}
    places: dict[int, list[Span]] = defaultdict(list)
    for path, entry in document.entries.items():
        if "credentials" in path and path not in branches:
            span = entry.value
            line = document.lines[span.start.line - 1]
            text = line[span.start.column - 1 : span.end.column - 1]
            key = next(str(step) for step in reversed(path) if isinstance(step, str))
            if not _is_no_secret(key, text):
                places[span.start.line].append(span)
    for path in secret_paths(document) if document.file != "keys.yaml" else ():
        span = document.entries[path].value
        places[span.start.line].append(span)
    return places


def _is_no_secret(key: str, text: str) -> bool:
    bare = text.strip("\"'")
    return text in ("true", "false") or (
        re.fullmatch(r"[A-Z_][A-Z0-9_]*", text) is not None
        if key == "env"
        else key == "file" and is_path(bare)
    )


def _starred(line: str, span: Span) -> str:
    start, end = span.start.column - 1, min(span.end.column - 1, len(line))
    if span.end.line != span.start.line:
        end = len(line)
    return line[:start] + "*" * (end - start) + line[end:]
