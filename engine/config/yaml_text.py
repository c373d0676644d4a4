"""Plain data as YAML that every YAML reader, of 1.1 or 1.2, reads back alike, with comments."""

import json
import re
from collections.abc import Iterator
from typing import Any

from engine.config.effective import LocatedValue

# Text that needs no quotes for any YAML reader, of 1.1 or 1.2; in flow style as well.
_PLAIN = re.compile(r"(?!.*: )[A-Za-z/][A-Za-z0-9_./+ :;()-]*(?<![: ])|[0-9]+(ms|s|m|h|[KMG]iB)")
WIDTH = 100
_OTHER = re.compile(r"(?i:true|false|yes|no|on|off|null|y|n)")
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def render_yaml(data: dict[str, Any]) -> str:
    """`data` in block style; the origin of a LocatedValue becomes its comment.

    A mapping or list whose values all have one origin is put on one line, if that is short.
    """
    return "\n".join(_block(data, "")) + "\n"


def plain_text(value: Any) -> str:
    """A value on one line, collections in flow style."""
    return _leaf(value)


def _block(data: dict[str, Any] | list[Any], indent: str) -> Iterator[str]:
    items = data.items() if isinstance(data, dict) else ((None, item) for item in data)
    for key, value in items:
        head = indent + ("-" if key is None else f"{_scalar(key)}:")
        if not _is_nested(value) or _fits_line(head, value):
            yield f"{head} {_leaf(value)}{_comment(value)}"
        elif key is None:
            first, *rest = _block(value, indent + "  ")
            yield f"{head} {first.lstrip(' ')}"
            yield from rest
        else:
            yield head
            yield from _block(value, indent + "  ")


def _is_nested(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(item, dict | list) for item in value)
    return isinstance(value, dict) and bool(value)


def _fits_line(head: str, value: Any) -> bool:
    """Whether all of a collection has one origin and fits on one line."""
    origins = set(_origins(value))
    return len(origins) == 1 and None not in origins and len(f"{head} {_leaf(value)}") <= WIDTH


def _origins(value: Any) -> Iterator[str | None]:
    """The origin of every scalar in `value`; None for one without."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _origins(inner)
    else:
        yield value.where if isinstance(value, LocatedValue) else None


def _leaf(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_leaf(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_scalar(key)}: {_leaf(inner)}' for key, inner in value.items())}}}"
    return _scalar(value.value if isinstance(value, LocatedValue) else value)


def _comment(value: Any) -> str:
    origin = next(_origins(value), None)
    return f"  # {origin}" if origin else ""


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _OTHER.fullmatch(value):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda hit: f"\\u{ord(hit[0]):04x}", text)
