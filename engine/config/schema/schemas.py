"""The JSON Schemas in schemas/, as shipped and as validators."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from engine.config.resources import shipped
from engine.config.schema.validity import Schema, is_valid_by


def violations(name: str, data: Any) -> Iterator[Any]:
    """What jsonschema says against `data`, by the schema called `name`; most files have nothing of it."""
    schema = _schema(name)
    return iter(()) if is_valid_by(schema)(data) else _validator()(schema).iter_errors(data)


@cache
def _schema(name: str) -> Schema:
    schema = json.loads(read_schema(name))
    inlined: Schema = _inlined(schema, schema["$defs"])
    return inlined


@cache
def _validator() -> Any:
    """The validator of jsonschema, which does not descend into what fits.

    It is imported where a file has errors: that takes an eighth of the start of a command, and of a server.
    """
    from jsonschema import Draft202012Validator, validators  # noqa: PLC0415 see above

    every = Draft202012Validator.VALIDATORS

    def properties(validator: Any, of_key: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            unfit = {
                k: s for k, s in of_key.items() if k in instance and not is_valid_by(s)(instance[k])
            }
            yield from every["properties"](validator, unfit, instance, schema)

    def others(validator: Any, other: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            unfit = {key: value for key, value in instance.items() if not is_valid_by(other)(value)}
            yield from every["additionalProperties"](validator, other, unfit, schema)

    def items(validator: Any, item: Any, instance: Any, _schema: Any) -> Iterator[Any]:
        for index, value in enumerate(instance if isinstance(instance, list) else ()):
            if not is_valid_by(item)(value):
                yield from validator.descend(value, item, path=index)

    pruned = {"properties": properties, "additionalProperties": others, "items": items}
    return validators.extend(Draft202012Validator, pruned)  # type: ignore[no-untyped-call]


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
