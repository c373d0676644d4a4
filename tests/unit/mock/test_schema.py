"""What the mock makes of a JSON schema satisfies it, as a validator sees it."""

import re
from typing import Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from engine.mock.pattern import example
from engine.mock.schema import sample
from tests.tables import each

PERSON = {
    "$defs": {
        "Person": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 6},
                "boss": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}]},
                "team": {"type": "array", "items": {"$ref": "#/$defs/Person"}},
            },
            "required": ["name", "boss", "team"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/Person",
}

SCHEMAS: list[Any] = [
    {},
    True,
    PERSON,
    {"const": {"a": [1]}},
    {"enum": [3, "a"]},
    {"type": ["null", "integer"], "minimum": 7},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "multipleOf": 7, "minimum": 8},
    {"type": "integer", "maximum": -3},
    {"type": "number", "minimum": 2.5, "maximum": 2.5},
    {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7},
    {"type": "string", "minLength": 30, "maxLength": 31},
    {"type": "string", "maxLength": 2},
    {"type": "string", "pattern": r"^[A-Z]{2}-\d{3,5}(?:x|y)+$"},
    {"type": "string", "pattern": r"^(\+|00)[1-9][0-9 \-\(\)\.]{7,32}$"},
    {"type": "string", "pattern": r"^\S+@\S+\.\S+$"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uuid"},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False, "minItems": 2},
    {"type": "array", "maxItems": 0},
    {"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer"}},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}},
    {"properties": {"a": {"type": "integer"}}, "required": ["a", "b"]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"const": 1}}, "required": ["b"]}]},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "x"}}, "required": ["kind"]}, {"type": "object", "properties": {"kind": {"const": "y"}}, "required": ["kind"]}]},
    {"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"type": "object", "properties": {"a/b": {"type": "integer"}, "c": {"$ref": "#/properties/a~1b"}}, "required": ["c"]},
]  # fmt: skip


@each("schema", SCHEMAS)
def test_a_sample_satisfies_its_schema(schema: Any) -> None:
    jsonschema.Draft202012Validator(schema).validate(sample(schema))


LEAVES = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, st.integers(-99, 99), st.integers(0, 9)),
    st.builds(lambda low, more: {"type": "number", "exclusiveMinimum": low, "maximum": low + more}, st.integers(-9, 9), st.integers(1, 5)),
    st.builds(lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, st.integers(0, 9), st.integers(0, 9)),
    st.builds(lambda values: {"enum": values}, st.lists(st.integers() | st.text(max_size=3), min_size=1, max_size=3)),
)  # fmt: skip


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    return st.one_of(
        st.builds(lambda of, least: {"type": "array", "items": of, "minItems": least}, inner, st.integers(0, 3)),
        st.builds(lambda of: {"type": "object", "properties": of, "required": list(of)[:2], "additionalProperties": False}, properties),
        st.builds(lambda of: {"type": "object", "properties": of}, properties),
        st.builds(lambda of: {"anyOf": of}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda of: {"$defs": {"x": of}, "type": "object", "properties": {"a": of}, "required": ["a"]}, inner),
    )  # fmt: skip


@given(st.recursive(LEAVES, nested, max_leaves=12))
def test_a_sample_satisfies_any_schema_of_the_usual_words(schema: Any) -> None:
    jsonschema.Draft202012Validator(schema).validate(sample(schema))


@each(
    "schema",
    [
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 3},
        {"allOf": [{"$ref": "#"}]},
        {"type": "object", "properties": {str(n): {"$ref": "#"} for n in range(9)}},
        {"type": "string", "minLength": 10**12},
        {"type": "array", "minItems": 10**12},
        {"$ref": "https://elsewhere.example/schema.json"},
        {"type": "object", "minProperties": 10**12},
        {"type": "string", "pattern": "(a{1000}){1000}"},
        {"enum": []},
        {"type": "wrong"},
    ],
)
def test_a_schema_without_end_ends(schema: Any) -> None:
    sample(schema)


@each(
    "pattern",
    [r"^a|b$", r"^[^a-z]+$", r"x{0}y{2}", r"^(ab?c){2}\.$", r"[\d]{4}-[\w]", r"(?P<n>q)z*", r"^\u0041\x42$", r"^[]x]$", r"^(?!no)ok$", r"a+?b"],
)  # fmt: skip
def test_an_example_fits_its_pattern(pattern: str) -> None:
    text = example(pattern)
    assert text is not None
    assert re.search(pattern, text)


@each("pattern", ["(", "[", r"(a)\1b", "a{", "\\"])
def test_a_pattern_that_cannot_be_followed_gives_nothing_or_what_fits(pattern: str) -> None:
    text = example(pattern)
    assert text is None or re.search(pattern, text)
