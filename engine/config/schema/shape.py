"""The shape that a mapping or a list should have, shown by an example of its schema."""

import json
from typing import Any

_LONGEST = 120  # characters of an example that help shows
_OTHERWISE = {
    "object": "write it as entries of `name: value`, one on each line",
    "array": "write it as a list, each entry after `- `",
}


def flow(value: Any) -> str:
    """`value` as YAML in one line; JSON quoting is YAML too."""
    match value:
        case dict():
            return "{" + ", ".join(f"{flow(k)}: {flow(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(flow(item) for item in value) + "]"
        case str() if value.replace("_", "").replace("-", "").isalnum() and value[0].isalpha():
            return value
    return json.dumps(value)


def shape_help(schema: dict[str, Any], kinds: list[str]) -> str:
    """What to write for a mapping or a list, with the first entry of the schema's example; "" for other kinds."""
    if len(kinds) != 1 or kinds[0] not in _OTHERWISE:
        return ""
    example = next(iter(schema.get("examples", ())), None)
    shown = flow(example[:1] if isinstance(example, list) else example)
    is_shown = example is not None and len(shown) <= _LONGEST
    return f"write it as in {shown}" if is_shown else _OTHERWISE[kinds[0]]
