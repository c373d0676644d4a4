"""The connection of one worker to the server of its limits: kept, tried again, and cut off while it fails."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from engine.limits.resp import LimitStoreError, RedisConnection, command, connect, encode
from engine.plan.limit_store import StoreServer

T = TypeVar("T")
CONNECT_SECONDS = 1.0  # which no request waits for
FAILURES = 3  # in a row, until no request tries any more
# A replica and a server without memory run a script, but write nothing.
_WRITE = command(5, encode([b"SET", b"orqen:{probe}", b"1", b"PX", b"1000"]))
GRACE_SECONDS = 0.005  # for replies that have come while this process was busy


class StoreClient:
    """Commands to one server, each within `timeout` seconds; down until a probe has had its reply.

    `changed` is called with why, when it is down, and with None when it is up again. `late` gets
    replies that came after their time.
    """

    def __init__(
        self,
        server: StoreServer,
        script: bytes,
        timeout: float,
        changed: Callable[[str | None], None],
        late: Callable[[object, bytes], None],
    ) -> None:
        self._server = server
        self._probe = command(3, encode([b"SCRIPT", b"LOAD", script]))
        self._timeout = timeout
        self._changed = changed
        self._late = late
        self._connection: RedisConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0
        self._is_closed = False
        self.sha = b""
        self.is_up = False
        self._why: str | None = None  # it is down, as was said last

    def tick(self) -> None:
        """Once a second: try again, if it is down."""
        if not self.is_up and self._connecting is None and not self._is_closed:
            self._connecting = asyncio.ensure_future(self.connect())

    async def connect(self) -> None:
        """Connect and probe; whether that worked is in `is_up`."""
        made = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                made = await connect(self._server, self._lost, self._late)
            async with asyncio.timeout(self._timeout):
                self.sha = await made.send(self._probe)
            async with asyncio.timeout(self._timeout):
                await made.send(_WRITE)
        except (OSError, LimitStoreError, ValueError) as error:  # a TimeoutError is an OSError
            if made is not None:
                made.abort()
            self._down(_reason(error))
        else:
            self._connection, self._failures = made, 0
            self._up()
        finally:
            self._connecting = None

    async def close(self) -> None:
        """End the connection, after what was sent on it had its replies, in a moment at the most."""
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._connecting
        connection = self._connection
        if connection is not None:
            with suppress(LimitStoreError, TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await connection.send(command(1, encode([b"PING"])))
            connection.abort()

    def send(self, sent: bytes, about: object = None) -> asyncio.Future[bytes]:
        """Send a command, without a time for its reply.

        Raises:
            LimitStoreError: it was not sent.
        """
        if self._connection is None or not self.is_up:
            raise LimitStoreError(self._why or "not connected")
        return self._connection.send(sent, about)

    async def call(self, sent: bytes, read: Callable[[bytes], T], about: object = None) -> T:
        """Send a command; what `read` makes of its reply.

        Raises:
            LimitStoreError: it was not sent, or the reply was an error, too late, or none that can be read.
        """
        future = self.send(sent, about)
        loop = future.get_loop()
        timer = loop.call_later(self._timeout, _expire_soon, loop, future)
        try:
            found = read(await future)
        except LimitStoreError as error:
            self.record_failure(str(error))
            raise
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._late(about, future.result())  # both have come at once
            raise
        finally:
            timer.cancel()
        return found

    def record_success(self) -> None:
        """A command has done what it was to do."""
        self._failures = 0

    def record_failure(self, why: str) -> None:
        """Count a failure; after some in a row nothing is sent until a probe has succeeded."""
        if why == "NOSCRIPT":
            return
        self._failures += 1
        if self._failures >= FAILURES and self.is_up and self._connection is not None:
            self._why = why
            self._connection.abort()
            self._down(why)

    def _lost(self) -> None:
        self._connection = None
        if self.is_up:
            self._down("connection lost")
            self.tick()

    def _down(self, why: str) -> None:
        was_said = not self.is_up and self._why is not None
        self.is_up, self._why = False, why
        if not was_said and not self._is_closed:
            self._changed(why)

    def _up(self) -> None:
        was_down, self.is_up, self._why = self._why is not None, True, None
        if was_down:
            self._changed(None)


def _expire_soon(loop: asyncio.AbstractEventLoop, future: asyncio.Future[bytes]) -> None:
    """Let what has arrived already be read before it is too late."""
    loop.call_later(GRACE_SECONDS, _expire, future)


def _expire(future: asyncio.Future[bytes]) -> None:
    if not future.done():
        future.set_exception(LimitStoreError("timeout"))


def _reason(error: BaseException) -> str:
    if isinstance(error, LimitStoreError):
        return str(error)
    return "timeout" if isinstance(error, TimeoutError) else type(error).__name__
