"""What may be written at the cursor: keys and values by the schemas, names by the configuration."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.config.template import FILTER_NAMES
from engine.lsp import grammar
from engine.lsp.cursor import Cursor, locate
from engine.lsp.grammar import Schema
from engine.lsp.names import Occurrence, defined
from engine.lsp.text import Text

_WORD = re.compile(r"[\w./*-]*$")
_REST = re.compile(r"[\w./*-]*")


@dataclass(frozen=True, slots=True)
class Item:
    """One offer: `label` for the list, `text` to put in place of `start` to `end` (offsets)."""

    label: str
    kind: str
    text: str
    start: int
    end: int
    documentation: str = ""
    required: bool = False


def complete(file: str, text: Text, offset: int, known: Iterable[Occurrence]) -> list[Item]:
    """Everything that fits at the cursor, required keys first; nothing where nothing is known."""
    cursor = locate(text, offset)
    if cursor is None:
        return []
    line_start, line_end = text.line_around(offset)
    before, after = text.source[line_start:offset], text.source[offset:line_end]
    schema = grammar.at(file, cursor.path)
    if not cursor.is_key and cursor.before.rfind("{{") > cursor.before.rfind("}}"):
        offers, word = _in_template(schema, cursor, known), re.compile(r"\w*$")
    elif cursor.is_key:
        offers, word = _keys(file, cursor, known, after), _WORD
    else:
        offers, word = _values(file, schema, cursor, known), _WORD
    started = word.search(before)
    start = offset - (len(started[0]) if started else 0)
    rest = _REST.match(after)
    end = offset + (len(rest[0]) if rest else 0)
    items = [Item(label, kind, put, start, end, *more) for label, kind, put, *more in offers]
    return sorted(items, key=lambda item: not item.required)


Suggestion = tuple[str, str, str] | tuple[str, str, str, str] | tuple[str, str, str, str, bool]


def _keys(
    file: str, cursor: Cursor, known: Iterable[Occurrence], after: str
) -> Iterator[Suggestion]:
    parent = grammar.at(file, cursor.path[:-1])
    colon = "" if re.match(r"[\w-]*\s*:", after) else ": "
    yield from _keys_of(file, parent, cursor, known, colon)


def _keys_of(
    file: str, parent: Schema, cursor: Cursor, known: Iterable[Occurrence], colon: str
) -> Iterator[Suggestion]:
    needed = parent.get("required", parent.get("else", {}).get("required", ()))
    for key in parent.get("properties", ()):
        if key not in cursor.siblings:
            words = str(grammar.child(file, parent, key).get("description", ""))
            yield key, "key", key + colon, words, key in needed
    names = grammar.resolve(file, parent.get("propertyNames"))
    for name in _names(names, cursor, known):
        if name not in cursor.siblings:
            yield name, names["x-refers"], name + colon


def _values(
    file: str, schema: Schema, cursor: Cursor, known: Iterable[Occurrence]
) -> Iterator[Suggestion]:
    if cursor.starts and _takes(schema, "object"):
        yield from _keys_of(file, schema, cursor, known, ": ")
    for name in _names(schema, cursor, known):
        yield name, schema["x-refers"], name
    words = str(schema.get("description", ""))
    for value in dict.fromkeys(_literals(schema)):
        yield value, "value", value, words


def _literals(schema: Schema) -> Iterator[str]:
    """The values that the schema itself names."""
    if "const" in schema:
        yield _written(schema["const"])
    if schema.get("type") == "boolean":
        yield from ("true", "false")
    values = [*schema.get("enum", ())]
    if "x-refers" not in schema:
        values += [schema["default"]] if "default" in schema else []
        values += schema.get("examples", ())
    yield from (_written(v) for v in values if isinstance(v, str | int | float))


def _written(value: object) -> str:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9/][\w./-]*", value):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _names(schema: Schema, cursor: Cursor, known: Iterable[Occurrence]) -> list[str]:
    kind = schema.get("x-refers")
    scope = str(cursor.path[1]) if kind in ("credential", "variable") else ""
    return defined(known, kind, scope) if kind else []


def _in_template(
    schema: Schema, cursor: Cursor, known: Iterable[Occurrence]
) -> Iterator[Suggestion]:
    """Names and filters between `{{` and `}}`."""
    roots = schema.get("x-template", ())
    expression = cursor.before.rpartition("{{")[2]
    if re.search(r"\|\s*\w*$", expression):
        yield from ((name, "filter", name) for name in FILTER_NAMES)
        return
    dotted = re.search(r"(\w+)\.\w*$", expression)
    if dotted is None:
        yield from ((root, "name", root) for root in roots)
    elif dotted[1] in ("credentials", "variables") and dotted[1] in roots:
        kind = dotted[1].removesuffix("s")
        yield from ((name, kind, name) for name in defined(known, kind, str(cursor.path[1])))
    elif dotted[1] == "request" and "request" in roots:
        yield "headers", "name", "headers['']"


def _takes(schema: Schema, kind: str) -> bool:
    kinds = schema.get("type", ())
    return kind in ([kinds] if isinstance(kinds, str) else kinds)
