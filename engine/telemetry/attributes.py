"""Attributes of OTLP: names with a text, a number or a boolean."""

from collections.abc import Mapping
from typing import TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Value: TypeAlias = str | int | bool


def attributes(values: Mapping[str, Value | None]) -> list[KeyValue]:
    """What is known of `values`."""
    return [KeyValue(key=key, value=_value(v)) for key, v in values.items() if v is not None]


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)
