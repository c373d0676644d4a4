"""Whatever a caller does with a response, the next one over the same connection is as on a new one."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.listening import listening
from tests.servers import KEY, Server, gateway, write_keys

EVENT = b"data: " + b"x" * 92 + b"\n\n"
BURSTS = 30
HANG = 60.0  # seconds; the next response takes a millisecond
ROUTES = """
version: 1
endpoints:
  talk: {path: /talk}
models:
  - {prefix: "", provider: burst}
"""
PROVIDERS = """
version: 1
providers:
  burst:
    base_url: "http://127.0.0.1:PORT"
    client: CLIENT
    limits: {in_flight: 1}
    endpoints: {talk: /talk}
"""


class Burst:
    """Sends what the model names in one go and keeps the connection: `events-N`, or `json-N`."""

    connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                body = await reader.readuntil(b"}")
                kind, _, size = body.partition(b'"model": "')[2].partition(b'"')[0].partition(b"-")
                writer.write(self._response(kind, int(size)))
        writer.close()

    def _response(self, kind: bytes, size: int) -> bytes:
        if kind == b"json":
            return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"j" * size
        chunk = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        return head + chunk * (size // len(EVENT)) + b"0\r\n\r\n"


@pytest.fixture
def upstream() -> Burst:
    return Burst()


@pytest.fixture(params=["http1", "httpx"])
def server(request: pytest.FixtureRequest, tmp_path: Path, upstream: Burst) -> Iterator[Server]:
    with listening(upstream.serve) as port:
        (tmp_path / "routes.yaml").write_text(ROUTES)
        text = PROVIDERS.replace("PORT", str(port)).replace("CLIENT", request.param)
        (tmp_path / "providers.yaml").write_text(text)
        write_keys(tmp_path)
        with gateway(tmp_path, tmp_path / "log") as running:
            yield running


async def ask(port: int, model: str, pause: float, leave: int | None) -> int:
    """Bytes of the response, read with pauses, up to `leave` bytes or to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    body = b'{"model": "%b"}' % model.encode()
    writer.write(
        b"POST /talk HTTP/1.1\r\nhost: g\r\nconnection: close\r\nauthorization: Bearer "
        + KEY.encode()
        + b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        + body
    )
    received = 0
    while chunk := await reader.read(65536):
        received += len(chunk)
        if leave is not None and received > leave:
            break
        if received < 500_000:
            await asyncio.sleep(pause)
    writer.transport.abort()
    return received


@pytest.mark.http1("each request has a connection of its own")
def test_the_next_caller_is_served_after_a_burst_and_a_slow_reader(
    server: Server, upstream: Burst, tmp_path: Path
) -> None:
    draw = random.Random(7)

    async def run() -> None:
        for number in range(BURSTS):
            kind, size = draw.choice(
                [
                    ("events", draw.randrange(70_000, 260_000)),
                    ("json", draw.randrange(500_000, 2_000_000)),
                ]
            )
            leave = draw.choice([None, None, draw.randrange(size)])
            await ask(server.port, f"{kind}-{size}", draw.choice([0, 0, 0.001]), leave)
            async with asyncio.timeout(HANG):
                received = await ask(server.port, "json-5", 0, None)
            assert received > 5, f"burst {number}: {kind} of {size}, left at {leave}"

    asyncio.run(run())
    outcomes = {record["outcome"] for record in server.records}
    assert outcomes <= {"ok", "client_cancelled"}
    keeps_connections = "client: http1" in (tmp_path / "providers.yaml").read_text()
    assert (upstream.connections < 2 * BURSTS) is keeps_connections
