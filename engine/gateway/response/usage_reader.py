"""Reads the counts of a response by the places that its endpoint declares.

Most responses have them in one object near the end of the body. It is searched from there and
decoded alone: what follows the name of a member decodes as an object only if it is a member of the
top level, since the brackets would not match otherwise. Any other response is decoded once, and
only as far as the declared members.
"""

import re
from collections.abc import Iterable, Mapping
from math import ceil
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from engine.gateway.response.event_text import decoded, events_in
from engine.gateway.response.service_tier import TierReader
from engine.plan.plan import Endpoint
from engine.plan.usage import TOTAL, UNITS, CountPlaces, Pointer, UsagePlaces

MAX_COUNT = 2**53
_OF_INPUT = "input_tokens", "cached_tokens", "cache_write_tokens"
_WRONG = (msgspec.DecodeError, UnicodeError, RecursionError)
_Count = Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)] | None

Counts = dict[str, int]


class UsageReader:
    """The places of one endpoint, ready to read."""

    def __init__(self, places: UsagePlaces) -> None:
        self.places = places
        counts = frozenset(field.count for field in places.fields)
        self.needed = counts & {"input_tokens", "output_tokens"}
        self.last_needed = max(self.needed, default="")  # the output, where responses have any
        self.has_output = "output_tokens" in counts
        self.has_units = bool(places.bytes_each) or not counts.isdisjoint(UNITS)
        self.tier = None if places.tier is None else TierReader(places, places.tier)
        self._body = _Document(places.at, places.fields)
        self._event = _Document(places.events_at, places.fields)
        self._names = _search([pointer[-1] for pointer in places.at], b"{[")
        names = [pointer[-1] for pointer in places.events_at]
        self._text = _text(places.output_text)
        self._in_data = _search(names, b"{")
        self.search = _search(names, b"{", _BETWEEN_LINES)  # in the lines of events

    def body(self, text: bytes) -> Counts:
        """The counts of a JSON response."""
        return self._adjusted(self._body.counts_at_end(text) or self._body.counts(text))

    def end_of_body(self, text: bytes) -> Counts:
        """The counts of a JSON response of which `text` is the end: of the last object with the name."""
        counts = self._body.counts_at_end(text)
        for found in () if counts else reversed([*self._names.finditer(text)]):
            inside = _first_value(text[found.end() - 1 :])
            counts = _counts(self.places.fields, [inside], None) if inside else {}
            if counts:
                break
        return self._adjusted(counts or {})

    def events(self, texts: Iterable[bytes]) -> Counts:
        """The counts of the events in `texts`, in their order."""
        counts: Counts = {}
        for text in texts:
            for event in events_in(text):
                if self._in_data.search(event.data):
                    found = self._event.counts(event.data)
                    counts = latest(counts, found) if counts else found
        return self._adjusted(counts)

    def output_bytes(self, text: bytes) -> int:
        """Bytes of output in the text of events, as they are written there."""
        return sum(map(len, self._text.findall(text)))

    def _adjusted(self, counts: Counts) -> Counts:
        """With input that includes the tokens of the cache, also where a provider reports more of these.

        And with output that includes those of reasoning, where only the total does.
        """
        of_cache = counts.get("cached_tokens", 0) + counts.get("cache_write_tokens", 0)
        if of_cache and "input_tokens" in counts:
            others = counts["input_tokens"]
            is_sum = self.places.excludes_cache
            counts["input_tokens"] = others + of_cache if is_sum else max(others, of_cache)
        total = counts.pop(TOTAL, 0)
        if total and self.needed <= counts.keys():
            output = total - counts["input_tokens"]
            counts["output_tokens"] = max(counts["output_tokens"], output)
        return counts


def latest(before: Counts, found: Counts) -> Counts:
    """Counts after those of a later event, which may correct each one.

    Zeros correct nothing: servers have them where another event has the count. Those of the input, with its
    tokens of the cache, are a correction if one of them is no zero.
    """
    if 0 not in found.values():
        return before | found
    has_input = any(map(found.get, _OF_INPUT))
    kept = {name: n for name, n in found.items() if n or (has_input and name in _OF_INPUT)}
    return found | before | kept


def usage_readers(endpoints: Iterable[Endpoint]) -> Mapping[str, UsageReader]:
    """The readers of those endpoints whose responses have usage, by their names."""
    return {e.name: UsageReader(e.usage) for e in endpoints if e.usage is not None}


