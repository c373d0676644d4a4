"""A wire between the gateway and an upstream that keeps what the upstream sends."""

import asyncio
import http.client
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.listening import listening


@dataclass(frozen=True)
class Answer:
    """One answer as it stood on the wire; `whole` tells whether its body was complete."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool


class Tap:
    """Passes bytes on both ways; answers are taken one at a time, between requests."""

    def __init__(self, upstream: int) -> None:
        self.port = 0
        self._upstream = upstream
        self._kept = b""

    def take(self) -> Answer:
        """All that the upstream has sent since the last call."""
        kept, self._kept = self._kept, b""
        return parse(kept)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the gateway."""
        down, up = await asyncio.open_connection("127.0.0.1", self._upstream)
        await asyncio.gather(self._pump(reader, up), self._pump(down, writer, keep=True))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool = False
    ) -> None:
        try:
            while chunk := await reader.read(65536):
                if keep:
                    self._kept += chunk
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


class _Wire:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._raw)


def parse(raw: bytes) -> Answer:
    """Read one HTTP answer with the standard library; header names in lower case."""
    wire: Any = _Wire(raw)
    response = http.client.HTTPResponse(wire, method="POST")
    response.begin()
    try:
        body, whole = response.read(), True
    except http.client.IncompleteRead as error:
        body, whole = error.partial, False
    headers = [(name.lower(), value) for name, value in response.getheaders()]
    return Answer(response.status, headers, body, whole)


@contextmanager
def tapped(upstream: int) -> Iterator[Tap]:
    """A tap in front of the upstream on that port."""
    tap = Tap(upstream)
    with listening(tap.serve) as tap.port:
        yield tap
