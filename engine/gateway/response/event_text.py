"""What whole events of a stream say: their names, and the few fields of their data that count here."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

MAX_EVENT = 1024 * 1024  # of one event that is read
MAX_LEADING = 4096  # of one that is longer
MAX_LINES = 16 * 1024  # the last ones of what is read at a time
_BOM = b"\xef\xbb\xbf"
# The members that an object begins with, up to the first array or object.
_STRING = rb'"(?:[^"\\]|\\.)*+"'
_LEADING = re.compile(
    rb"\s*+\{(?>(?:\s*+%b\s*+:\s*+(?:%b|[-+.\w]++)\s*+,)*)" % (_STRING, _STRING), re.DOTALL
)
_BLANK_LINE = re.compile(rb"(?:\r\n?+|\n){2}")
_NONE = object()
_NO_ERROR = {b"", b"null", b"false", b"{}", b'""'}


Members = tuple[tuple[str, Any], ...]


class Event(NamedTuple):
    """An event that a client dispatches."""

    name: bytes
    data: bytes


class Fields(msgspec.Struct):
    """The members of an event's data that the gateway reads, each by itself, since any may be of another type."""

    type: msgspec.Raw = msgspec.Raw()
    sequence_number: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class Response(msgspec.Struct):
    """The members that the gateway reads of the object in `response`, in an event of the Responses API."""

    id: msgspec.Raw = msgspec.Raw()
    created_at: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()


_fields = msgspec.json.Decoder(Fields)
_response = msgspec.json.Decoder(Response)
_value = msgspec.json.Decoder()
_WRONG = (msgspec.DecodeError, UnicodeError, RecursionError)


def events_in(text: bytes) -> Iterator[Event]:
    """The events of `text`, the last one also without the blank line that ends it."""
    name, data = b"", list[bytes]()
    lines = text.removeprefix(_BOM).splitlines()
    for line in (*lines[-MAX_LINES:], b""):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.strip()
        elif not line:
            if data:
                yield Event(name, b"\n".join(data).strip())
            name, data = b"", []


def fields_of(data: bytes) -> Fields:
    """The fields of an event's data, as far as it is a JSON object."""
    try:
        return _fields.decode(data)
    except _WRONG:
        return Fields()


def beginning_of(text: bytes) -> bytes:
    """An event that is too long to be read, with the members before its first array or object."""
    for name, data in events_in(text):
        return b"event: %b\ndata: %b\n\n" % (name, leading_members(data).replace(b"\n", b" "))
    return b""


def leading_members(data: bytes) -> bytes:
    """An object of the members before the first array or object of `data`, which may be cut."""
    leading = _LEADING.match(data, 0, MAX_LEADING)
    return leading[0].rstrip(b",") + b"}" if leading else b"{}"


def without_event(text: bytes, extra: Members, has_usage: Callable[[bytes], bool]) -> bytes:
    """`text`, which is whole events, without those that have usage and all members of `extra`."""
    position, kept = 0, list[bytes]()
    ends = [found.end() for found in _BLANK_LINE.finditer(text)]
    for end in (*ends, len(text)):
        block = text[position:end]
        if not has_usage(block) or not any(_has(e.data, extra) for e in events_in(block)):
            kept.append(block)
        else:  # line ends before it are of a comment that has left
            kept.append(block[: len(block) - len(block.lstrip(b"\r\n"))])
        position = end
    return b"".join(kept)


def decoded(text: bytes) -> Any:
    """The value of a JSON text; None of one that is none."""
    try:
        return _value.decode(text)
    except _WRONG:
        return None


def _has(data: bytes, members: Members) -> bool:
    found = decoded(data)
    return type(found) is dict and all(found.get(name, _NONE) == value for name, value in members)


def response_of(fields: Fields) -> Response | None:
    """The response that an event carries."""
    try:
        return _response.decode(fields.response)
    except _WRONG:
        return None


def text_of(raw: msgspec.Raw) -> str:
    """A short string; empty if it is anything else."""
    value = _scalar(raw)
    return value if isinstance(value, str) and len(value) <= 256 else ""


def number_of(raw: msgspec.Raw) -> int | None:
    """A number from 0 on that JavaScript counts with, without a fraction."""
    value = _scalar(raw)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return int(value) if 0 <= value < 2**53 else None


def is_error(event: Event) -> bool:
    """Whether an event reports a failure, in the form of any dialect."""
    fields = fields_of(event.data)
    is_named = b"error" in (event.name, text_of(fields.type).encode())
    return is_named or bytes(fields.error) not in _NO_ERROR


def _scalar(raw: msgspec.Raw) -> object:
    if not 0 < len(bytes(raw)) <= 2048:
        return None
    try:
        return _value.decode(raw)
    except _WRONG:
        return None
