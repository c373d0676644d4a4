"""Changes of bodies, as the request side applies them: by field, and by object below the top level."""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from engine.config.rules import BodyEdits, steps
from engine.plan import plan

_KINDS = ("drop", "default", "set")


def compile_edits(edits: BodyEdits) -> plan.BodyEdits:
    """`edits`, in which a place below the top level is written as `/reasoning/effort`."""
    places = {
        "drop": dict.fromkeys(edits.drop),
        "default": edits.default,
        "set": edits.set,
    }
    made = _of_object({kind: {steps(p): v for p, v in places[kind].items()} for kind in _KINDS})
    rename = MappingProxyType(dict(edits.rename))
    names = made.names | {*edits.rename, *edits.rename.values()}
    return plan.BodyEdits(made.drop, rename, made.default, made.set, names, made.inside)


def _of_object(kinds: Mapping[str, Mapping[tuple[str, ...], Any]]) -> plan.BodyEdits:
    here = {kind: {p[0]: v for p, v in places.items() if len(p) == 1} for kind, places in kinds.items()}  # fmt: skip
    deeper = {path[0]: None for places in kinds.values() for path in places if len(path) > 1}
    inside = {
        name: _of_object(
            {
                kind: {p[1:]: v for p, v in places.items() if len(p) > 1 and p[0] == name}
                for kind, places in kinds.items()
            }
        )
        for name in deeper
    }
    return plan.BodyEdits(
        drop=tuple(here["drop"]),
        rename=MappingProxyType({}),
        default=_values(here["default"]),
        set=_values(here["set"]),
        names=frozenset({*here["drop"], *here["default"], *here["set"], *inside}),
        inside=MappingProxyType(inside),
    )


def _values(values: Mapping[str, Any]) -> Mapping[str, plan.FieldValue]:
    return MappingProxyType({name: _value(value) for name, value in values.items()})


def _value(value: Any) -> plan.FieldValue:
    text = json.dumps(value, allow_nan=False)
    return plan.FieldValue(text.encode("ascii"), value if isinstance(value, str) else text)


def edited_names(edits: Iterable[plan.BodyEdits]) -> frozenset[str]:
    """The fields of a body that some of `edits` touch."""
    return frozenset[str]().union(*(each.names for each in edits))
