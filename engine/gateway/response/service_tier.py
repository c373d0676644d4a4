"""Reads which service tier a response was processed in, where its price is not the ordinary one.

Nearly all responses are of an ordinary tier, so their text is only searched for the name of another
one; if there is one, the documents are decoded, since the same words may stand elsewhere in them.
"""

import re
from collections.abc import Iterable
from typing import Any

from engine.gateway.response.event_text import decoded, events_in
from engine.plan.usage import Pointer, TierPlaces, UsagePlaces

UNKNOWN = "?"  # there may be one, in what cannot be decoded


class TierReader:
    """The places of one endpoint, ready to read."""

    def __init__(self, places: UsagePlaces, tier: TierPlaces) -> None:
        self._tier = tier
        self._body = _every(places.at, tier)
        self._event = _every(places.events_at, tier)
        names = b"|".join(re.escape(name).encode() for name in tier.names)
        standard = b"|".join(re.escape(name).encode() for name in sorted(tier.standard))
        self._search = re.compile(rb'"(?:%b)"\s*+:\s*+"(?!(?:%b)")' % (names, standard)).search

    def body(self, text: bytes) -> str | None:
        """The tier of a JSON response, or of the end of one; None for an ordinary one."""
        if self._search(text) is None:
            return None
        root = decoded(text)
        return UNKNOWN if root is None else self._of(self._named(self._body, root))

    def events(self, texts: Iterable[bytes]) -> str | None:
        """The same of a stream: the last of its events that names one says it."""
        texts = [*texts]
        if all(self._search(text) is None for text in texts):
            return None
        latest: list[str] = []
        for text in texts:
            for event in events_in(text):
                latest = self._named(self._event, decoded(event.data)) or latest
        return self._of(latest)

    def _named(self, pointers: Iterable[Pointer], root: Any) -> list[str]:
        values = (_walk(root, pointer) for pointer in pointers)
        return [value for value in values if isinstance(value, str)]

    def _of(self, found: Iterable[str]) -> str | None:
        other = dict.fromkeys(name for name in found if name not in self._tier.standard)
        return "+".join(other)[:128] or None


def _every(at: Iterable[Pointer], tier: TierPlaces) -> tuple[Pointer, ...]:
    return (*(each + inside for each in at for inside in tier.inside), *tier.absolute)


def _walk(value: Any, pointer: Pointer) -> Any:
    for name in pointer:
        value = value.get(name) if type(value) is dict else None
    return value
