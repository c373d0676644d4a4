"""A provider's changes to the top-level fields of a JSON body, as edits of its bytes.

First it is decided what becomes of each field, in the order of the configuration: changes for the
request, then `drop`, `rename`, `default` and `set`. Then each changed field is one edit or two, and
all added fields are one edit in front of the others.
"""

from collections.abc import Mapping

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.edits import Edit
from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.inbound.json_text import Span, json_string
from engine.plan.plan import BodyEdits


def json_edits(
    body: JsonBody, changes: Mapping[str, str | None], edits: BodyEdits | None
) -> list[Edit]:
    """What to change in `body`: `changes` have a field's new string, or None to remove it.

    Raises:
        GatewayError: `duplicate_field` when a field is there twice, in another spelling, or under
            its old and its new name.
    """
    draft = _Draft(body)
    for name, text in changes.items():
        if text is None:
            draft.drop(name)
        else:
            draft.set(name, json_string(text))
    if edits is not None:
        for name in edits.drop:
            draft.drop(name)
        for name, new in edits.rename.items():
            draft.rename(name, new)
        for name, value in edits.default.items():
            if not draft.has(name):
                draft.set(name, value.json)
        for name, value in edits.set.items():
            draft.set(name, value.json)
    return draft.edits()


class _Draft:
    """What becomes of the fields of a body."""

    def __init__(self, body: JsonBody) -> None:
        self._body = body
        self._spans: list[Span] = []
        self._places: dict[str, int] = {}  # by name as it will be, the place among all fields
        for place, (name, span) in enumerate(body.spans()):
            self._places[name] = place
            self._spans.append(span)
        self._removed: set[int] = set()
        self._names: dict[int, bytes] = {}
        self._values: dict[int, bytes] = {}
        self._added: dict[str, bytes] = {}

    def has(self, name: str) -> bool:
        self._body.has(name)  # refuses what others may read as this field
        return name in self._places or name in self._added

    def drop(self, name: str) -> None:
        if self.has(name):
            place = self._places.pop(name)
            self._removed.add(place)
            self._values.pop(place, None)

    def rename(self, name: str, new: str) -> None:
        if not self.has(name):
            return
        if self.has(new):
            raise both_names(name, new)
        place = self._places[new] = self._places.pop(name)
        self._names[place] = json_string(new)

    def set(self, name: str, value: bytes) -> None:
        if self.has(name) and name in self._places:
            self._values[self._places[name]] = value
        else:
            self._added[name] = value

    def edits(self) -> list[Edit]:
        """The edits in order. A field that is renamed and set has two."""
        edits = []
        kept = [place for place in range(len(self._spans)) if place not in self._removed]
        last = kept[-1] if kept else -1
        edits += [self._removal(place, is_last=place > last) for place in self._removed]
        for place, name in self._names.items():
            start, end, _, _ = self._spans[place]
            edits.append(Edit(start, end, name))
        for place, value in self._values.items():
            _, _, start, end = self._spans[place]
            edits.append(Edit(start, end, value))
        if self._added:
            begin = self._body.raw.index(b"{") + 1
            fields = [json_string(name) + b": " + value for name, value in self._added.items()]
            text = b", ".join(reversed(fields)) + (b", " if kept else b"")
            edits.append(Edit(begin, begin, text))
        return sorted(edits)

    def _removal(self, place: int, *, is_last: bool) -> Edit:
        """A field goes with the comma behind it; if no field stays behind it, with the one before."""
        raw = self._body.raw
        start, _, _, end = self._spans[place]
        if not is_last:
            return Edit(start, raw.index(b",", end) + 1, b"")
        return Edit(raw.rindex(b",", 0, start) if place else start, end, b"")


def both_names(name: str, new: str) -> GatewayError:
    """The refusal of a body that has a field under its old and its new name."""
    message = f"`{name}` is sent to the provider as `{new}`, and the body has both"
    return GatewayError("duplicate_field", message, param=name)
