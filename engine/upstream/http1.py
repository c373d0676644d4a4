"""Attempts over HTTP/1.1 on asyncio, parsed by llhttp: one connection.

A connection carries one exchange at a time and walks these states:

    IDLE --start--> HEAD --final head--> BODY --message complete--> IDLE   (or closed)

Whatever does not fit the state closes the connection: bytes while IDLE, an end of input in HEAD or
in a BODY that has a length. An interim (1xx) answer leaves it in HEAD. A connection goes back to
the pool only when both the request and the answer are complete and the upstream keeps it open.

Why not a library: what a gateway does is this exchange, and the figures are in ARCHITECTURE.md.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from enum import Enum, auto
from typing import Any, cast

import httptools

from engine.upstream import Attempt, Failure, Pairs, UpstreamError

MAX_HEAD = 128 * 1024
MAX_INTERIM = 20_000
READ_AHEAD = 64 * 1024
SMALL_BODY = 64 * 1024


class State(Enum):
    """Where a connection stands in its exchange."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    CLOSED = auto()


class Connection(asyncio.Protocol):
    """One connection and the answer it is receiving."""

    def __init__(self, now: float) -> None:
        self.opened = now
        self.idle_since = now
        self.state = State.IDLE
        self.status = 0
        self.headers: Pairs = []
        self.length: int | None = None
        self.failure: Failure | None = None
        self.is_sent = False
        self._transport: asyncio.Transport
        self._parser: Any = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._head_bytes = 0
        self._interim = 0
        self._ends_by_close = False
        self._complete = False
        self._keep_alive = False
        self._has_surplus = False
        self._reading_paused = False
        self._writing_paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # -- what the transport calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, whose callbacks move the state."""
        if self.state in (State.IDLE, State.CLOSED):
            self._fail(Failure.BAD_RESPONSE)
            return
        if self.state is State.HEAD:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(self._protocol_failure())
        if self.state is State.HEAD and self._head_bytes > MAX_HEAD:
            self._fail(Failure.BAD_RESPONSE)
        if self._buffered > READ_AHEAD and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """The upstream has said all it will: close, as no half-closed exchange is of any use."""

    def connection_lost(self, error: Exception | None) -> None:
        """Whatever is not complete by now never will be."""
        if self.state is State.BODY and self._ends_by_close and error is None:
            self._complete = True
        elif self.state is State.HEAD:
            self.failure = self.failure or Failure.CLOSED
        elif not self._complete:
            self.failure = self.failure or Failure.TRUNCATED
        self.state = State.CLOSED
        self._parser = None  # it refers back to here
        self._wake()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self._writing_paused = False
        self._wake_writer()

    # -- what the parser calls -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A message behind a complete answer is one to nobody: it ends the connection's use."""
        if self.state is State.HEAD:
            self.headers = []
        else:
            self._has_surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer, which nobody is told about."""
        if self.state is State.HEAD:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there: interim answers are dropped, others settle the framing."""
        if self.state is not State.HEAD:
            return
        status: int = self._parser.get_status_code()
        if 100 <= status <= 199 and status != 101:
            self._interim += 1
            self._head_bytes = 0
            if self._interim > MAX_INTERIM:
                self._fail(Failure.BAD_RESPONSE)
            return
        if not 200 <= status <= 599 or not self._settle_framing(status):
            self._fail(Failure.BAD_RESPONSE)
            return
        self.status = status
        self.state = State.BODY
        self._wake()

    def on_body(self, data: bytes) -> None:
        """A piece of the body, as it came."""
        if self._has_surplus:
            return
        self._pieces.append(data)
        self._buffered += len(data)
        self._wake()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.state is State.BODY and not self._has_surplus:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()
            self._wake()

    def _settle_framing(self, status: int) -> bool:
        """Length of the body by RFC 9112, 6.3; False for codings other than `chunked`."""
        lengths = [value for name, value in self.headers if name.lower() == b"content-length"]
        codings = [value for name, value in self.headers if name.lower() == b"transfer-encoding"]
        if any(coding.strip().lower() != b"chunked" for coding in codings):
            return False
        is_empty = status in (204, 304)
        self.length = int(lengths[0]) if lengths and not codings and not is_empty else None
        self._ends_by_close = not (lengths or codings or is_empty)
        return True

    def _protocol_failure(self) -> Failure:
        return Failure.BAD_RESPONSE if self.state is State.HEAD else Failure.TRUNCATED

    # -- what the client calls -------------------------------------------------------------------

    async def exchange(self, attempt: Attempt) -> None:
        """Send `attempt` and wait for the final head; `state` is BODY then.

        Raises:
            UpstreamError: there is no answer.
        """
        self.state = State.HEAD
        self._head_bytes = self._interim = self.status = 0
        self._complete = self._keep_alive = self.is_sent = False
        head = _head(attempt)
        if not isinstance(attempt.body, bytes):
            self._transport.write(head)
            await self._upload(attempt.body, is_chunked=attempt.length is None)
        elif len(attempt.body) <= SMALL_BODY:
            self._transport.write(head + attempt.body)
            self.is_sent = True
        else:
            self._transport.write(head)
            await self._upload(_blocks(attempt.body), is_chunked=False)
        while self.state is State.HEAD:
            await self._wait()
        if not self.status:
            raise UpstreamError(self.failure or Failure.CLOSED)

    async def _upload(self, pieces: AsyncIterator[bytes], *, is_chunked: bool) -> None:
        """Send a body in pieces until the upstream answers: an early answer ends the upload."""
        sending = asyncio.ensure_future(self._send(pieces, is_chunked=is_chunked))
        try:
            while self.state is State.HEAD and not sending.done():
                self._reader = asyncio.get_running_loop().create_future()
                await asyncio.wait({sending, self._reader}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            if not sending.done():
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    async def _send(self, pieces: AsyncIterator[bytes], *, is_chunked: bool) -> None:
        async for piece in pieces:
            if self.state is not State.HEAD:
                return
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            while self._writing_paused and self.state is State.HEAD:
                self._writer = asyncio.get_running_loop().create_future()
                await self._writer
        if is_chunked and self.state is State.HEAD:
            self._transport.write(b"0\r\n\r\n")
        self.is_sent = True

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body, piece by piece; reading stops while nobody takes them.

        Raises:
            UpstreamError: it broke off.
        """
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._buffered -= len(piece)
                if self._reading_paused and self._buffered <= READ_AHEAD // 2:
                    self._reading_paused = False
                    self._transport.resume_reading()
                yield piece
            if self._complete:
                return
            if self.failure is not None:
                raise UpstreamError(self.failure)
            await self._wait()

    def finish(self, now: float) -> bool:
        """End the exchange: whether the connection can carry another one."""
        usable = self._complete and self._keep_alive and self.is_sent and not self._pieces
        usable = usable and not self._has_surplus
        if not usable or self.state is not State.BODY or self._transport.is_closing():
            self.abort()
            return False
        self.state = State.IDLE
        self.idle_since = now
        return True

    def abort(self) -> None:
        """Drop the connection now; nothing that is under way can be mistaken for complete."""
        self._transport.abort()

    async def _wait(self) -> None:
        """Until something happens that a reader may want to know."""
        self._reader = asyncio.get_running_loop().create_future()
        await self._reader

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        if self.state is not State.HEAD:
            self._wake_writer()

    def _wake_writer(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def _fail(self, failure: Failure) -> None:
        self.failure = self.failure or failure
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._transport.abort()
            self._wake()


async def _blocks(body: bytes) -> AsyncIterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), SMALL_BODY):
        yield bytes(view[start : start + SMALL_BODY])


def _head(attempt: Attempt) -> bytes:
    """The request head. Every value was checked on its way here; a line break now is a bug."""
    lines = [
        b"%b %b HTTP/1.1" % (attempt.method.encode("ascii"), attempt.target),
        b"host: " + attempt.origin.authority,
    ]
    lines += [name + b": " + value for name, value in attempt.headers]
    if attempt.length is None:
        lines.append(b"transfer-encoding: chunked")
    else:
        lines.append(b"content-length: %d" % attempt.length)
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1 or b"\0" in head:
        raise ValueError("a line break in a request head")
    return head + b"\r\n\r\n"
