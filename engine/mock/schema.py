"""A value that satisfies a JSON schema, as a model with structured output returns.

    sample({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})  ->  {"n": 1}

The same schema gives the same value. What no generator of this size can do, `not`, `if` and the
like, is ignored; a schema that nothing satisfies still gives a value.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from engine.mock.pattern import example

Schema: TypeAlias = Mapping[str, Any]

_DEPTH = 24
_STEPS = 20_000
_WORD = "mock"
_ITEMS = 1000
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "mock@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/mock",
    "url": "https://example.com/mock",
    "uuid": "12345678-1234-4234-8234-123456789abc",
}


class _TooDeepError(Exception):
    """A branch that does not end; another may."""


def sample(schema: object) -> Any:
    """A value for `schema`, None where it has none or is no schema at all."""
    try:
        return _Sampler(schema).value(schema, 0)
    except (_TooDeepError, RecursionError, TypeError, ValueError, AttributeError, LookupError):
        return None


class _Sampler:
    """One walk through a schema. `root` is where references start; steps are counted."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._steps = 0

    def value(self, schema: object, depth: int) -> Any:
        self._steps += 1
        if depth > _DEPTH or self._steps > _STEPS:
            raise _TooDeepError
        if not isinstance(schema, dict):
            return _WORD
        whole = self._merged(schema, depth)
        if "const" in whole:
            return whole["const"]
        if chosen := whole.get("enum"):
            return chosen[0]
        for name in ("anyOf", "oneOf"):
            if branches := whole.get(name):
                rest = {key: value for key, value in whole.items() if key != name}
                return self._first_that_ends(rest, branches, depth)
        return self._of_type(_kind(whole), whole, depth)

    def _first_that_ends(self, rest: Schema, branches: list[Any], depth: int) -> Any:
        for branch in sorted(branches, key=lambda each: each == {"type": "null"}):
            try:
                return self.value(self._both(rest, branch, depth), depth + 1)
            except _TooDeepError:
                continue
        raise _TooDeepError

    def _merged(self, schema: Schema, depth: int) -> Schema:
        """`schema` with what it refers to and all of `allOf` beside its own keys."""
        whole = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        for part in [*([self._referred(schema["$ref"])] if "$ref" in schema else []), *schema.get("allOf", [])]:  # fmt: skip
            whole = self._both(whole, part, depth + 1)
        return whole

    def _both(self, one: Schema, other: object, depth: int) -> dict[str, Any]:
        if depth > _DEPTH:
            raise _TooDeepError
        more = self._merged(other, depth) if isinstance(other, dict) else {}
        joined = {**more, **one}
        if "properties" in one and "properties" in more:
            joined["properties"] = {**more["properties"], **one["properties"]}
        if "required" in one and "required" in more:
            joined["required"] = list(dict.fromkeys([*more["required"], *one["required"]]))
        for name, choose in (("minimum", max), ("maximum", min), ("minLength", max), ("minItems", max)):  # fmt: skip
            if name in one and name in more:
                joined[name] = choose(one[name], more[name])
        return joined

    def _referred(self, to: object) -> object:
        found = self._root
        for step in str(to).removeprefix("#").split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            else:
                found = found.get(name) if isinstance(found, dict) else None
        return found

    def _of_type(self, kind: str, schema: Schema, depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return _string(schema)
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
        return None if kind == "null" else True

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        known = schema.get("properties", {})
        wanted = schema.get("required")
        more = schema.get("additionalProperties", {})
        made = {name: self.value(known.get(name, more), depth + 1) for name in wanted or []}
        for name in known if wanted is None else []:
            try:
                made[name] = self.value(known[name], depth + 1)
            except _TooDeepError:
                continue
        least = min(schema.get("minProperties", 0), _ITEMS)
        for name in (*known, *(f"{_WORD}_{number}" for number in range(least))):
            if len(made) < least and name not in made:
                made[name] = self.value(known.get(name, more), depth + 1)
        return made

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        first = schema.get("prefixItems", [])
        made = [self.value(each, depth + 1) for each in first[: schema.get("maxItems", _ITEMS)]]
        items = schema.get("items", {})
        most = min(schema.get("maxItems", _ITEMS), _ITEMS) if items is not False else len(made)
        least = max(schema.get("minItems", 0), 0)
        try:
            while len(made) < min(max(least, 0 if first else 1), most):
                made.append(self._other(items, made, depth) if schema.get("uniqueItems") else self.value(items, depth + 1))  # fmt: skip
        except _TooDeepError:
            if len(made) < least:
                raise
        return made

    def _other(self, items: object, made: list[Any], depth: int) -> Any:
        """An item unlike those that are there."""
        whole = self._merged(items, depth) if isinstance(items, dict) else {}
        if "enum" in whole:
            return next((each for each in whole["enum"] if each not in made), whole["enum"][0])
        value = self.value(whole, depth + 1)
        step = whole.get("multipleOf", 1)
        while value in made and len(made) < _ITEMS:
            if isinstance(value, str):
                value += "x"
            elif isinstance(value, bool) or not isinstance(value, (int, float)):
                return _changed(value, len(made))
            else:
                value += (
                    step if value + step * len(made) <= whole.get("maximum", math.inf) else -step
                )
        return value


def _changed(value: object, number: int) -> object:
    """`value` with its first text or number made another."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, (str, int, float)) and not isinstance(inner, bool):
                other = f"{inner}{number}" if isinstance(inner, str) else inner + number
                return {**value, key: other}
    return value


def _kind(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((str(each) for each in kind if each != "null"), "null")
    if kind is not None:
        return str(kind)
    hints = {"properties": "object", "required": "object", "additionalProperties": "object"}
    hints |= {"items": "array", "prefixItems": "array", "minItems": "array"}
    hints |= {"minimum": "number", "maximum": "number", "multipleOf": "number"}
    return next((hints[name] for name in hints if name in schema), "string")


def _string(schema: Schema) -> str:
    text = _FORMATS.get(str(schema.get("format")), _WORD)
    if "pattern" in schema:
        text = example(str(schema["pattern"])) or text
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    if len(text) < least:
        text += text[-1:] * (min(int(least), 100_000) - len(text)) if text else "x" * int(least)
    return text if len(text) <= most else text[: int(most)]


def _number(schema: Schema, *, whole: bool) -> int | float:
    """The first of some numbers near the bounds that satisfies all of them."""
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = (schema.get(f"exclusive{name}imum") for name in ("Min", "Max"))
    above = -math.inf if above is None or isinstance(above, bool) else above
    below = math.inf if below is None or isinstance(below, bool) else below
    step = schema.get("multipleOf") or (1 if whole else None)
    ends = [end for end in (max(low, above), min(high, below)) if math.isfinite(end)]
    near = [1, 0, *ends, sum(ends) / 2]
    for each in (value for end in near for value in _around(end, step)):
        if low <= each <= high and above < each < below and not (whole and each % 1):
            return int(each) if each == int(each) else each
    return 1


def _around(number: float, step: float | None) -> tuple[float, ...]:
    if step is None:
        return (number, number + 1, number - 1)
    at = math.floor(number / step) * step
    return (at, at + step, at - step)
