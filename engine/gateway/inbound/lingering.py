"""Lingering close: a caller that still sends its body can read the response (RFC 9112, 9.6).

A connection that is closed while the other side sends is reset, and a reset takes with it what the
other side has not read yet. So the rest of the body is read and dropped, within bounds.
"""

import asyncio
import contextlib
from dataclasses import dataclass

from engine.gateway.inbound.body import FREE_CHUNKS, MIN_CHUNK, Receive
from engine.upstream import Pairs

EXPECT_SECONDS = 0.25  # a caller that waits for `100 Continue` does not send
# Reading before the response is sent would make the server send `100 Continue`.
FLUSH_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is read and dropped, for how long, and for how many connections at a time.

    `grace_seconds` is how long a connection stays beyond `size`: no more is read, the response can be.
    """

    size: int = 128 * 1024 * 1024  # some clients read only once they have sent everything
    seconds: float = 30.0
    idle: float = 2.0
    grace_seconds: float = 1.0
    places: int = 128


CLOSE = ((b"connection", b"close"),)


def has_body(headers: Pairs, version: str) -> bool:
    """Whether a request with these headers may have a body to send.

    In HTTP/2 no header has to say so: without a `content-length` there may be one.
    """
    fields = dict(headers)
    length = fields.get(b"content-length")
    if length is not None and length.strip(b"0"):
        return True
    return b"transfer-encoding" in fields or (length is None and version == "2")


class Lingering:
    """The connections of one Gateway that are read on although the response has been sent."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._limits: dict[asyncio.Timeout, None] = {}

    async def read_on(self, receive: Receive, headers: Pairs) -> None:
        """Drop what comes, until the body or a bound ends; the server closes after that."""
        if len(self._limits) >= self._bounds.places:
            self._end(next(iter(self._limits)))
        expects = any(name == b"expect" for name, _ in headers)
        idle = EXPECT_SECONDS if expects else self._bounds.idle
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._bounds.seconds) as limit:
                self._limits[limit] = None
                try:
                    if expects:
                        await asyncio.sleep(FLUSH_SECONDS)
                    await self._drop(receive, limit, idle)
                finally:
                    self._limits.pop(limit, None)

    def end(self) -> None:
        """Close them all: the server stops."""
        for limit in tuple(self._limits):
            self._end(limit)

    async def _drop(self, receive: Receive, limit: asyncio.Timeout, idle: float) -> None:
        bounds, now = self._bounds, asyncio.get_running_loop().time
        end = now() + bounds.seconds
        taken = chunks = 0
        while taken < bounds.size and (chunks < FREE_CHUNKS or taken >= chunks * MIN_CHUNK):
            limit.reschedule(min(end, now() + idle))
            message = await receive()
            if not message.get("more_body", False) or limit not in self._limits:
                return
            taken += len(message["body"])
            chunks += 1
        await asyncio.sleep(bounds.grace_seconds)

    def _end(self, limit: asyncio.Timeout) -> None:
        del self._limits[limit]
        if not limit.expired():
            limit.reschedule(asyncio.get_running_loop().time())
