"""The connections of one worker's callers, as the kernel reports them (Linux).

The server has one time limit for idle connections and for those in the middle of a head, and none for
a response that nobody reads. So this checks the sockets at intervals:

    state                   closed after
    request under way       never: the gateway has limits of its own
    head not complete       HEAD_SECONDS
    response not read       STALL_SECONDS without progress
    idle                    by the server; see `--idle-timeout`. It does not close HTTP/2, so with
                            that this does, and takes an unfinished head for idle: a frame that needs
                            no response looks the same

Beyond `maximum` connections, those without a request go until there is room: unfinished heads before
idle ones, the addresses that have most of them first, then the oldest.
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
import sys
from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass
from time import monotonic
from typing import TypeAlias

from engine.server.ports import ServeError

MAX_CONNECTIONS = 4096
OTHER_FILES = 256  # files and connections to providers, where few files may be open
MIN_FILES = 64  # of a worker that serves a few callers, and of the parent of one
FILES_OF_WORKER = 4  # in the parent: its pipe and its end, and those of its successor
HEAD_SECONDS = 30.0
STALL_SECONDS = 60.0
FRESH_SECONDS = 1.0  # a connection younger than this is kept, however many there are
TICK_SECONDS = 5.0
FULL_TICK_SECONDS = 0.25
BATCH = 64  # connections that are checked before other tasks run

_INFO = struct.Struct("=44xI4xI88xI8xI")  # struct tcp_info of linux/tcp.h
_INTERNET = {socket.AF_INET, socket.AF_INET6}
Peer: TypeAlias = tuple[str, str]  # host and port, as in an ASGI scope


def max_connections() -> int:
    """How many connections a worker keeps; as many again may come before it closes the excess."""
    wanted = 2 * MAX_CONNECTIONS + 4 * OTHER_FILES
    found = _file_limit(wanted)
    return MAX_CONNECTIONS if found == wanted else max((found - OTHER_FILES) // 2, found // 4)


def raise_file_limit(workers: int = 1) -> None:
    """Raise the limit on open files of this process, the parent of so many workers, as far as it needs.

    Raises:
        ServeError: the system allows fewer.
    """
    wanted = MIN_FILES + FILES_OF_WORKER * (workers - 1)
    found = _file_limit(wanted)
    if found < wanted:
        raise ServeError(
            f"the system allows {found} open files, and {wanted} are needed: raise that (`ulimit -n`)"
        )


def _file_limit(wanted: int) -> int:
    """How many files this process may open, up to `wanted`, once the limit is raised as far as it can be."""
    if sys.platform == "win32":
        return wanted
    import resource  # noqa: PLC0415 there is none on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if found == resource.RLIM_INFINITY else min(found, wanted)


@dataclass(frozen=True, slots=True)
class IdleConnection:
    """A connection without a request; `age` is in seconds, in the head or idle.

    `is_over` when it has taken too long, however few there are.
    """

    fd: int
    peer: Peer
    age: float
    is_in_head: bool
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds that a connection may take; see the table above. `idle` None: the server closes idle ones."""

    head: float = HEAD_SECONDS
    stall: float = STALL_SECONDS
    idle: float | None = None


DEFAULT_LIMITS = ConnectionLimits()


