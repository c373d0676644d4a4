"""Attempts over HTTP/1.1 on asyncio: one connection, which carries one exchange at a time.

What the bytes mean is for `response` to say; here they come and go. A connection goes back to the
pool only when both the request and the response are complete and the upstream keeps it open. It
carries nothing from one exchange to the next: it is as `idle.ATTRIBUTES` says then, or it is dropped.

Why not a library: what a gateway does is this exchange, and the figures are in docs/performance.md.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from time import monotonic
from typing import cast

from engine.upstream import Attempt, Failure, UpstreamError, Write
from engine.upstream.http1.idle import Pool, arrivals
from engine.upstream.http1.request import request_head
from engine.upstream.http1.response import STEP, ExchangeState, HeaderNames, ResponseReader

READ_AHEAD = 64 * 1024
MAX_COPIED = 16 * 1024  # of a body that is copied behind its head: faster than two buffers
KEEPALIVE_SECONDS = 30.0
RETIRE_SECONDS = 0.1
PEER_CLOSE_SECONDS = 10.0

_IDLE, _HEAD, _BODY, _MUST_CLOSE = (
    ExchangeState.IDLE,
    ExchangeState.HEAD,
    ExchangeState.BODY,
    ExchangeState.MUST_CLOSE,
)


class Connection(ResponseReader, asyncio.Protocol):
    """One connection and the response it is receiving: an UpstreamResponse, from `exchange` to `close`.

    `pool` is where it rests between two exchanges.
    """

    __slots__ = (
        *("opened", "idle_since", "left", "_loop", "_pool", "_transport"),
        *("_has_arrivals", "_is_sent", "_reading_paused", "_writing_paused"),
        *("_reader", "_write", "_blocked", "_writer"),
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: Pool["Connection"],
        names: HeaderNames | None = None,
    ) -> None:
        super().__init__(HeaderNames() if names is None else names)
        self._loop = loop
        self._pool = pool
        self.opened = self.idle_since = monotonic()
        self.left = next(pool.lifetimes) - 1 if pool.capacity else 0  # exchanges after this one
        self._transport: asyncio.Transport
        self._reading_paused = self._writing_paused = False
        self._reader: asyncio.Future[None] | None = None
        self._write: Write | None = None
        self._writer: asyncio.Future[None] | None = None
        self._is_sent = False
        self._blocked: Awaitable[None] | None = None

    # -- what the transport calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._has_arrivals = arrivals(transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        """Take what has arrived; wake the task unless `on_body` has written all of it on."""
        if self.state is _BODY:  # as `feed` begins; its call costs 1 % of an event
            self._parse(data)
            if self._write is not None and self.state is _BODY:
                return
        elif self.state is _HEAD and len(data) <= STEP:  # as `feed` too: mostly the whole response
            self._parse_head(data)
        else:
            self.feed(data)
        if self.state is _BODY:
            # Never behind a complete response: TLS would hide from the kernel what follows it.
            if self.buffered > READ_AHEAD and not self._reading_paused:
                self._reading_paused = True
                self._transport.pause_reading()
        elif self.state is _MUST_CLOSE:
            self._transport.abort()
            if self.failure is None:
                self._pool.receive_unsolicited(data)
        self._wake()

    def on_body(self, data: bytes) -> None:
        """Write a chunk of the body on at once while `forward` waits for it, or keep it."""
        if self.state is not _BODY:
            return
        write = self._write
        self._swallowed = 0
        if write is None:
            self.chunks.append(data)
            self.buffered += len(data)
        else:
            try:
                blocked = write(data)
                if blocked is not None:
                    self._blocked, self._write = blocked, None
            except Exception as error:  # for the task in `forward`, not for the parser
                reader, self._write = self._reader, None
                if reader is None or reader.done():
                    raise
                reader.set_exception(error)

    def eof_received(self) -> None:
        """The upstream has closed its side: close ours too, since a half-closed exchange is useless."""

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is closed: a response that is not complete now has failed."""
        self.closed(cleanly=error is None)
        self._parser = None  # it refers back to here
        self._pool.unwatch(self)
        self._wake()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self._writing_paused = False
        self._wake_writer()

    # -- what the client calls -------------------------------------------------------------------

    async def exchange(self, attempt: Attempt) -> "Connection":
        """Send `attempt` and wait for the final head; without one the connection is dropped.

        Raises:
            UpstreamError: there is no response.
        """
        try:
            self.send_request()
            head, body = request_head(attempt, is_last=self.left < 1), attempt.body
            if isinstance(body, bytes):
                if len(body) < MAX_COPIED:
                    self._transport.write(head + body)
                else:  # what the socket does not take at once is kept by reference
                    self._transport.writelines((head, body))
                self._is_sent = True
            else:
                self._transport.write(head)
                await self._upload(body, is_chunked=attempt.length is None)
            sent = attempt.sent  # called from a slot, it is looked up without a cache: 0.1 us
            sent()
            while self.state is _HEAD:
                await self._wait()
            if not self.status:
                raise UpstreamError(self.failure or Failure.CLOSED)
        except BaseException:
            self.abort()
            raise
        return self

    async def forward(self, write: Write) -> None:
        """Pass each chunk of the body to `write` as it arrives.

        While the task waits here, `on_body` calls `write` itself, and the task is woken only
        when it has to wait for the caller or the body has ended. Waking it for each chunk costs
        1.1 us more for each event of a stream on uvloop, 2 us on asyncio (of some 40).

        Raises:
            UpstreamError: the body broke off.
        """
        while True:
            while self.chunks and self._blocked is None:
                chunk = self.chunks.popleft()
                self.buffered -= len(chunk)
                self._blocked = write(chunk)
            if self._blocked is not None:
                blocked, self._blocked = self._blocked, None
                await blocked
            elif self.is_complete:
                return
            elif self.failure is not None:
                raise UpstreamError(self.failure)
            else:
                self._read_on()
                self._write = write
                try:
                    await self._wait()
                finally:
                    self._write = None

    def arrived(self) -> bytes:
        """All that has arrived of the body and was not taken yet, without waiting."""
        body = self.pop_chunks()
        if self._reading_paused:
            self._read_on()
        return body

    def close(self) -> None:
        """End the exchange: back to the pool if it can carry another one, else drop it."""
        transport = self._transport
        is_sent = self._is_sent and not transport.get_write_buffer_size()
        if not is_sent or self._writing_paused or transport.is_closing() or not self.release():
            self.abort()
            return
        self._is_sent, self._blocked = False, None
        if self.left > 0:
            self.idle_since = monotonic()
            self._pool.add(self)
        else:  # the response does not say that it is the last one: it may be that to an earlier request
            self._pool.watch(self, self._loop.call_later(PEER_CLOSE_SECONDS, self.abort))

    def abort(self) -> None:
        """Drop the connection now; nothing that is in flight can be mistaken for complete."""
        self.state = _MUST_CLOSE
        self._transport.abort()

    def retire(self) -> None:
        """Use it no more; what waits in the kernel is read before it is closed, since it says what is wrong."""
        self._loop.call_later(RETIRE_SECONDS, self.abort)

    def is_stale(self, now: float) -> bool:
        """Whether an idle connection cannot be used: it has rested too long, or anything but silence came from the upstream."""
        has_arrivals = self._has_arrivals
        return (
            now - self.idle_since > KEEPALIVE_SECONDS
            or self.state is not _IDLE
            or self._transport.is_closing()
            or has_arrivals() != 0
        )

    async def _upload(self, chunks: AsyncIterator[bytes | memoryview], *, is_chunked: bool) -> None:
        """Send a body in chunks until the provider responds: an early response ends the upload."""
        sending = asyncio.ensure_future(self._send(chunks, is_chunked=is_chunked))
        try:
            while self.state is _HEAD and not sending.done():
                self._reader = self._loop.create_future()
                await asyncio.wait({sending, self._reader}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            if not sending.done():
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    async def _send(self, chunks: AsyncIterator[bytes | memoryview], *, is_chunked: bool) -> None:
        async for chunk in chunks:
            if self.state is not _HEAD:
                return
            if not chunk:
                continue  # an empty chunk is the end
            if is_chunked:
                self._transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
            else:
                self._transport.write(chunk)
            while self._writing_paused and self.state is _HEAD:
                self._writer = self._loop.create_future()
                await self._writer
        if is_chunked:
            if self.state is not _HEAD:
                return  # a response came before its end; no later request may be taken for the rest
            self._transport.write(b"0\r\n\r\n")
        self._is_sent = True

    def _read_on(self) -> None:
        if self._reading_paused and self.buffered <= READ_AHEAD // 2:
            self._reading_paused = False
            if not self._transport.is_closing():  # uvloop raises then
                self._transport.resume_reading()

    def _wait(self) -> asyncio.Future[None]:
        """Done when something has happened that a reader may want to know."""
        self._reader = self._loop.create_future()
        return self._reader

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)
        if self._writer is not None and self.state is not _HEAD:
            self._wake_writer()

    def _wake_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None and not writer.done():
            writer.set_result(None)
