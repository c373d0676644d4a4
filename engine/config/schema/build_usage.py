"""Makes UsagePlaces of the key `usage` of an endpoint."""

from collections.abc import Iterable
from typing import Any

from engine.plan.usage import COUNTS, CountPlaces, Pointer, UsagePlaces


def build_usage(data: dict[str, Any]) -> UsagePlaces:
    """Where counts stand, by a `usage` that passed its schema."""
    return UsagePlaces(
        at=_pointers(data["at"]),
        events_at=_pointers(data.get("events_at", ())),
        fields=tuple(_places(count, data[count]) for count in COUNTS if count in data),
        excludes_cache=data.get("input_excludes_cache", False),
        estimates=data.get("estimate", False),
    )


def _places(count: str, texts: Iterable[str]) -> CountPlaces:
    inside = [text for text in texts if not text.startswith("/")]
    absolute = [text for text in texts if text.startswith("/")]
    return CountPlaces(count, _pointers(inside), _pointers(absolute))


def _pointers(texts: Iterable[str]) -> tuple[Pointer, ...]:
    return tuple(tuple(text.removeprefix("/").split("/")) for text in texts)
