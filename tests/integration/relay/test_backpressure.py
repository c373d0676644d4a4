"""A slow reader holds the upstream back instead of filling the gateway's memory."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.listening import listening
from tests.servers import KEY, Server, unharmed, write_keys

READERS = 4
SIZE = 500 * 1024 * 1024
BLOCK = b"x" * 65536
CONFIG = {
    "routes.yaml": """
version: 1
endpoints:
  talk: {path: /talk}
models:
  - {model: large, provider: fountain}
""",
    "providers.yaml": """
version: 1
providers:
  fountain: {base_url: "http://127.0.0.1:PORT", endpoints: {talk: /talk}}
""",
}


class Fountain:
    """An upstream that answers with SIZE bytes as fast as they are taken; `sent` counts them."""

    def __init__(self) -> None:
        self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\n")
        writer.write(f"content-length: {SIZE}\r\n\r\n".encode())
        try:
            while self.sent < SIZE:
                writer.write(BLOCK)
                await writer.drain()
                self.sent += len(BLOCK)
        except ConnectionError:
            pass
        writer.close()


@pytest.fixture
def fountain() -> Fountain:
    return Fountain()


@pytest.fixture
def server(tmp_path: Path, fountain: Fountain) -> Iterator[Server]:
    with listening(fountain.serve) as port:
        for name, text in CONFIG.items():
            (tmp_path / name).write_text(text.replace("PORT", str(port)))
        write_keys(tmp_path)
        with unharmed(tmp_path, tmp_path / "log") as running:
            yield running


async def ask(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose answer has begun and is not read any further."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    body = json.dumps({"model": "large"}).encode()
    writer.write(
        f"POST /talk HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    await reader.readuntil(b"\r\n")
    return reader, writer


def test_a_caller_who_does_not_read_costs_little(server: Server, fountain: Fountain) -> None:
    async def run() -> tuple[int, int]:
        reader, writer = await ask(server.port)  # what the first request of a worker loads
        await reader.readexactly(65536)
        writer.transport.abort()
        await asyncio.sleep(0.3)
        before, fountain.sent = server.rss_kib(), 0
        callers = [await ask(server.port) for _ in range(READERS)]
        await asyncio.sleep(2)
        after = server.rss_kib()
        for _, caller in callers:
            caller.transport.abort()
        return before, after

    before, after = asyncio.run(run())
    each = (after - before) / READERS
    print(f"\na stalled reader of {SIZE >> 20} MiB costs {each:.0f} KiB")  # noqa: T201 reported
    assert each < 8 * 1024
    assert fountain.sent < READERS * SIZE / 4
