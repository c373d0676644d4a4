"""How the targets of a model differ, as lines for a person."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

View = dict[str, Any]


def target_lines(old: View, new: View) -> Iterator[str]:
    """`old` and `new` are routes of `view_diff`: `one -> two`, or else a line for each target.

    A line begins with `+` or `-` for a target that was added or removed, with `~` for one that changed.
    """
    if max(len(old["targets"]), len(new["targets"])) <= 1:
        before, after = (_parts(side)[:1] for side in (old, new))
        yield f"{''.join(before)}{_sticky(old)} -> {''.join(after)}{_sticky(new)}"
        return
    if old["sticky"] is not new["sticky"]:
        was, now = ("by key" if side["sticky"] else "no" for side in (old, new))
        yield f"sticky  {was} -> {now}"
    was_names, names = ([*map(_name, side["targets"])] or [""] for side in (old, new))
    matcher = SequenceMatcher(None, was_names, names, autojunk=False)
    for kind, i, i_end, j, j_end in matcher.get_opcodes():
        if kind == "equal":
            pairs = zip(old["targets"][i:i_end], new["targets"][j:j_end], strict=True)
            yield from (_changed(before, after) for before, after in pairs)
        else:
            yield from (f"- {text}" for text in _parts(old)[i:i_end])
            yield from (f"+ {text}" for text in _parts(new)[j:j_end])


def _parts(route: View) -> list[str]:
    """The targets in their order, or why there is none."""
    return [*map(_whole, route["targets"])] or [f"refused with {route['error']}"]


def _sticky(route: View) -> str:
    return " by key" if route["sticky"] else ""


def _name(target: View) -> str:
    sent = f" as {target['sent_model']}" if target["sent_model"] else ""
    return f"{target['provider']}{sent}"


def _whole(target: View) -> str:
    weight = f" weight {target['weight']}" if target["weight"] else ""
    settings = f" with {', '.join(target['settings'])}" if target["settings"] else ""
    return f"{_name(target)}{weight}{settings}"


def _changed(old: View, new: View) -> str:
    """A target of both sides: what differs of it, or, where nothing does, all of it."""
    if old == new:
        return f"  {_whole(new)}"
    changes = [] if old["weight"] == new["weight"] else [f"weight {_or_not_set(old['weight'])} -> {_or_not_set(new['weight'])}"]  # fmt: skip
    gone = [setting for setting in old["settings"] if setting not in new["settings"]]
    come = [setting for setting in new["settings"] if setting not in old["settings"]]
    if gone or come:
        changes.append(f"{', '.join(gone) or 'not set'} -> {', '.join(come) or 'not set'}")
    return f"~ {_name(new)}: {', '.join(changes) or 'its settings in another order'}"


def _or_not_set(weight: int | None) -> str:
    return "not set" if weight is None else str(weight)
