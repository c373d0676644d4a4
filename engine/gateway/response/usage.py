"""Reads what a response says of its usage: tokens, and other units.

A JSON response is decoded once, and only as far as the declared objects. Of an event stream the
bytes are searched for the name of such an object; the few events that have it are kept, and
decoded when the stream is over. Counts of later events replace those of earlier ones, one by one,
as providers report sums. Nothing here changes what is sent.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

import msgspec

from engine.gateway.record import RecordBuilder, RequestUsage
from engine.gateway.response.event_text import events_in
from engine.plan.plan import Endpoint
from engine.plan.usage import CountPlaces, Pointer, UsagePlaces
from engine.upstream import Pairs

MAX_WHOLE = 1024 * 1024  # of a response that is decoded; of a longer one the end is searched
MAX_END = 64 * 1024
MAX_KEPT = 4  # chunks with usage, besides the first
MAX_COUNT = 2**53
BYTES_A_TOKEN = 4  # where tokens are estimated
MAX_ESTIMATED = 256 * 1024  # bytes; in more of them are images and files
_NOT_OK = 300
_WRONG = (msgspec.DecodeError, UnicodeError, RecursionError)
_generic = msgspec.json.Decoder()

Counts = dict[str, int]


class UsageReader:
    """The places of one endpoint, ready to read."""

    def __init__(self, places: UsagePlaces) -> None:
        absolute = [pointer for field in places.fields for pointer in field.absolute]
        self.places = places
        self.counts = frozenset(field.count for field in places.fields)
        self.needed = self.counts & {"input_tokens", "output_tokens"}
        self._body = _Document([*places.at, *absolute])
        self._event = _Document([*places.events_at, *absolute])
        self._names = _search([pointer[-1] for pointer in places.at], b"{[")
        self.search = _search([pointer[-1] for pointer in places.events_at], b"{")

    def body(self, text: bytes) -> Counts:
        """The counts of a JSON response."""
        return self._adjusted(self._read(self._body, self.places.at, text))

    def end_of_body(self, text: bytes) -> Counts:
        """The counts of a JSON response of which `text` is the end: of the last object with the name."""
        for found in reversed([*self._names.finditer(text)]):
            inside = _first_value(text[found.end() - 1 :])
            counts = _counts(self.places.fields, [inside], None) if inside else {}
            if counts:
                return self._adjusted(counts)
        return {}

    def events(self, texts: Iterable[bytes]) -> Counts:
        """The counts of the events in `texts`, in their order."""
        counts: Counts = {}
        for text in texts:
            for event in events_in(text):
                if self.search.search(event.data):
                    counts |= self._read(self._event, self.places.events_at, event.data)
        return self._adjusted(counts)

    def _read(self, document: "_Document", at: Iterable[Pointer], text: bytes) -> Counts:
        root = document.decode(text)
        if root is None:
            return {}
        found = [value for pointer in at if isinstance(value := _walk(root, pointer), dict)]
        return _counts(self.places.fields, found, root)

    def _adjusted(self, counts: Counts) -> Counts:
        if self.places.excludes_cache and "input_tokens" in counts:
            counts["input_tokens"] += counts.get("cached_tokens", 0)
            counts["input_tokens"] += counts.get("cache_write_tokens", 0)
        return counts


def usage_readers(endpoints: Iterable[Endpoint]) -> Mapping[str, UsageReader]:
    """The readers of those endpoints whose responses have usage, by their names."""
    return {e.name: UsageReader(e.usage) for e in endpoints if e.usage is not None}


class UsageMeter:
    """The usage of one response on its way: whole events, or chunks of another body."""

    __slots__ = ("_chunks", "_end", "_reader", "_search", "_size", "is_events", "noted")

    def __init__(self, reader: UsageReader) -> None:
        self._reader = reader
        self._search = reader.search.search
        self._chunks: deque[bytes] = deque()
        self._end = 0  # bytes that are kept
        self._size = 0
        self.is_events = False
        self.noted = 0  # chunks of whole events

    def begin(self, status: int, headers: Pairs) -> bool:
        """Whether the response with this head may say anything, so that the rest is worth noting."""
        if status >= _NOT_OK:
            return False
        fields = dict(headers)
        if b"content-encoding" in fields and fields[b"content-encoding"].lower() != b"identity":
            return False
        content_type = fields.get(b"content-type", b"")
        if content_type == b"application/json":  # most are, and this saves reading it
            return True
        content_type = content_type.lower()
        self.is_events = content_type.startswith(b"text/event-stream")
        return self.is_events or b"json" in content_type

    def note(self, text: bytes) -> None:
        """Take notice of whole events."""
        self.noted += 1
        if self._search(text) is not None:
            kept = self._chunks
            kept.append(text)
            if len(kept) > MAX_KEPT + 1:
                del kept[1]

    def add(self, chunk: bytes) -> None:
        """Take notice of a chunk of a body that is no stream of events."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._end += len(chunk)
        while self._size > MAX_WHOLE and self._end - len(self._chunks[0]) >= MAX_END:
            self._end -= len(self._chunks.popleft())

    def finish(self, record: RecordBuilder) -> None:
        """Note the usage in the record of a request that is over. A bug in it is noted alone."""
        try:
            record.metered = self.metered(record)
        except Exception:  # noqa: BLE001 the caller has the response
            record.note_bug()

    def metered(self, record: RecordBuilder) -> RequestUsage:
        """The usage of a request that is over."""
        counts = self.counts()
        usage = "reported" if counts else None
        if record.outcome != "ok":
            usage = "partial"
        if self._reader.places.estimates and (usage != "reported" or self._lacks(counts)):
            usage = usage if usage == "partial" else "estimated"
            counts = self._estimated(counts, record.bytes_in, record.bytes_out)
        return RequestUsage(counts, usage) if counts else RequestUsage({})

    def _estimated(self, counts: Counts, input_bytes: int, output_bytes: int) -> Counts:
        """`counts` completed: four bytes a token, and at least a token an event of a stream.

        Of a stream that broke off, the output that was reported first is a placeholder.
        """
        if 0 < input_bytes <= MAX_ESTIMATED:
            counts = {"input_tokens": input_bytes // BYTES_A_TOKEN + 1} | counts
        if self.is_events:
            counts["output_tokens"] = max(counts.get("output_tokens", 0), self.noted)
        elif "output_tokens" in self._reader.counts and output_bytes <= MAX_ESTIMATED:
            counts.setdefault("output_tokens", output_bytes // BYTES_A_TOKEN)
        return counts

    def _lacks(self, counts: Counts) -> bool:
        """Whether tokens are missing that this endpoint can report."""
        return not self._reader.needed <= counts.keys()

    def counts(self) -> Counts:
        """What the response has said."""
        if self.is_events:
            return self._reader.events(self._chunks)
        text = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if self._size > MAX_WHOLE:
            return self._reader.end_of_body(text[-MAX_END:])
        return self._reader.body(text)


class _Document:
    """Decodes a JSON document as far as `pointers` lead; what they lead to is built whole."""

    def __init__(self, pointers: Iterable[Pointer]) -> None:
        tree: dict[str, Any] = {}
        for pointer in sorted(pointers, key=len, reverse=True):
            node = tree
            for name in pointer[:-1]:
                node = node.setdefault(name, {})
            node[pointer[-1]] = None
        self._decoder = msgspec.json.Decoder(_struct(tree))

    def decode(self, text: bytes) -> Any:
        """The document, or None when it is not JSON. A member of an unexpected type costs a full decoding."""
        try:
            return self._decoder.decode(text)
        except msgspec.ValidationError:
            return _decoded(text)
        except _WRONG:
            return None


def _struct(tree: Mapping[str, Any]) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any, Any]] = [
        (name, Any if inside is None else _struct(inside) | None, None)
        for name, inside in tree.items()
    ]
    return msgspec.defstruct("Document", fields)


def _search(names: Iterable[str], openings: bytes) -> re.Pattern[bytes]:
    """Finds a member with one of `names` whose value is an object, so not one that is null."""
    words = b"|".join(dict.fromkeys(re.escape(name).encode() for name in names))
    return re.compile(
        rb'"(?:%b)"\s*+:\s*+[%b]' % (words, re.escape(openings)) if words else b"(?!)"
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


def _decoded(text: bytes) -> Any:
    try:
        return _generic.decode(text)
    except _WRONG:
        return None


def _first_value(text: bytes) -> Any:
    """The object at the beginning of `text`."""
    depth = 0
    for found in _MARKS.finditer(text):
        depth += {b"{": 1, b"}": -1}.get(found[0], 0)
        if depth == 0:
            return _decoded(text[: found.end()])
    return None


_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}]', re.DOTALL)