class _Document:
    """Reads `fields` from JSON documents in which objects `at` may hold them."""

    def __init__(self, at: Iterable[Pointer], fields: Iterable[CountPlaces]) -> None:
        self._at, self._fields = tuple(at), tuple(fields)
        every = [a + inside for a in self._at for field in self._fields for inside in field.inside]
        absolute = [pointer for field in self._fields for pointer in field.absolute]
        self._decode = msgspec.json.Decoder(_struct(_tree([*every, *absolute]))).decode
        names = {pointer[0] for pointer in self._at}
        self._name = None if absolute or len(names) != 1 else b'"%b"' % names.pop().encode()
        self._names = tuple(field.count for field in self._fields)
        firsts = [
            ".".join(self._at[0] + field.inside[0])
            for field in self._fields
            if self._at and field.inside
        ]
        # Twice, since it gives no tuple for one name.
        self._firsts = attrgetter(*firsts, *firsts) if len(firsts) == len(self._names) else None
        self._further = [
            (field,) if len(self._at) > 1 or len(field.inside) > 1 or field.absolute else ()
            for field in self._fields
        ]

    def counts(self, text: bytes) -> Counts:
        """The counts in a whole document. A member of an unexpected type costs a full decoding."""
        try:
            return self._counts_of(self._decode(text))
        except msgspec.ValidationError:
            return self._counts_of(decoded(text))
        except _WRONG:
            return {}

    def counts_at_end(self, text: bytes) -> Counts | None:
        """The counts in a document that ends with `text`; None if they have to be searched otherwise."""
        if self._name is None:
            return None
        at = text.rfind(self._name)
        if at <= 0 or text[at - 1] == _BACKSLASH:
            return None
        try:
            return self._counts_of(self._decode(b"{" + text[at:]))
        except _WRONG:
            return None

    def _counts_of(self, root: Any) -> Counts:
        """The counts in a decoded document: mostly at the first places, which are read at once."""
        if self._firsts is None:
            return self._searched(self._fields, root)
        try:
            values = self._firsts(root)
        except AttributeError:  # an object is null
            return self._searched(self._fields, root)
        counts: Counts = {}
        for name, value, further in zip(self._names, values, self._further):  # noqa: B905 values come twice
            if value is not None:
                counts[name] = value
            elif further:
                counts |= self._searched(further, root)
        return counts

    def _searched(self, fields: Iterable[CountPlaces], root: Any) -> Counts:
        found = [value for pointer in self._at if (value := _walk(root, pointer)) is not None]
        return _counts(fields, found, root)


def _tree(pointers: Iterable[Pointer]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for pointer in sorted(pointers, key=len, reverse=True):
        node = tree
        for name in pointer[:-1]:
            node = node.setdefault(name, {})
        node.setdefault(pointer[-1], None)
    return tree


def _struct(tree: Mapping[str, Any]) -> type[msgspec.Struct]:
    """A document with counts at the leaves of `tree`. An object that is missing is an empty one."""
    fields: list[tuple[str, Any, Any]] = []
    for name, inside in tree.items():
        kind = None if inside is None else _struct(inside)
        fields.append((name, _Count, None) if kind is None else (name, kind | None, kind()))
    return msgspec.defstruct("Document", fields, frozen=True)


# White space, with the line ends of an event between, where the data goes on in another line.
_BETWEEN_LINES = rb"(?>(?:\s++|(?<=[\r\n])(?:data:|(?:event|id|retry)?:[^\r\n]*+))*)"


def _search(names: Iterable[str], openings: bytes, gap: bytes = rb"\s*+") -> re.Pattern[bytes]:
    """Finds a member with one of `names` whose value is an object, so not one that is null."""
    words = b"|".join(dict.fromkeys(re.escape(name).encode() for name in names))
    parts = words, gap, gap, re.escape(openings)
    return re.compile(rb'"(?:%b)"%b:%b[%b]' % parts if words else b"(?!)")


def _text(names: Iterable[str]) -> re.Pattern[bytes]:
    """Finds the strings of members with one of `names`, the last one also without its end."""
    words = b"|".join(re.escape(name).encode() for name in names)
    return re.compile(
        rb'"(?:%b)"\s*+:\s*+"((?:[^"\\]|\\.)*+)' % words if words else b"(?!)", re.DOTALL
    )


def _walk(value: Any, pointer: Pointer) -> Any:
    for name in pointer:
        value = value.get(name) if type(value) is dict else getattr(value, name, None)
    return value


def _counts(fields: Iterable[CountPlaces], objects: Iterable[Any], root: Any) -> Counts:
    counts: Counts = {}
    for field in fields:
        number = None
        for value in objects:
            number = _first_number(value, field.inside)
            if number is not None:
                break
        else:
            number = _first_number(root, field.absolute)
        if number is not None:
            counts[field.count] = number
    return counts


def _first_number(value: Any, pointers: Iterable[Pointer]) -> int | None:
    """The first count that one of `pointers` leads to."""
    for pointer in pointers:
        number = _number(_walk(value, pointer))
        if number is not None:
            return number
    return None


def _number(value: Any) -> int | None:
    """A count; a fraction, as of seconds, is rounded up. None for what cannot be one."""
    if type(value) is not int and type(value) is not float:
        return None
    return ceil(value) if 0 <= value < MAX_COUNT else None


def _first_value(text: bytes) -> Any:
    """The object at the beginning of `text`."""
    depth = 0
    for found in _MARKS.finditer(text):
        depth += {b"{": 1, b"}": -1}.get(found[0], 0)
        if depth == 0:
            return decoded(text[: found.end()])
    return None


_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}]', re.DOTALL)
_BACKSLASH = 0x5C
