"""Callers of a site, who go on asking while its parts are stopped, and say what failed."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

PAUSE = 0.02  # seconds between two requests of a caller
SMALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
STREAM = SMALL | {"stream": True}


class Connection:
    """One connection of a caller, on which one request follows the other."""

    def __init__(self, port: int, key: str, body: dict[str, Any]) -> None:
        raw = json.dumps(body, separators=(",", ":")).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
        self._port, self._request = port, head.encode() + raw
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self) -> int:
        """The status of a response that has arrived whole.

        Raises:
            OSError, asyncio.IncompleteReadError: it has not.
        """
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writer.write(self._request)
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            if b"transfer-encoding: chunked" in head:
                await self._reader.readuntil(b"\r\n0\r\n\r\n")
            else:
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await self._reader.readexactly(int(length))
        except BaseException:
            self.close()
            raise
        if b"connection: close" in head:
            self.close()
        return int(head.split(maxsplit=2)[1])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._writer = None


@dataclass
class Seen:
    """What callers got while something happened."""

    requests: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    longest: float = 0.0  # seconds that a small request took

    @property
    def failures(self) -> int:
        return sum(self.failed.values())


@dataclass
class Load:
    """Callers at one address; `seen` is what they have got since the last `during`."""

    port: int
    key: str
    seen: Seen = field(default_factory=Seen)

    @asynccontextmanager
    async def running(self, small: int, streams: int, pause: float = PAUSE) -> Any:
        bodies = [SMALL] * small + [STREAM] * streams
        callers = [asyncio.ensure_future(self._call(body, pause)) for body in bodies]
        yield self
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

    @contextmanager
    def during(self) -> Iterator[Seen]:
        """What is seen until the block ends; a failure counts where its request ended."""
        self.seen = Seen()
        yield self.seen
        self.seen = Seen()

    async def _call(self, body: dict[str, Any], pause: float) -> None:
        connection = Connection(self.port, self.key, body)
        with suppress(asyncio.CancelledError):
            while True:
                begun = time.monotonic()
                try:
                    why = str(await connection.ask())
                except (OSError, asyncio.IncompleteReadError) as error:
                    why = type(error).__name__
                self.seen.requests += 1
                if why != "200":
                    self.seen.failed[why] = self.seen.failed.get(why, 0) + 1
                elif body is SMALL:
                    self.seen.longest = max(self.seen.longest, time.monotonic() - begun)
                await asyncio.sleep(pause)
        connection.close()


async def ask_at_once(port: int, key: str, requests: int, connections: int) -> dict[int, int]:
    """How many of `requests` on so many connections got which status."""
    found: dict[int, int] = {}
    left = iter(range(requests))

    async def ask() -> None:
        connection = Connection(port, key, SMALL)
        for _ in left:
            status = await connection.ask()
            found[status] = found.get(status, 0) + 1
        connection.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return found
