"""Connections between two exchanges: where they rest, and what the kernel knows of them meanwhile.

A response belongs to a request by its place in the order alone (RFC 9112, 9.2). So bytes that arrive while no request
is under way must not be taken for the response to the next one, which may be another caller's. Those that have arrived
are seen before a connection is used again. Those that arrive a moment later look like the response, and then each
request gets the response to the one before, as long as the next request goes out before its own response comes. So a
connection that is always busy rests after MAX_IN_A_ROW exchanges for as long as two of them take: what comes meanwhile
belonged to the last one. An origin that has sent such bytes once gets one request for each connection for a while.
"""

import asyncio
import ctypes
import select
import sys
from collections.abc import Callable
from time import monotonic
from typing import Protocol, TypeVar

MAX_IDLE = 256  # connections
DISTRUST_SECONDS = 300.0
MAX_IN_A_ROW = 10  # so that a fifth more connections are open than there are requests under way
MAX_REST_SECONDS = 10.0
# Servers say so before they close an idle connection; nothing else is wrong with them.
_TIMED_OUT = (b"HTTP/1.1 408", b"HTTP/1.0 408")

# PyDLL: other threads do not get the interpreter meanwhile, which this one had to wait for. Opened once, since each
# makes a class, which only the garbage collector frees.
_LIBC: ctypes.PyDLL | None = None if sys.platform == "win32" else ctypes.PyDLL(None)


class _Reusable(Protocol):
    """What a pool keeps: `began` and `idle_since` are when its newest exchange began, and the one before ended."""

    began: float
    idle_since: float
    in_a_row: int

    def abort(self) -> None:
        """Drop it now."""


_Connection = TypeVar("_Connection", bound=_Reusable)


class Pool(list[_Connection]):
    """The idle connections to one origin, the one used last at the end; those that rest are not among them yet.

    `report` is called when the origin is not trusted any more.
    """

    def __init__(self, report: Callable[[], None]) -> None:
        super().__init__()
        self.capacity = MAX_IDLE
        self._report = report
        self._distrusted_at = 0.0
        self._resting: dict[_Connection, asyncio.TimerHandle] = {}

    def take_back(self, connection: _Connection) -> None:
        """Keep a connection whose exchange has ended, at rest first if it had none for MAX_IN_A_ROW of them."""
        now, began = monotonic(), connection.began
        rest = min(2 * (now - began), MAX_REST_SECONDS)
        has_rested = began - connection.idle_since > rest
        connection.idle_since = now
        connection.in_a_row = 1 if has_rested else connection.in_a_row + 1
        if connection.in_a_row < MAX_IN_A_ROW:
            self._add(connection)
        elif len(self._resting) < self.capacity:
            connection.in_a_row = 0
            loop = asyncio.get_running_loop()
            self._resting[connection] = loop.call_later(rest, self._end_rest, connection)
        else:
            connection.abort()

    def _end_rest(self, connection: _Connection) -> None:
        del self._resting[connection]
        self._add(connection)

    def _add(self, connection: _Connection) -> None:
        self.append(connection)
        if len(self) > self.capacity:
            self.pop(0).abort()

    def drop_all(self) -> None:
        """Drop every connection."""
        for connection in (*self, *self._resting):
            connection.abort()
        for timer in self._resting.values():
            timer.cancel()
        self.clear()
        self._resting.clear()

    def got_unasked(self, data: bytes) -> None:
        """No request asked for `data`: keep no connection to the origin for DISTRUST_SECONDS."""
        if data.startswith(_TIMED_OUT):
            return
        if self.capacity:
            self._report()
        self.capacity, self._distrusted_at = 0, monotonic()
        self.drop_all()

    def renew(self, now: float) -> None:
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
    return lambda: poll(watched, 1, 0)
