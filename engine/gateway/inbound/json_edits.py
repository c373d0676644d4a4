"""The configuration's changes to the fields of a JSON body, as edits of its bytes.

First it is decided what becomes of each field, in the order of the configuration: changes for the
request, then those of each BodyEdits: `drop`, `rename`, `default`, `set`, and what is inside of
objects. Then each changed field is one edit or two, and all added fields are one edit in front of
the others. An object that is changed inside is read on its own, and is one edit.
"""

from collections.abc import Mapping, Sequence, Set

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.edits import Edit, apply_edits
from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.inbound.json_text import Span, json_string
from engine.plan.plan import BodyEdits


def json_draft(
    body: JsonBody, changes: Mapping[str, str | None], edits: Sequence[BodyEdits]
) -> "EditedFields":
    """`body` with its changes: `changes` have a field's new string, or None to remove it.

    Raises:
        GatewayError: `duplicate_field` when a field is there twice, in another spelling, or under
            its old and its new name.
    """
    draft = EditedFields(body)
    for name, text in changes.items():
        if text is None:
            draft.drop(name)
        else:
            draft.set(name, json_string(text))
    for each in edits:
        draft.apply(each)
    return draft


def json_edits(
    body: JsonBody, changes: Mapping[str, str | None], edits: Sequence[BodyEdits]
) -> list[Edit]:
    """What to change in `body`, as in `json_draft`."""
    return json_draft(body, changes, edits).edits()


def _edited_inside(value: bytes | None, edits: BodyEdits) -> bytes | None:
    """The object `value` after `edits`; None when it stays as it is.

    Where there is none, or null, one is made for what is added. Other values are replaced only by
    what is set.
    """
    if value is None or value[:1] != b"{":
        may_make = edits.adds if value in (None, b"null") else edits.sets
        if not may_make:
            return None
        value = b"{}"
    return apply_edits(value, json_edits(JsonBody(value), {}, (edits,)))


class EditedFields:
    """What becomes of the fields of a body."""

    def __init__(self, body: JsonBody) -> None:
        self._body = body
        self._fields: list[tuple[str, Span]] = list(body.spans())
        self._spans = [span for _, span in self._fields]
        # By name as it will be, the place among all fields.
        self._places = {name: place for place, (name, _) in enumerate(self._fields)}
        self._removed: set[int] = set()
        self._names: dict[int, bytes] = {}
        self._values: dict[int, bytes] = {}
        self._added: dict[str, bytes] = {}

    def apply(self, edits: BodyEdits) -> None:
        for name in edits.drop:
            self.drop(name)
        for name, new in edits.rename.items():
            self.rename(name, new)
        for name, value in edits.default.items():
            if not self.has(name):
                self.set(name, value.json)
        for name, value in edits.set.items():
            self.set(name, value.json)
        for name, inner in edits.inside.items():
            edited = _edited_inside(self.value(name), inner)
            if edited is not None:
                self.set(name, edited)

    def has(self, name: str) -> bool:
        self._body.has(name)  # refuses what others may read as this field
        return name in self._places or name in self._added

    def value(self, name: str) -> bytes | None:
        """The JSON of the field as it will be; None when there is none."""
        if not self.has(name):
            return None
        place = self._places.get(name)
        if place is None:
            return self._added[name]
        _, _, start, end = self._spans[place]
        return self._values.get(place) or self._body.raw[start:end]

    def drop(self, name: str) -> None:
        if not self.has(name) or self._added.pop(name, None) is not None:
            return
        place = self._places.pop(name)
        self._removed.add(place)
        self._names.pop(place, None)
        self._values.pop(place, None)

    def rename(self, name: str, new: str) -> None:
        if not self.has(name):
            return
        if self.has(new):
            raise both_names(name, new)
        if name in self._added:
            self._added[new] = self._added.pop(name)
            return
        place = self._places[new] = self._places.pop(name)
        self._names[place] = json_string(new)

    def set(self, name: str, value: bytes) -> None:
        if self.has(name) and name in self._places:
            self._values[self._places[name]] = value
        else:
            self._added[name] = value

    def keep_only(self, names: Set[str]) -> tuple[str, ...]:
        """Remove every other field, however often it is there. Returns the names of those removed."""
        now = {place: name for name, place in self._places.items()}
        every = [now.get(place, name) for place, (name, _) in enumerate(self._fields)]
        removed = [
            (place, name)
            for place, name in enumerate(every)
            if name not in names and place not in self._removed
        ]
        for place, name in removed:
            self._removed.add(place)
            self._names.pop(place, None)
            self._values.pop(place, None)
            self._places.pop(name, None)
        added = [name for name in self._added if name not in names]
        for name in added:
            del self._added[name]
        return tuple(dict.fromkeys([*(name for _, name in removed), *added]))

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
