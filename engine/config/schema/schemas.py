"""The JSON Schemas in schemas/, as shipped and as validators."""

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from engine.config.resources import shipped


@cache
def validator(name: str) -> Draft202012Validator:
    schema = json.loads(read_schema(name))
    return Draft202012Validator(_inlined(schema, schema["$defs"]))


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """`schema` with each `$ref` replaced by what it names, since following them is half the time.

    The schemas have no cycle; keys beside a `$ref` win over those of the definition.
    """
    match schema:
        case {"$ref": str(ref), **rest}:
            return _inlined(definitions[ref.removeprefix("#/$defs/")] | rest, definitions)
        case dict():
            return {k: _inlined(v, definitions) for k, v in schema.items() if k != "$defs"}
        case list():
            return [_inlined(item, definitions) for item in schema]
        case _:
            return schema


def read_schema(name: str) -> str:
    """The JSON Schema of `routes`, `providers`, `keys`, `server` or `prices`, as shipped; that of `tests` is a part of it."""
    if name == "tests":
        return _tests_schema()
    return shipped(f"schemas/{name}.schema.json").read_text("utf-8")


def _tests_schema() -> str:
    """The schema of a file that holds only `tests:`, written as in routes.yaml."""
    schema = json.loads(read_schema("routes"))
    schema |= {"$id": "urn:orqen:schema:tests:1", "title": "tests", "required": ["tests"]}
    schema["description"] = "Tests of routing in a separate file, for `engine test FILE`."
    schema["properties"] = {name: schema["properties"][name] for name in ("version", "tests")}
    return json.dumps(schema, indent=2) + "\n"
