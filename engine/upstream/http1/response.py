"""The response to one request, from bytes to a head and chunks: HTTP/1.1 without any I/O.

One ResponseReader reads all responses of a connection, one after the other. It walks these states,
and after anything else than these steps the connection is not used again:

    IDLE --send request--> HEAD --final head--> BODY --end--> DONE --release--> IDLE
                           |  ^
                     interim head (1xx)

Bytes while IDLE, after a DONE response or instead of a head are never taken for a response. An end
of input completes only a body that is framed by it (RFC 9112, 6.3).

What the parser consumes without passing anything on is bounded wherever it stands: a head with all
interim ones before it, the extensions of a chunk, trailers.
"""

from collections import deque
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import httptools

from engine.upstream import Failure, Pairs
from engine.upstream.cache import BoundedCache

MAX_HEAD = 128 * 1024  # bytes without a chunk of the body among them
MAX_HEADS = 4 * 1024 * 1024  # bytes of all interim heads and the final one: 20,000 short ones pass
MAX_FIELDS = 1000
STEP = 16 * 1024  # bytes of a head from one check of these bounds to the next
_HEAD_END = b"\r\n\r\n"


class ExchangeState(IntEnum):
    """Where a connection stands in its exchange. MUST_CLOSE: it cannot carry another one."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    DONE = 3
    MUST_CLOSE = 4


class EarlyEnd(IntEnum):
    """What ends an exchange before its time."""

    UNEXPECTED_DATA = 0
    PROTOCOL_ERROR = 1
    CLOSE = 2


# Why a response that does not come to its end is missing; RFC 9112, 8 for the last.
FAILURES: dict[tuple[ExchangeState, EarlyEnd], Failure] = {
    (ExchangeState.HEAD, EarlyEnd.PROTOCOL_ERROR): Failure.BAD_RESPONSE,
    (ExchangeState.HEAD, EarlyEnd.CLOSE): Failure.CLOSED,
    (ExchangeState.BODY, EarlyEnd.PROTOCOL_ERROR): Failure.TRUNCATED,
    (ExchangeState.BODY, EarlyEnd.CLOSE): Failure.TRUNCATED,
}

# Looking a member up in its class costs more than all else that a header does here.
_IDLE, _HEAD, _BODY, _DONE, _MUST_CLOSE = ExchangeState
_DROPPED = deque[tuple[bytes, bytes]](maxlen=0)  # keeps nothing
_NO_FIELDS: Mapping[bytes, bytes] = {}
MAX_NAMES_BYTES = 512 * 1024  # of the cache of header names
MAX_NAME = 64  # bytes of one of them; a longer one is made lower case each time


class HeaderNames(BoundedCache[bytes, bytes]):
    """Names of headers in lower case, by how providers write them: they send the same few names."""

    def __init__(self) -> None:
        super().__init__(MAX_NAMES_BYTES, MAX_NAME)

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        self.put(name, lower, len(name))
        return lower


def _has_final_head(data: bytes) -> bool:
    """Whether a response begins with a head that is short and not an interim one: the rest is its body."""
    return data.find(_HEAD_END, 0, STEP) > 0 and data[9:10] != b"1"  # HTTP/1.1 200


class ResponseReader:
    """What has arrived of the response to one request.

    `status`, `headers` (names in lower case), `fields` (by name; the last one wins) and `length`
    (None: not declared, or no body) hold from BODY on, `chunks` what has not been taken of the body. `failure` says why the response will
    never be complete.
    """

    # Objects with 30 attributes or more share no keys of their dicts, which made a request 5,000 instructions slower.
    __slots__ = (
        *("state", "status", "headers", "fields", "length", "is_complete", "failure"),
        *("chunks", "buffered", "_names", "_parser", "_pairs", "_keep_alive"),
        *("_swallowed", "_of_heads", "__weakref__"),
    )

    def __init__(self, names: HeaderNames) -> None:
        self.state = _IDLE
        self._names = names
        self.chunks: deque[bytes] = deque()
        self.buffered = 0
        self.failure: Failure | None = None
        self._pairs: Pairs | deque[tuple[bytes, bytes]] = _DROPPED  # what takes the next header
        self._parser: Any = httptools.HttpResponseParser(self)
        self._reset()

    def _reset(self) -> None:
        """As before the first exchange; all else is so whenever an exchange has ended well."""
        self.status = 0
        self.headers: Pairs = []
        self.fields: Mapping[bytes, bytes] = _NO_FIELDS
        self.length: int | None = None
        self.is_complete = self._keep_alive = False
        self._swallowed = self._of_heads = 0

    def send_request(self) -> None:
        """A request is about to be sent."""
        self.state = _HEAD if self.state is _IDLE else _MUST_CLOSE

    def feed(self, data: bytes) -> None:
        """Take what the upstream has sent."""
        if self.state is _BODY:
            self._parse(data)
        elif self.state is not _HEAD:
            self._fail(EarlyEnd.UNEXPECTED_DATA)
        elif len(data) <= STEP or (not self._of_heads and _has_final_head(data)):
            self._parse_head(data)
        else:
            self._feed_in_steps(data)

    def _feed_in_steps(self, data: bytes) -> None:
        """Take heads in steps, from one check of their bounds to the next, and what follows at once."""
        rest = memoryview(data)
        while self.state is _HEAD and len(rest) > STEP:
            self._parse_head(rest[:STEP])
            rest = rest[STEP:]
        if self.state is _HEAD:
            self._parse_head(rest)
        elif self.state is _BODY:
            self._parse(rest)
        else:
            self._fail(EarlyEnd.UNEXPECTED_DATA)

    def _parse_head(self, data: bytes | memoryview) -> None:
        self._of_heads += len(data)
        self._parse(data)
        if self.state is _HEAD and (self._of_heads > MAX_HEADS or len(self.headers) > MAX_FIELDS):
            self._fail(EarlyEnd.PROTOCOL_ERROR)

    def _parse(self, data: bytes | memoryview) -> None:
        self._swallowed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(EarlyEnd.PROTOCOL_ERROR)
        if self._swallowed > MAX_HEAD and self.state is not _DONE:
            self._fail(EarlyEnd.PROTOCOL_ERROR)

    def closed(self, *, cleanly: bool) -> None:
        """The upstream has closed the connection, or it broke."""
        if self.state is _BODY and cleanly and self._ends_by_close():
            self.state = _DONE
            self.is_complete = True
        self._fail(EarlyEnd.CLOSE)

    def pop_chunks(self) -> bytes:
        """All that has arrived of the body and was not taken yet."""
        self.buffered = 0
        chunks = self.chunks
        if len(chunks) == 1:
            return chunks.popleft()
        body = b"".join(chunks)
        chunks.clear()
        return body

    def release(self) -> bool:
        """End the exchange: whether the connection can carry another one."""
        if self.state is _DONE and self._keep_alive and not self.chunks:
            self.state = _IDLE
            self._reset()
            return True
        self.state = _MUST_CLOSE
        return False

    def _fail(self, event: EarlyEnd) -> None:
        was, self.state = self.state, _MUST_CLOSE
        if self.failure is None:
            self.failure = FAILURES.get((was, event))

    # -- what the parser calls -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A message after a complete response belongs to no request."""
        if self.state is _HEAD:
            self.headers = self._pairs = []
        else:
            self._fail(EarlyEnd.UNEXPECTED_DATA)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer, which is dropped."""
        self._pairs.append((self._names[name], value))

    def on_headers_complete(self) -> None:
        """The head is complete: an interim one is dropped, a final one decides the framing."""
        if self.state is not _HEAD:
            return
        status: int = self._parser.get_status_code()
        if 200 <= status <= 599 and len(self.headers) <= MAX_FIELDS:
            # The length of the body by RFC 9112, 6.3.
            fields = self.fields = dict(self.headers)
            if b"transfer-encoding" in fields:
                if not self._is_chunked():
                    self._fail(EarlyEnd.PROTOCOL_ERROR)
                    return
            elif (length := fields.get(b"content-length")) and status not in (204, 304):
                self.length = int(length)
            self.status = status
            self.state = _BODY
            self._pairs = _DROPPED
        elif 100 <= status <= 199 and status != 101:
            self._swallowed = 0
        else:
            self._fail(EarlyEnd.PROTOCOL_ERROR)

    def on_body(self, data: bytes) -> None:
        """A chunk of the body, as it came."""
        if self.state is _BODY:
            self.chunks.append(data)
            self.buffered += len(data)
            self._swallowed = 0

    def on_message_complete(self) -> None:
        """The response is complete."""
        if self.state is _BODY:
            self.state = _DONE
            self.is_complete = True
            self._keep_alive = self._parser.should_keep_alive()  # it forgets that after this

    def _is_chunked(self) -> bool:
        """Whether the body has no other coding than `chunked`."""
        codings = (value for name, value in self.headers if name == b"transfer-encoding")
        return all(coding.strip().lower() == b"chunked" for coding in codings)

    def _ends_by_close(self) -> bool:
        """Whether the end of input is that of the body (RFC 9112, 6.3)."""
        framed = b"content-length" in self.fields or b"transfer-encoding" in self.fields
        return not framed and self.status not in (204, 304)