class Connections:
    """Watches the connections that were accepted on `port`; `busy` returns whose requests run."""

    def __init__(
        self,
        port: int,
        maximum: int,
        busy: Callable[[], Set[Peer]],
        limits: ConnectionLimits = DEFAULT_LIMITS,
    ) -> None:
        self._port = port
        self._maximum = maximum
        self._busy = busy
        self._limits = limits
        self._heads: dict[Peer, float] = {}  # since when they are seen to be in a head
        self._count = 0

    async def watch(self, failed: Callable[[Exception], None]) -> None:
        """Check them for as long as the worker lives; `failed` gets the first of several errors."""
        if sys.platform != "linux":
            return
        last, is_reported = monotonic(), False
        while True:
            await asyncio.sleep(FULL_TICK_SECONDS)
            try:
                is_pressed = _open_files() > self._maximum
                if is_pressed or monotonic() - last > TICK_SECONDS:
                    await self.tick()
                    last, is_reported = monotonic(), False
            except Exception as error:  # noqa: BLE001 without this watch one caller keeps all out
                if not is_reported:
                    failed(error)
                is_reported = True

    async def tick(self) -> None:
        """Close what has taken too long, and what is too much."""
        found = await self._idle_connections()
        over = [one for one in found if one.is_over]
        kept = [one for one in found if not one.is_over]
        excess = choose_to_close(kept, self._count - len(over) - self._maximum)
        await self._close(over + excess)

    async def _idle_connections(self) -> list[IdleConnection]:
        found: list[IdleConnection] = []
        heads, self._heads, self._count = self._heads, {}, 0
        busy = self._busy()
        for index, name in enumerate(os.listdir("/proc/self/fd")):
            if index % BATCH == BATCH - 1:
                await asyncio.sleep(0)
                busy = self._busy()
            one = self._check(int(name), busy, heads)
            if one is not None:
                found.append(one)
        return found

    def _check(self, fd: int, busy: Set[Peer], heads: dict[Peer, float]) -> IdleConnection | None:
        """The connection behind `fd` if it is a caller's and no request is under way on it."""
        with contextlib.suppress(OSError), _socket(fd) as sock:
            if sock.family not in _INTERNET or sock.getsockname()[1] != self._port:
                return None
            host, port = sock.getpeername()[:2]  # the listener has none
            self._count += 1
            peer = (host, str(port))
            if peer in busy:
                return None
            last_sent, last_received, unsent, responses = _info(sock)
            if unsent:
                is_stuck = last_sent > self._limits.stall * 1000
                return (
                    IdleConnection(fd, peer, 0, is_in_head=False, is_over=True)
                    if is_stuck
                    else None
                )
            idle_seconds = self._limits.idle
            if responses and (last_received >= last_sent or idle_seconds is not None):
                age = min(last_sent, last_received) / 1000
                is_over = idle_seconds is not None and age > idle_seconds
                return IdleConnection(fd, peer, age, is_in_head=False, is_over=is_over)
            now = monotonic()
            age = now - heads.get(peer, now)
            self._heads[peer] = now - age
            return IdleConnection(fd, peer, age, is_in_head=True, is_over=age > self._limits.head)
        return None

    async def _close(self, those: list[IdleConnection]) -> None:
        busy = self._busy()
        for index, one in enumerate(those):
            if index % BATCH == BATCH - 1:
                await asyncio.sleep(0)
                busy = self._busy()
            now = self._check(one.fd, busy, self._heads)
            if now is not None and now.peer == one.peer and now.is_in_head == one.is_in_head:
                with contextlib.suppress(OSError), _socket(one.fd) as sock:
                    sock.shutdown(socket.SHUT_RDWR)  # the server closes it


def _open_files() -> int:
    """How many files and sockets this process has open."""
    folder = "/proc/self/fd"
    return os.stat(folder).st_size or len(os.listdir(folder))  # 0 before Linux 6.2


def choose_to_close(found: list[IdleConnection], number: int) -> list[IdleConnection]:
    """The `number` of connections to give up; fewer where most have only just come."""
    if number <= 0:
        return []
    crowd = Counter((one.peer[0], one.is_in_head) for one in found)
    old = [one for one in found if one.age >= FRESH_SECONDS]
    old.sort(key=lambda one: (not one.is_in_head, -crowd[one.peer[0], one.is_in_head], -one.age))
    return old[:number]


def _socket(fd: int) -> socket.socket:
    """A second handle of the socket: its number may mean another one in a moment.

    A file gets none: closing that would release every lock that this process holds on the file
    (fcntl(2)), such as those of SQLite, and others would take its database for unused.

    Raises:
        OSError: it is none, or it is closed.
    """
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        raise OSError(errno.ENOTSOCK, "not a socket")
    copy = os.dup(fd)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _info(sock: socket.socket) -> tuple[int, int, int, int]:
    """Milliseconds since data was sent and received, bytes not sent yet, segments of data sent."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    found: tuple[int, int, int, int] = _INFO.unpack(raw)
    return found
