"""The model that a response names, which may be another than the one that was asked for; for traces."""

import zlib
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from engine.gateway.response.event_text import events_in, leading_members, text_of
from engine.upstream import Pairs, UpstreamResponse, Write

MAX_BEGINNING = 32 * 1024  # bytes that are searched
MAX_END = 512
_SUCCESS = range(200, 300)
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_ENCODINGS = (b"gzip", b"x-gzip", b"deflate")
_MEMBER = b'"model"'
_WRONG = (msgspec.DecodeError, UnicodeError, RecursionError)


class _Object(msgspec.Struct):
    """Where the model is: in the body or event itself, or in one of two objects of an event."""

    model: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()


_object = msgspec.json.Decoder(_Object)


class ResponseTrace:
    """A response that is read on its way; `record_model` gets the model that it names, when it is closed."""

    def __init__(self, response: UpstreamResponse, record_model: Callable[[str], None]) -> None:
        self.status = response.status
        self.headers: Pairs = response.headers
        self.fields = response.fields
        self.length = response.length
        self._response = response
        self._record_model = record_model
        self._kept: list[bytes] = []
        self._room = MAX_BEGINNING
        self._end = b""

    @property
    def is_complete(self) -> bool:
        """As the response's."""
        return self._response.is_complete

    def arrived(self) -> bytes:
        """As the response's."""
        chunk = self._response.arrived()
        self._keep(chunk)
        return chunk

    async def forward(self, write: Write) -> None:
        """As the response's."""

        def watched(chunk: bytes) -> Awaitable[None] | None:
            self._keep(chunk)
            return write(chunk)

        await self._response.forward(watched)

    def close(self) -> Awaitable[None] | None:
        """Record the model, and close the response."""
        if self.status in _SUCCESS:
            model = model_in(self.fields, b"".join(self._kept), self._end)
            if model:
                self._record_model(model)
        return self._response.close()

    def _keep(self, chunk: bytes) -> None:
        if self._room > 0:
            self._kept.append(chunk[: self._room])
            self._room -= len(chunk)
        if self._room < 0:
            self._end = (self._end + chunk[-MAX_END:])[-MAX_END:]


def model_in(fields: Mapping[bytes, bytes], beginning: bytes, end: bytes) -> str:
    """The model that a response with these headers names at the beginning or the end of its body; "" without."""
    encoding = fields.get(b"content-encoding", b"").lower()
    if encoding in _ENCODINGS:
        beginning, end = _unpacked(beginning), b""
    kind = fields.get(b"content-type", b"").lower()
    if kind.startswith(b"text/event-stream"):
        return next(filter(None, (_model_of(e.data) for e in events_in(beginning))), "")
    if b"json" not in kind:
        return ""
    return _model_of(beginning) or _model_of(leading_members(beginning)) or _model_at_end(end)


def _model_of(text: bytes) -> str:
    try:
        found = _object.decode(text)
        inside = bytes(found.response) or bytes(found.message)
        return text_of(found.model) or (text_of(_object.decode(inside).model) if inside else "")
    except _WRONG:
        return ""


def _model_at_end(text: bytes) -> str:
    """The model in the end of a long body: what follows decodes as an object at its top level alone."""
    at = text.rfind(_MEMBER)
    return _model_of(b"{" + text[at:]) if at > 0 and text[at - 1 : at] != b"\\" else ""


def _unpacked(text: bytes) -> bytes:
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(text, MAX_BEGINNING)
    except zlib.error:
        return b""
