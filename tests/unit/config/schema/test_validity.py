"""What is asked before jsonschema says the same as jsonschema."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from engine.config.files import FILES
from engine.config.schema.schemas import read_schema, violations
from engine.config.schema.validity import is_valid_by
from engine.config.source.document import parse_document
from tests.tables import each
from tests.unit.config.cases import CASES, folder_of

VALUES: list[Any] = [
    None, True, False, 0, 1, 1.0, 1.5, -3, 10**30, "", "a", "abc", "b", [], [1], [1, 1.0], [1, True], ["a", "b"],
    ["a", "a"], [{}, []], [{"a": 1}, {"a": 1}], {}, {"a": 1}, {"b": None}, {"a": "a", "b": 2}, {"c": [], "d": {}},
]  # fmt: skip
TYPES = ("object", "array", "string", "boolean", "null", "number", "integer")
SCHEMAS: list[Any] = [
    *({"type": name} for name in TYPES), {"type": ["string", "integer"]},
    {"enum": ["a", 1, None]}, {"enum": [True, "b"]}, {"const": 0}, {"const": False}, {"const": "abc"},
    {"pattern": "^a"}, {"pattern": "b"}, {"minLength": 1}, {"maxLength": 1}, {"minLength": 1, "maxLength": 1},
    {"minimum": 1}, {"maximum": 1}, {"minimum": 0, "maximum": 1},
    {"minItems": 1}, {"maxItems": 1}, {"uniqueItems": True}, {"items": {"type": "integer"}}, {"items": False},
    {"minProperties": 1}, {"maxProperties": 1}, {"required": ["a"]}, {"dependentRequired": {"a": ["b"]}},
    {"dependentRequired": {"a": ["a", "b"]}},
    {"properties": {"a": {"type": "integer"}, "b": True}}, {"properties": {"a": False}},
    {"additionalProperties": False}, {"properties": {"a": True}, "additionalProperties": False},
    {"properties": {"a": True}, "additionalProperties": {"type": "null"}}, {"propertyNames": {"pattern": "^[ab]$"}},
    {"not": {"required": ["a"]}}, {"not": {"enum": [1]}}, {"allOf": [{"type": "integer"}, {"minimum": 1}]},
    {"anyOf": [{"type": "string"}, {"minimum": 1, "type": "number"}]},
    {"if": {"type": "string"}, "then": {"minLength": 2}}, {"if": {"type": "string"}, "else": {"minimum": 1}},
    {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"type": "object"}},
]  # fmt: skip


@each("schema", SCHEMAS)
def test_each_keyword_means_what_it_means_to_jsonschema(schema: Any) -> None:
    valid = Draft202012Validator(json.loads(json.dumps(schema))).is_valid
    assert [value for value in VALUES if is_valid_by(schema)(value) != valid(value)] == []


def test_a_keyword_that_is_not_known_is_refused() -> None:
    with pytest.raises(KeyError, match="contains"):
        is_valid_by({"contains": {}})


def documents() -> Iterator[tuple[str, Any]]:
    """The files of the cases for findings of schemas, those that fit and those that do not."""
    cases = [case for case in CASES if case[0] == "S"]
    sides = [folder_of(case, good=good).texts for case in cases for good in (False, True)]
    for name, text in {(name, texts[name]) for texts in sides for name in FILES}:
        document, _ = parse_document(name, text) if text is not None else (None, [])
        if document is not None:
            yield FILES[name], document.data


def test_errors_are_those_that_jsonschema_finds_alone() -> None:
    alone = {name: Draft202012Validator(json.loads(read_schema(name))) for name in FILES.values()}
    wrong = 0
    for name, data in documents():
        expected = [told(error) for error in alone[name].iter_errors(data)]
        assert [told(error) for error in violations(name, data)] == expected
        wrong += bool(expected)
    assert wrong > 100


def told(error: Any) -> tuple[Any, ...]:
    return tuple(error.absolute_path), tuple(error.absolute_schema_path), error.instance
