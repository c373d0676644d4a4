"""What the schemas say about a place: its description, the keys and values it may hold.

Three annotations of ours carry what JSON Schema has no word for: `x-defines` and `x-refers` name
the kind of name that a key or value is, `x-template` the names a template there may start with.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine.config.files import FILES
from engine.config.schema.schemas import read_schema
from engine.config.source.document import Data, Path

Schema = dict[str, Any]


@cache
def schema_of(file: str) -> Schema:
    """The schema of one of FILES."""
    root: Schema = json.loads(read_schema(FILES[file]))
    return root


def resolve(file: str, schema: Any) -> Schema:
    """`schema` with its `$ref` and the branch for a plain string laid under its own keys."""
    if not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        named = schema_of(file)["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        schema = {**resolve(file, named), **{k: v for k, v in schema.items() if k != "$ref"}}
    if schema.get("if") == {"type": "string"}:
        schema = {**resolve(file, schema.get("then")), **schema}
    return {**schema}


def child(file: str, schema: Schema, step: str | int) -> Schema:
    """What `schema` says about one of its keys or items."""
    if isinstance(step, int):
        return resolve(file, schema.get("items"))
    known = schema.get("properties", {})
    return resolve(file, known[step] if step in known else schema.get("additionalProperties"))


def at(file: str, path: Path) -> Schema:
    """What the schema of `file` says about the value at `path`; nothing where it knows no such place."""
    schema = resolve(file, schema_of(file))
    for step in path:
        schema = child(file, schema, step)
    return schema


@dataclass(frozen=True, slots=True)
class DocumentNode:
    """A key or value of a document with what the schema says about it."""

    path: Path
    is_key: bool
    schema: Schema


def nodes(file: str, data: Data) -> Iterator[DocumentNode]:
    """Every key and scalar of `data`, in order."""
    yield from _sites(file, resolve(file, schema_of(file)), data, ())


def _sites(file: str, schema: Schema, data: Data, path: Path) -> Iterator[DocumentNode]:
    match data:
        case dict():
            keys = resolve(file, schema.get("propertyNames"))
            for key, value in data.items():
                yield DocumentNode((*path, key), is_key=True, schema=keys)
                yield from _sites(file, child(file, schema, key), value, (*path, key))
        case list():
            for index, value in enumerate(data):
                yield from _sites(file, child(file, schema, index), value, (*path, index))
        case _:
            yield DocumentNode(path, is_key=False, schema=schema)
