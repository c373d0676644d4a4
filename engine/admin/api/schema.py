"""JSON bodies: read strictly, and validated by the part of JSON Schema that the API needs.

The same schemas stand in the OpenAPI document. Messages name the field and quote no value.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

Schema = Mapping[str, Any]
JSON = dict[str, Any]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


class BodyError(ValueError):
    """A body is refused: `code` as in error bodies, and the `field` at fault, if it is one."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


def read_object(body: bytes) -> JSON:
    """The JSON object in `body`.

    Raises:
        BodyError: it is no JSON by RFC 8259 in UTF-8, no object, or names a field twice.
    """
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except BodyError:
        raise
    except (ValueError, RecursionError):
        raise BodyError("invalid_json", "The body is not JSON.") from None
    if not isinstance(value, dict):
        raise BodyError("invalid_request", "The body is not a JSON object.")
    return cast("JSON", value)


def _unique(pairs: list[tuple[str, Any]]) -> JSON:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BodyError("duplicate_field", "The body has a field twice.")
    return found


def _refuse(_: str) -> None:
    raise ValueError


def validate(value: object, schema: Schema, field: str = "") -> None:
    """Compare `value` with `schema`.

    Raises:
        BodyError: it does not fit.
    """
    types = schema.get("type", ())
    types = (types,) if isinstance(types, str) else tuple(types)
    if types and not any(_is(value, name) for name in types):
        raise _wrong(field, f"must be {' or '.join(_said(name) for name in types)}")
    if "enum" in schema and value not in schema["enum"]:
        choices = ", ".join(str(choice) for choice in schema["enum"])
        raise _wrong(field, f"must be one of: {choices}")
    for rules in _RULES.get(type(value).__name__, ()):
        rules(value, schema, field)


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _said(name: str) -> str:
    return name if name == "null" else f"an {name}" if name[0] in "aio" else f"a {name}"


def _wrong(field: str, message: str) -> BodyError:
    text = f"`{field}` {message}." if field else f"The body {message}."
    return BodyError("invalid_request", text, field or None)


def _text(value: Any, schema: Schema, field: str) -> None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        raise _wrong(field, f"must have {least} to {most} characters")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise _wrong(field, "is not valid Unicode")
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        raise _wrong(field, schema.get("x-wanted", "has characters that are not allowed"))
    if schema.get("format") == "date-time" and read_time(value) is None:
        raise _wrong(field, "must be a date and time with its offset, such as 2027-01-31T00:00:00Z")


def _number(value: Any, schema: Schema, field: str) -> None:
    least, most = schema.get("minimum", value), schema.get("maximum", value)
    if not least <= value <= most:
        raise _wrong(field, f"must be {least} to {most}")


def _list(value: Any, schema: Schema, field: str) -> None:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        raise _wrong(
            field, f"must have {schema.get('minItems', 0)} to {schema['maxItems']} entries"
        )
    for number, item in enumerate(value):
        validate(item, schema.get("items", {}), f"{field}[{number}]")
    if schema.get("uniqueItems") and len(set(value)) < len(value):
        raise _wrong(field, "has an entry twice")


def _object(value: Any, schema: Schema, field: str) -> None:
    prefix = f"{field}." if field else ""
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            raise BodyError("invalid_request", f"`{prefix}{name}` is missing.", prefix + name)
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", len(value))
    if not least <= len(value) <= most:
        raise _wrong(field, f"must have {least} to {most} fields")
    rest = schema.get("additionalProperties", True)
    for name, item in value.items():
        shown = f"{prefix}{name}" if name.isprintable() and len(name) <= 60 else f"{prefix}…"
        if name not in properties and rest is False:
            raise BodyError("invalid_request", f"`{shown}` is not a field here.", shown)
        validate(item, properties.get(name, rest if isinstance(rest, Mapping) else {}), shown)


_RULES = {"str": (_text,), "int": (_number,), "list": (_list,), "dict": (_object,)}


def read_time(text: str) -> int | None:
    """The seconds since 1970 of a date and time by RFC 3339, or None."""
    if not re.fullmatch(
        r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", text
    ):
        return None
    try:
        return int(datetime.fromisoformat(text.upper()).timestamp())
    except (ValueError, OverflowError):
        return None
