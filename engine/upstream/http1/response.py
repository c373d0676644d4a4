"""The answer to one request, from bytes to a head and pieces: HTTP/1.1 without any I/O.

One Answer takes all answers of a connection, one after the other. It walks these states; STEPS
has every step, and anything else that happens ends the connection's use:

    IDLE --ask--> HEAD --final--> BODY --end--> WHOLE --release--> IDLE
                  |  ^
                 interim (1xx)

Bytes while IDLE, behind a WHOLE answer or instead of a head are never taken for an answer. An end
of input completes only a body that is framed by it (RFC 9112, 6.3).

What the parser swallows without handing anything on is bounded wherever it stands: a head with all
interim ones before it, the extensions of a chunk, trailers.
"""

from collections import deque
from enum import IntEnum
from typing import Any

import httptools

from engine.upstream import Failure, Pairs

MAX_HEAD = 128 * 1024  # bytes without a piece of the body among them
MAX_HEADS = 4 * 1024 * 1024  # bytes of all interim heads and the final one: 20,000 short ones pass
MAX_FIELDS = 1000
STEP = 16 * 1024  # bytes of a head from one look at these bounds to the next


class State(IntEnum):
    """Where a connection stands in its exchange. SPENT: it cannot carry another one."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    WHOLE = 3
    SPENT = 4


class Event(IntEnum):
    """What can happen to it."""

    ASK = 0
    INTERIM = 1
    FINAL = 2
    END = 3
    RELEASE = 4
    SURPLUS = 5
    GARBAGE = 6
    CLOSE = 7


STEPS: dict[State, dict[Event, State]] = {
    State.IDLE: {Event.ASK: State.HEAD},
    State.HEAD: {Event.INTERIM: State.HEAD, Event.FINAL: State.BODY},
    State.BODY: {Event.END: State.WHOLE},
    State.WHOLE: {Event.RELEASE: State.IDLE},
    State.SPENT: {},
}
# Why an answer that does not come to its end is missing; RFC 9112, 8 for the last.
FAILURES: dict[tuple[State, Event], Failure] = {
    (State.HEAD, Event.GARBAGE): Failure.BAD_RESPONSE,
    (State.HEAD, Event.CLOSE): Failure.CLOSED,
    (State.BODY, Event.GARBAGE): Failure.TRUNCATED,
    (State.BODY, Event.CLOSE): Failure.TRUNCATED,
}

# Looking a member up in its class costs more than all else that a header does here.
_IDLE, _HEAD, _BODY, _WHOLE, _SPENT = State
_SPELLED: dict[bytes, bytes] = {}  # at most MAX_NAMES names of at most MAX_NAME bytes
MAX_NAMES = 1024
MAX_NAME = 64


class Answer:
    """What has arrived of the answer to one request.

    `status`, `headers` (names in lower case) and `length` (None: not declared, or no body) hold
    from BODY on, `pieces` what has not been taken of the body. `failure` says why the answer will
    never be complete.
    """

    def __init__(self) -> None:
        self.state = _IDLE
        self.pieces: deque[bytes] = deque()
        self._parser: Any = httptools.HttpResponseParser(self)
        self._rest()

    def _rest(self) -> None:
        """As before the first exchange."""
        self.status = 0
        self.headers: Pairs = []
        self.length: int | None = None
        self.is_complete = False
        self.failure: Failure | None = None
        self.buffered = 0
        self._swallowed = self._of_heads = 0
        self._trailers = 0
        self._ends_by_close = False
        self._keep_alive = False

    def ask(self) -> None:
        """A request is about to be sent."""
        self._step(Event.ASK)

    def feed(self, data: bytes) -> None:
        """Take what the upstream has sent."""
        while self.state is _HEAD and len(data) > STEP:
            self._parse(data[:STEP])
            data = data[STEP:]
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        if self.state is not _HEAD and self.state is not _BODY:
            self._step(Event.SURPLUS)
            return
        self._swallowed += len(data)
        if self.state is _HEAD:
            self._of_heads += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._step(Event.GARBAGE)
        is_long = self._swallowed > MAX_HEAD or len(self.headers) > MAX_FIELDS
        is_long = is_long or (self.state is _HEAD and self._of_heads > MAX_HEADS)
        if is_long and (self.state is _HEAD or self.state is _BODY):
            self._step(Event.GARBAGE)

    def closed(self, *, cleanly: bool) -> None:
        """The upstream has closed the connection, or it broke."""
        if self.state is _BODY and self._ends_by_close and cleanly:
            self._step(Event.END)
            self.is_complete = True
        self._step(Event.CLOSE)

    def take(self) -> bytes:
        """The next piece of the body as it came; empty when there is none."""
        if not self.pieces:
            return b""
        piece = self.pieces.popleft()
        self.buffered -= len(piece)
        return piece

    def take_all(self) -> bytes:
        """All that has arrived of the body and was not taken yet."""
        if len(self.pieces) < 2:
            return self.take()
        body = b"".join(self.pieces)
        self.pieces.clear()
        self.buffered = 0
        return body

    def release(self) -> bool:
        """End the exchange: whether the connection can carry another one."""
        if not self._keep_alive or self.pieces:
            self.state = _SPENT
        self._step(Event.RELEASE)
        if self.state is not _IDLE:
            return False
        self._rest()
        return True

    def _step(self, event: Event) -> None:
        was = self.state
        self.state = STEPS[was].get(event, _SPENT)
        if self.state is _SPENT and self.failure is None:
            self.failure = FAILURES.get((was, event))

    # -- what the parser calls -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A message behind a complete answer is one to nobody."""
        if self.state is _HEAD:
            self.headers = []
        else:
            self._step(Event.SURPLUS)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer, which nobody is told about.

        Raises:
            OverflowError: too many trailers; the parser makes it an error of its own.
        """
        if self.state is _HEAD:
            self.headers.append((_SPELLED.get(name) or _lower(name), value))
        else:
            self._trailers += 1
            if self._trailers > MAX_FIELDS:
                raise OverflowError

    def on_headers_complete(self) -> None:
        """The head is there: interim answers are dropped, others settle the framing."""
        if self.state is not _HEAD:
            return
        status: int = self._parser.get_status_code()
        if 100 <= status <= 199 and status != 101:
            self._step(Event.INTERIM)
            self._swallowed = 0
        elif 200 <= status <= 599 and self._settle_framing(status):
            self.status = status
            self._step(Event.FINAL)
        else:
            self._step(Event.GARBAGE)

    def on_body(self, data: bytes) -> None:
        """A piece of the body, as it came."""
        if self.state is _BODY:
            self.pieces.append(data)
            self.buffered += len(data)
            self._swallowed = 0

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.state is _BODY:
            self._step(Event.END)
            self.is_complete = True
            self._keep_alive = self._parser.should_keep_alive()

    def _settle_framing(self, status: int) -> bool:
        """Length of the body by RFC 9112, 6.3; False for codings other than `chunked`."""
        if len(self.headers) > MAX_FIELDS:
            return False
        fields = dict(self.headers)
        coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
        if coding is not None and any(
            value.strip().lower() != b"chunked"
            for name, value in self.headers
            if name == b"transfer-encoding"
        ):
            return False
        is_empty = status in (204, 304)
        self.length = int(length) if length and not coding and not is_empty else None
        self._ends_by_close = length is None and coding is None and not is_empty
        return True


def _lower(name: bytes) -> bytes:
    """`name` in lower case, remembered: an upstream sends the same few over and over."""
    lower = name.lower()
    if len(name) <= MAX_NAME:
        if len(_SPELLED) >= MAX_NAMES:
            _SPELLED.clear()
        _SPELLED[name] = lower
    return lower
