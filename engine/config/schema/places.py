"""What messages call a place in a document."""

from collections.abc import Sequence

from engine.config.source.document import Data, Path
from engine.config.source.secret_shapes import without_keys

_ITEMS = {"endpoints": "endpoint", "providers": "provider", "keys": "key"}


def describe(data: Data, path: Path) -> str:
    """The name of a place: "`timeouts` of endpoint `search`", "model rule `a-`"."""
    match path:
        case ():
            return "the file"
        case ("models", int(index), *rest):
            item = _rule_name(data, index)
        case (str(section), str(name), *rest) if section in _ITEMS:
            item = f"{_ITEMS[section]} `{name}`"
        case ("keys", int(index), *rest):
            item = f"key entry {index + 1}"
        case ("tests", int(index), *rest):
            item = f"test {index + 1}"
        case ("not_exposed", int(index), *rest):
            item = f"entry {index + 1} of `not_exposed`"
        case _:
            return within("", path)
    return within(item, rest)


def within(item: str, path: Sequence[str | int]) -> str:
    """The name of a place inside `item`; entries of lists are counted from 1."""
    keys: list[str] = []
    for step in (*path, None):
        if isinstance(step, str):
            keys.append(step)
            continue
        if keys:
            item = f"`{'.'.join(keys)}`" + (f" of {item}" if item else "")
            keys = []
        if step is not None:
            item = f"entry {step + 1}" + (f" of {item}" if item else "")
    return item


def _rule_name(data: Data, index: int) -> str:
    rules = data.get("models") if isinstance(data, dict) else None
    rule = rules[index] if isinstance(rules, list) and index < len(rules) else None
    if isinstance(rule, dict):
        for kind in ("model", "prefix"):
            if isinstance(name := rule.get(kind), str):
                return f"model rule `{without_keys(name)}`"
    return f"model rule {index + 1}"
