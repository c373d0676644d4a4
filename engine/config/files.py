"""One configuration file by itself: parsed, and validated against its schema. Both are cached."""

from dataclasses import dataclass, field
from functools import lru_cache

from engine.config.checks.registry import KEYS, PRICES, PROVIDERS, ROUTES, SERVER, Stage, check
from engine.config.diagnostics.diagnostic import (
    MAX_FOUND,
    Applicability,
    Diagnostic,
    Fix,
    Position,
    Severity,
    Span,
)
from engine.config.schema.extending import extend
from engine.config.schema.validation import check_schema
from engine.config.source.document import Document, Path, parse_document, unread_document
from engine.config.source.foreign import foreign_file
from engine.config.source.unreadable import last_line

FILES = {
    ROUTES: "routes", PROVIDERS: "providers", KEYS: "keys", SERVER: "server", PRICES: "prices",
}  # fmt: skip
OPTIONAL = {KEYS, SERVER, PRICES}


@dataclass(frozen=True, slots=True, eq=False)
class ParsedFile:
    """A file as YAML. Without a document when it cannot be trusted at all."""

    name: str
    text: bytes
    document: Document | None
    found: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class ValidFile:
    """A file that was compared with its schema.

    `unread` is what can be shown of a file that is no document. `broken` are the paths of values
    that failed the schema.
    """

    text: bytes
    document: Document | None
    unread: Document | None
    found: tuple[Diagnostic, ...]
    broken: frozenset[Path] = field(default_factory=frozenset)


# Cached since an editor asks again after every key, and a server after every change of one file.
@check(
    "F002", "F003", "Y001", "Y002", "Y003", "Y004", "Y005", "Y006", "Y007", "Y008", "Y009", "Y010",
    stage=Stage.STEP,
)  # fmt: skip
@lru_cache(maxsize=8)
def parse_file(name: str, text: bytes) -> ParsedFile:
    """Read a file as YAML."""
    document, found = parse_document(name, text)
    return ParsedFile(name, text, document, tuple(found))


@check(
    "F004", "F005", "S101", "S102", "S103", "S104", "S105", "X275", "X281", "X282", "X283", "Y006",
    stage=Stage.STEP,
)  # fmt: skip
@lru_cache(maxsize=8)
def validate_file(parsed: ParsedFile) -> ValidFile:
    """Compare a file with its schema; one that another program was made for is reported as that."""
    name, document = parsed.name, parsed.document
    extended = extend(document) if document and name == PROVIDERS else None
    document = extended.document if extended else document
    violations, broken = check_schema(document, FILES[name]) if document else ([], set())
    if extended:
        violations, broken = [*extended.found, *violations], broken | extended.broken
    if any(d.severity is Severity.ERROR for d in (*parsed.found, *violations)):
        foreign = foreign_file(name, parsed.text.decode("utf-8", "replace"))
        if foreign is not None:
            return ValidFile(parsed.text, None, unread_document(name, parsed.text), (foreign,))
    if document is None:
        return ValidFile(parsed.text, None, unread_document(name, parsed.text), parsed.found)
    blamed = {d.span for d in violations}
    found = [d for d in parsed.found if d.code != "Y004" or d.span not in blamed]
    found += [*violations, *_unfinished(document)]
    if len(found) >= MAX_FOUND:
        return ValidFile(parsed.text, None, document, (*found[:MAX_FOUND], _too_many(name)))
    return ValidFile(parsed.text, document, None, tuple(found), frozenset(broken))


def _too_many(file: str) -> Diagnostic:
    start = Position(1, 1)
    message = f"only the first {MAX_FOUND} findings in `{file}` are reported"
    return Diagnostic("F005", message, Span(file, start, start), help="fix these first")


def _unfinished(document: Document) -> list[Diagnostic]:
    """A file whose last line has no line end may have been cut short, although it is valid."""
    if not document.lines[-1]:
        return []
    last = last_line(document.file, document.lines)
    message = f"the last line of `{document.file}` has no line end; the file may be cut short"
    fix_hint = "add a line end, if nothing is missing after it"
    fix = Fix(Span(last.file, last.end, last.end), "\n", Applicability.SAFE)
    return [Diagnostic("F004", message, last, help=fix_hint, fix=fix)]
