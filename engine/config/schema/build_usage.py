"""Makes UsagePlaces of the key `usage` of an endpoint."""

from collections.abc import Iterable
from typing import Any

from engine.plan.upstream import BodyEdits, FieldValue, UsagePolicy
from engine.plan.usage import (
    COUNTS,
    TOTAL,
    CountPlaces,
    OutputLimit,
    Pointer,
    TierPlaces,
    UsageField,
    UsagePlaces,
)


def build_usage(data: dict[str, Any] | str) -> UsagePlaces | None:
    """Where counts stand, by a `usage` that passed its schema; nowhere for `free`."""
    if isinstance(data, str):
        return None
    return UsagePlaces(
        at=_pointers(data["at"]),
        events_at=_pointers(data.get("events_at", ())),
        fields=tuple(_places(count, data[count]) for count in (*COUNTS, TOTAL) if count in data),
        excludes_cache=data.get("input_excludes_cache", False),
        estimates=data.get("estimate", False),
        output_text=tuple(data.get("output_text", ())),
        bytes_each=tuple(data.get("bytes_each", {}).items()),
        include=_include(data["include_usage"]) if "include_usage" in data else None,
        output_limit=_output_limit(data["output_limit"]) if "output_limit" in data else None,
        unmetered=_pointers(data.get("unmetered", ())),
        tier=_tier(data["service_tier"]) if "service_tier" in data else None,
    )


def _include(data: dict[str, Any]) -> UsageField:
    (field,) = _pointers((data["field"],))
    when = UsagePolicy(data.get("when", UsagePolicy.LIMITED))
    return UsageField(field, _set_true(field), tuple(data["extra_event"].items()), when)


def _set_true(field: Pointer) -> BodyEdits:
    name, *rest = field
    if rest:
        inside = {name: _set_true(tuple(rest))}
        return BodyEdits((), {}, {}, {}, frozenset((name,)), inside)
    return BodyEdits((), {}, {}, {name: FieldValue(b"true", "true")}, frozenset((name,)))


def _output_limit(data: dict[str, Any]) -> OutputLimit:
    times = _pointers(data.get("times", ()))
    return OutputLimit(_pointers(data.get("at", ())), times, data["default"])


def _tier(data: dict[str, Any]) -> TierPlaces:
    return TierPlaces(*_sorted(data["at"]), frozenset(data["standard"]))


def _places(count: str, texts: Iterable[str]) -> CountPlaces:
    return CountPlaces(count, *_sorted(texts))


def _sorted(texts: Iterable[str]) -> tuple[tuple[Pointer, ...], tuple[Pointer, ...]]:
    """Places inside the objects with counts, and those from the top of the document."""
    inside = [text for text in texts if not text.startswith("/")]
    absolute = [text for text in texts if text.startswith("/")]
    return _pointers(inside), _pointers(absolute)


def _pointers(texts: Iterable[str]) -> tuple[Pointer, ...]:
    return tuple(tuple(text.removeprefix("/").split("/")) for text in texts)
