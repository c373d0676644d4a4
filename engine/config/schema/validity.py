"""Whether data fits a schema, asked before jsonschema: its search for errors takes twenty times as long.

A schema becomes one function of a value, once. What does not fit goes to jsonschema, which says why.
"""

import re
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
IsValid = Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, IsValid] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": lambda value: _is_number(value) and value == value // 1,
}


def is_valid_by(schema: Any) -> IsValid:
    """The function that says whether a value fits `schema`, which has no `$ref`, and keeps the function.

    Raises:
        KeyError: the schema uses a keyword that is not known here.
    """
    if isinstance(schema, bool):
        return lambda _value: schema
    if "x-fits" not in schema:
        schema["x-fits"] = _compiled(schema)
    made: IsValid = schema["x-fits"]
    return made


def _compiled(schema: Schema) -> IsValid:
    words = (word for word in schema if word not in _SAYS_NOTHING and not word.startswith("x-"))
    makers = dict.fromkeys(_KEYWORDS[word] for word in words)  # one for both ends of a range
    return _every([make(schema) for make in makers])


def _every(tests: list[IsValid]) -> IsValid:
    """All of `tests`, in a loop: `all` and a generator take twice as long."""

    def run(value: Any) -> bool:
        for test in tests:  # noqa: SIM110 see above
            if not test(value):
                return False
        return True

    return tests[0] if len(tests) == 1 else run


def _type(schema: Schema) -> IsValid:
    names = schema["type"]
    if isinstance(names, str):
        return _TYPES[names]
    several = [_TYPES[name] for name in names]
    return lambda value: any(test(value) for test in several)


def _enum(schema: Schema) -> IsValid:
    """One of some values, of which `true` is not 1; none is a collection."""
    allowed = {(type(value) is bool, value) for value in schema.get("enum", (schema.get("const"),))}
    return lambda value: (
        not isinstance(value, dict | list) and (type(value) is bool, value) in allowed
    )


def _pattern(schema: Schema) -> IsValid:
    search = re.compile(schema["pattern"]).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _size(of: type[Any], least: str, most: str) -> Callable[[Schema], IsValid]:
    """Bounds of the length of a text or collection."""

    def bounded(schema: Schema) -> IsValid:
        low, high = schema.get(least, 0), schema.get(most, float("inf"))
        return lambda value: not isinstance(value, of) or low <= len(value) <= high

    return bounded


def _range(schema: Schema) -> IsValid:
    low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
    return lambda value: not _is_number(value) or low <= value <= high


def _required(schema: Schema) -> IsValid:
    needed = frozenset(schema["required"])
    return lambda value: not isinstance(value, dict) or needed <= value.keys()


def _dependent(schema: Schema) -> IsValid:
    pairs = [(key, frozenset(needed)) for key, needed in schema["dependentRequired"].items()]
    return lambda value: (
        not isinstance(value, dict)
        or all(needed <= value.keys() for key, needed in pairs if key in value)
    )


def _properties(schema: Schema) -> IsValid:
    of_key = {key: is_valid_by(own) for key, own in schema["properties"].items()}

    def run(value: Any) -> bool:
        if isinstance(value, dict):
            for key, each in value.items():
                if key in of_key and not of_key[key](each):
                    return False
        return True

    return run


def _others(schema: Schema) -> IsValid:
    known, other = (
        frozenset(schema.get("properties", ())),
        is_valid_by(schema["additionalProperties"]),
    )
    return lambda value: (
        not isinstance(value, dict)
        or all(other(each) for key, each in value.items() if key not in known)
    )


def _names(schema: Schema) -> IsValid:
    name = is_valid_by(schema["propertyNames"])
    return lambda value: not isinstance(value, dict) or all(map(name, value))


def _items(schema: Schema) -> IsValid:
    item = is_valid_by(schema["items"])
    return lambda value: not isinstance(value, list) or all(map(item, value))


def _unique(schema: Schema) -> IsValid:
    del schema
    return lambda value: not isinstance(value, list) or _are_different(value)


def _are_different(items: list[Any]) -> bool:
    try:
        return len({(type(item) is bool, item) for item in items}) == len(items)
    except TypeError:  # collections among them
        return all(item not in items[:place] for place, item in enumerate(items))


def _if(schema: Schema) -> IsValid:
    asked, then, otherwise = (is_valid_by(schema.get(key, True)) for key in ("if", "then", "else"))
    return lambda value: then(value) if asked(value) else otherwise(value)


def _not(schema: Schema) -> IsValid:
    refused = is_valid_by(schema["not"])
    return lambda value: not refused(value)


def _all_of(schema: Schema) -> IsValid:
    every = [is_valid_by(each) for each in schema["allOf"]]
    return _every(every)


def _any_of(schema: Schema) -> IsValid:
    some = [is_valid_by(each) for each in schema["anyOf"]]
    return lambda value: any(each(value) for each in some)


_SAYS_NOTHING = {
    "$schema", "$id", "title", "description", "markdownDescription", "examples", "default",
    "defaultSnippets", "errorMessage", "then", "else",
}  # fmt: skip
_KEYWORDS: dict[str, Callable[[Schema], IsValid]] = {
    "type": _type, "enum": _enum, "const": _enum, "pattern": _pattern,
    "minimum": _range, "maximum": _range, "required": _required, "dependentRequired": _dependent,
    **dict.fromkeys(("minLength", "maxLength"), _size(str, "minLength", "maxLength")),
    **dict.fromkeys(("minItems", "maxItems"), _size(list, "minItems", "maxItems")),
    **dict.fromkeys(("minProperties", "maxProperties"), _size(dict, "minProperties", "maxProperties")),
    "properties": _properties, "additionalProperties": _others, "propertyNames": _names,
    "items": _items, "uniqueItems": _unique, "if": _if, "not": _not, "allOf": _all_of, "anyOf": _any_of,
}  # fmt: skip
