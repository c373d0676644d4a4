"""What a scalar means: by the YAML 1.2 core schema, and to readers of YAML 1.1."""

import re
from typing import Any

import yaml

_WORDS = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
}  # fmt: skip
_NUMERIC = set("-+.0123456789")  # how a number begins
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_EXACT = 2**53  # up to where floats have each whole number
_RESOLVERS = yaml.SafeLoader.yaml_implicit_resolvers
# What YAML 1.1 reads the same, and what it reads differently where our reading is the intended one anyway.
_SILENT_TAGS = {None, "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge"}


def core_value(node: Any) -> str | int | float | bool | None:
    """The value of a scalar by the YAML 1.2 core schema, decimal numbers only."""
    text: str = node.value
    if node.style:  # None or empty for a plain scalar, by loader
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    is_short = len(text) <= 32
    if is_short and _INT.fullmatch(text) and len(text) <= 18:
        return int(text)
    if is_short and _FLOAT.fullmatch(text):
        number = float(text)  # `5e6` fits where a schema asks for a whole number, and so is one
        return int(number) if number.is_integer() and abs(number) < _EXACT else number
    return text


def reads_differently(text: str, value: object) -> bool:
    """Whether a YAML 1.1 reader reads this plain scalar as something else than a string."""
    if not isinstance(value, str) or not text:
        return False
    tags = (tag for tag, pattern in _RESOLVERS.get(text[0], ()) if pattern.match(text))
    return next(tags, None) not in _SILENT_TAGS
