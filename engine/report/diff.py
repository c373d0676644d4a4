"""What changes between two configurations, in terms of what they do to requests."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from engine.report.diff_targets import target_lines
from engine.report.effects import REST, Effects, Facets, ModelRoute
from engine.report.mask import MASK, masked, masked_text, masked_url

FORMAT_VERSION = "1.1"
View = dict[str, Any]
Item = TypeVar("Item")
Group = TypeVar("Group", bound=Hashable)
_SHOWN = 8


def view_diff(old: Effects, new: Effects) -> View:
    """The differences as plain data of `schemas/output/diff.schema.json`, alike ones together."""
    view: View = {
        "endpoints": _entries(old.endpoints, new.endpoints),
        "providers": _names(old.providers, new.providers),
        "keys": _entries(old.keys or {}, new.keys or {}),
        "not_exposed": _entries(_reasons(old), _reasons(new)),
        "routing": _routing(old, new),
        "upstreams": _upstreams(old, new),
    }
    required = [effects.keys is not None for effects in (old, new)]
    view["keys_required"] = None if required[0] is required[1] else required[1]
    parts = [part for part in view.values() if isinstance(part, dict)]
    listed = [view["routing"], view["upstreams"], *(v for part in parts for v in part.values())]
    same = not any(listed) and view["keys_required"] is None
    return {"format_version": FORMAT_VERSION, "same": same, **view}


# -- the view ------------------------------------------------------------------------------------


def _reasons(effects: Effects) -> Mapping[str, Facets]:
    return {path: {"reason": reason} for path, reason in effects.refused.items()}


def _names(old: Iterable[str], new: Iterable[str]) -> View:
    before, after = set(old), set(new)
    return {"added": sorted(after - before), "removed": sorted(before - after)}


def _entries(old: Mapping[str, Facets], new: Mapping[str, Facets]) -> View:
    """Names added, removed and changed; those that share a change are listed together."""
    changes = [
        (name, change) for name in old if name in new for change in _changes(old[name], new[name])
    ]
    changed = [
        {"names": names, "what": what, "old": before, "new": after}
        for (what, before, after), names in _together(changes)
    ]
    return _names(old, new) | {"changed": changed}


def _changes(old: Facets, new: Facets) -> Iterator[tuple[str, str | None, str | None]]:
    """What differs, before and after; None where it was not, or is no longer, set."""
    for what in dict.fromkeys([*old, *new]):
        before, after = old.get(what), new.get(what)
        if before != after:
            if what == "url" and before and after:
                before, after = _without_common_end(before, after)
            yield what, _shown(what, before), _shown(what, after)


def _without_common_end(old: str, new: str) -> tuple[str, str]:
    """Two URLs without the path they share, so that a new base is one change and not one a path."""
    before, after = old.split("/"), new.split("/")
    kept = max(len(before), len(after))
    while min(len(before), len(after)) > 3 and before[-1] == after[-1]:
        del before[-1], after[-1]
    rest = ["…"] if max(len(before), len(after)) < kept else []
    return "/".join(before + rest), "/".join(after + rest)


def _shown(what: str, value: str | None) -> str | None:
    """A value as others may read it."""
    group, _, name = what.rpartition(".")
    if value is None or what == "sha256":
        return value and MASK
    if group in {"headers", "environment"}:
        return masked(name, value)
    return masked_url(value) if what == "url" else masked_text(value)


def _together(pairs: Iterable[tuple[Item, Group]]) -> list[tuple[Group, list[Item]]]:
    """The items of each group, in the order in which groups first come."""
    groups: dict[Group, list[Item]] = {}
    for item, group in pairs:
        groups.setdefault(group, []).append(item)
    return list(groups.items())


def _routing(old: Effects, new: Effects) -> list[View]:
    """Models that go elsewhere: those with the same change at the same endpoints are listed together."""
    before = {**{(*pair, ""): route for pair, route in old.routes.items()}, **old.conditional}
    after = {**{(*pair, ""): route for pair, route in new.routes.items()}, **new.conditional}
    moved = [(at, (before[at], after[at])) for at in before if at in after]
    by_model = _together(
        (endpoint, (_asked(model, when), _named(was, model), _named(now, model)))
        for (endpoint, model, when), (was, now) in moved
        if was != now
    )
    alike = _together((model, (tuple(at), was, now)) for (model, was, now), at in by_model)
    return [
        {"endpoints": list(at), "models": models, "old": _route(was), "new": _route(now)}
        for (at, was, now), models in alike
    ]


def _asked(model: str, when: str) -> str:
    return f"{model} when {when}" if when else model


def _named(route: ModelRoute, model: str) -> ModelRoute:
    """The route without the model it is sent with, where that is what was asked for."""
    targets = (replace(t, sent_model="") if t.sent_model == model else t for t in route.targets)
    return replace(route, targets=tuple(targets))


def _route(route: ModelRoute) -> View:
    return {
        "targets": [
            {
                "provider": t.provider,
                "sent_model": t.sent_model or None,
                "weight": t.weight,
                "settings": [masked_text(setting) for setting in t.settings],
            }
            for t in route.targets
        ],
        "sticky": route.is_sticky,
        "error": route.refusal,
    }


def _upstreams(old: Effects, new: Effects) -> list[View]:
    """Changes at providers; `endpoints` null stands for all that the provider serves here."""
    common = [pair for pair in old.upstreams if pair in new.upstreams]
    served = dict(_together((endpoint, provider) for provider, endpoint in common))
    changes = _together(
        (pair, change)
        for pair in common
        for change in _changes(old.upstreams[pair], new.upstreams[pair])
    )
    found = []
    for (what, before, after), pairs in changes:
        touched = _together((endpoint, provider) for provider, endpoint in pairs)
        shared = _together(
            (name, None if at == served[name] else tuple(at)) for name, at in touched
        )
        found += [
            {
                "providers": names,
                "every_provider": len(names) == len({name for name, _ in common}) > 1,
                "endpoints": None if at is None else list(at),
                "what": what,
                "old": before,
                "new": after,
            }
            for at, names in shared
        ]
    return found


# -- the text ------------------------------------------------------------------------------------


def render_text(view: View) -> str:
    """The view for a person, a section for each part that changes; "no effect" when none does."""
    if view["same"]:
        return "no effect\n"
    sections = [
        ("endpoints", [*_added(view["endpoints"]), *_changed(view["endpoints"])]),
        ("providers", [*_added(view["providers"]), *map(_upstream, view["upstreams"])]),
        ("keys", [*_required(view), *_added(view["keys"]), *_changed(view["keys"])]),
        ("not exposed", [*_added(view["not_exposed"]), *_changed(view["not_exposed"])]),
        ("routing", [line for move in view["routing"] for line in _move(move)]),
    ]
    return "\n".join(
        "\n".join([title, *(f"  {line}" for line in lines)]) + "\n"
        for title, lines in sections
        if lines
    )


def _added(part: View) -> Iterator[str]:
    yield from (f"+ {name}" for name in part["added"])
    yield from (f"- {name}" for name in part["removed"])


def _changed(part: View) -> Iterator[str]:
    for change in part["changed"]:
        yield f"{_some(change['names'])}: {_change(change)}"


def _change(change: View) -> str:
    if change["what"] == "sha256":
        return "another key under this name"
    before, after = ("not set" if v is None else v for v in (change["old"], change["new"]))
    return f"{change['what']}  {before} -> {after}"


def _upstream(change: View) -> str:
    at = f" at {_some(change['endpoints'])}" if change["endpoints"] else ""
    who = "every provider" if change["every_provider"] else _some(change["providers"])
    return f"{who}{at}: {_change(change)}"


def _required(view: View) -> Iterator[str]:
    if view["keys_required"] is not None:
        yield "callers need a key" if view["keys_required"] else "callers need no key"


def _move(move: View) -> Iterator[str]:
    models = [m for m in move["models"] if m + REST not in move["models"]]
    yield f"{_some(models)}  at {_some(move['endpoints'])}"
    yield from (f"  {line}" for line in target_lines(move["old"], move["new"]))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
