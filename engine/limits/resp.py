"""One connection to Redis or Valkey that sends commands without waiting for the replies before them (RESP2).

A general client costs 75 to 110 us of CPU for a command, and a request here may cost 60 in all.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from engine.plan.limit_store import StoreServer

MAX_WAITING = 4096  # replies of one connection
MAX_REPLY = 1024 * 1024  # bytes that are read before a reply is whole
_TYPES, _ERROR, _STRING = b"+-:$", 0x2D, 0x24


class LimitStoreError(Exception):
    """The limit store failed or refused a command. The message is one word; it never holds a host or a password."""


def first_commands(server: StoreServer) -> list[Sequence[bytes]]:
    """The commands that a connection begins with."""
    commands: list[Sequence[bytes]] = []
    if server.password is not None:
        user = [server.username.encode()] if server.username else []
        commands.append([b"AUTH", *user, server.password.encode()])
    if server.database:
        commands.append([b"SELECT", b"%d" % server.database])
    return commands


def encode(parts: Sequence[bytes]) -> bytes:
    """A command, or a part of one without its head."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def command(count: int, encoded: bytes) -> bytes:
    """A command of `count` parts that were encoded before."""
    return b"*%d\r\n%b" % (count, encoded)


class RedisConnection(asyncio.Protocol):
    """A connection. `closed` is called once, when it has ended, and `late` with a reply that nobody awaits any more."""

    def __init__(self, closed: Callable[[], None], late: Callable[[object, bytes], None]) -> None:
        # Once, since it asks the kernel for the process up to Python 3.11.
        self._loop = asyncio.get_running_loop()
        self._closed = closed
        self._late = late
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[asyncio.Future[bytes], object]] = deque()
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 its kind says nothing more
        self._transport = None
        waiting, self._waiting = self._waiting, deque()
        for future, _ in waiting:
            _fail(future, "connection lost")
        self._closed()

    def abort(self) -> None:
        """End it at once; nothing that was sent can be taken back."""
        if self._transport is not None:
            self._transport.abort()

    def send(self, sent: bytes, about: object = None) -> asyncio.Future[bytes]:
        """Send an encoded command; its reply, or LimitStoreError.

        The future may be cancelled: `late` gets the reply then, with `about`.
        """
        future: asyncio.Future[bytes] = self._loop.create_future()
        if self._transport is None or len(self._waiting) >= MAX_WAITING:
            _fail(future, "not connected" if self._transport is None else "too many commands wait")
            return future
        self._waiting.append((future, about))
        self._transport.write(sent)
        return future

    def data_received(self, data: bytes) -> None:
        unread = self._unread + data if self._unread else data
        at = 0
        while (end := unread.find(b"\r\n", at)) >= 0:
            kind, start, after = unread[at], at + 1, end + 2
            if kind == _STRING and unread[start:end] != b"-1":  # after its length
                start, end = after, after + int(unread[start:end])
                after = end + 2
                if len(unread) < after:
                    break
            at = after
            self._take(kind, unread[start:end])
        self._unread = unread[at:]
        if len(self._unread) > MAX_REPLY:
            self.abort()

    def _take(self, kind: int, line: bytes) -> None:
        if kind not in _TYPES or not self._waiting:  # nothing that we ask for has such a reply
            self.abort()
            return
        future, about = self._waiting.popleft()
        if kind == _ERROR:  # whose first word is its kind
            _fail(future, line.partition(b" ")[0][:40].decode("ascii", "replace"))
        elif future.done():
            self._late(about, line)
        else:
            future.set_result(line)


def _ignore(_about: object, _reply: bytes) -> None:
    """Nothing is to be done about a late reply."""


def _fail(future: asyncio.Future[bytes], why: str) -> None:
    if not future.done():
        future.set_exception(LimitStoreError(why))
        future.exception()  # whoever does not await it need not know


async def connect(
    server: StoreServer,
    closed: Callable[[], None],
    late: Callable[[object, bytes], None] = _ignore,
) -> RedisConnection:
    """A connection that is logged in.

    Raises:
        LimitStoreError, OSError: there is none.
    """
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context() if server.is_secure else None
    _, made = await loop.create_connection(
        lambda: RedisConnection(closed, late), server.host, server.port, ssl=context
    )
    try:
        for parts in first_commands(server):
            await made.send(command(len(parts), encode(parts)))
    except BaseException:
        made.abort()
        raise
    return made
