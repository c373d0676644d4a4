"""Connections between two exchanges: where they rest, and what the kernel knows of them meanwhile.

A response belongs to a request by its place in the order alone (RFC 9112, 9.2). So bytes that arrive while no request
is under way must not be taken for the response to the next one, which may be another caller's. Those that have arrived
are seen before a connection is used again. Those that arrive a moment later look like the response, and then each
request gets the response to the one before, as long as the next request goes out before its own response comes. No
timing shows that for sure, but the end of a connection does: with its last request the upstream is asked to close. A
response that does not say it does may be that to an earlier request, and then one more comes. An origin that has sent
bytes unasked once gets one request for each connection for a while.
"""

import asyncio
import ctypes
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain, repeat
from time import monotonic
from typing import Protocol, TypeVar

from engine.upstream.http1.response import ExchangeState

MAX_IDLE = 256  # connections
DISTRUST_SECONDS = 300.0
MAX_AGE_SECONDS = 60.0  # and then one exchange more; a change of DNS reaches busy pools so, too
MAX_EXCHANGES = 500  # of a connection
# Of the first ones to an origin, so that one that is always wrong is seen soon.
FIRST_EXCHANGES = 4, 8, 16, 32, 64, 128, 256
# Servers say so before they close an idle connection; nothing else is wrong with them.
_TIMED_OUT = (b"HTTP/1.1 408", b"HTTP/1.0 408")

# PyDLL: other threads do not get the interpreter meanwhile, which this one had to wait for. Opened once, since each
# makes a class, which only the garbage collector frees.
_LIBC: ctypes.PyDLL | None = None if sys.platform == "win32" else ctypes.PyDLL(None)


# Every attribute of a connection that an exchange changes, as it is between two of them.
ATTRIBUTES: Mapping[str, object] = {
    "state": ExchangeState.IDLE,
    "status": 0,
    "headers": [],
    "fields": {},
    "length": None,
    "is_complete": False,
    "failure": None,
    "chunks": deque(),
    "buffered": 0,
    "_swallowed": 0,
    "_of_heads": 0,
    "_pairs": deque(),
    "_keep_alive": False,
    "_is_sent": False,
    "_reading_paused": False,
    "_writing_paused": False,
    "_reader": None,
    "_write": None,
    "_blocked": None,
    "_writer": None,
}


class _CanAbort(Protocol):
    def abort(self) -> None: ...


_Connection = TypeVar("_Connection", bound=_CanAbort)


class Pool(list[_Connection]):
    """The idle connections to one origin, the one used last at the end; those after their last exchange are not among them.

    `report` is called when the origin is not trusted any more.
    """

    def __init__(self, report: Callable[[], None]) -> None:
        super().__init__()
        self.capacity = MAX_IDLE
        self._report = report
        self._distrusted_at = 0.0
        # How many exchanges the next connections may have.
        self.lifetimes: Iterator[int] = chain(FIRST_EXCHANGES, repeat(MAX_EXCHANGES))
        self._leaving: dict[_Connection, asyncio.TimerHandle] = {}

    def add(self, connection: _Connection) -> None:
        """Keep a connection whose exchange has ended."""
        self.append(connection)
        if len(self) > self.capacity:
            self.pop(0).abort()

    def watch(self, connection: _Connection, timer: asyncio.TimerHandle) -> None:
        """Keep one that the upstream was asked to close until it does, or `timer`."""
        self._leaving[connection] = timer
        if len(self._leaving) > MAX_IDLE:
            next(iter(self._leaving)).abort()

    def unwatch(self, connection: _Connection) -> None:
        """It is closed."""
        timer = self._leaving.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def drop_all(self) -> None:
        """Drop every connection."""
        for connection in (*self, *self._leaving):
            connection.abort()
        self.clear()

    def receive_unsolicited(self, data: bytes) -> None:
        """No request asked for `data`: keep no connection to the origin for DISTRUST_SECONDS."""
        if data.startswith(_TIMED_OUT):
            return
        if self.capacity:
            self._report()
        self.capacity, self._distrusted_at = 0, monotonic()
        self.drop_all()

    def restore_trust(self, now: float) -> None:
        """Trust the origin again, once the time is over."""
        if now - self._distrusted_at > DISTRUST_SECONDS:
            self.capacity = MAX_IDLE


class _Watched(ctypes.Structure):
    """`struct pollfd` of poll(2)."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


def arrivals(descriptor: int) -> Callable[[], int]:
    """A function that says at once whether bytes, an end of input or an error wait in the kernel."""
    if _LIBC is None:
        return lambda: 0  # no poll(2): the loop sees them a moment later
    poll, watched = _LIBC.poll, ctypes.byref(_Watched(descriptor, select.POLLIN))
    return partial(poll, watched, 1, 0)
