"""A slow reader holds the upstream back instead of filling the gateway's memory."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.gateway.wire import Caller, calling, request
from tests.listening import listening
from tests.servers import WAIT, Server, unharmed, write_keys

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


def ask(port: int) -> Caller:
    """A request whose answer has begun and is not read any further."""
    caller = calling(port)
    body = json.dumps({"model": "large"}).encode()
    caller.send(request(body, target="/talk"))
    caller.wait_for(b"200 OK")
    return caller


def test_a_caller_who_does_not_read_costs_little(server: Server, fountain: Fountain) -> None:
    with ask(server.port):  # what the first request of a worker loads
        until(lambda: fountain.sent > len(BLOCK))
    time.sleep(0.3)
    before, fountain.sent = server.rss_kib(), 0
    with ExitStack() as stack:
        for _ in range(READERS):
            stack.enter_context(ask(server.port))
        time.sleep(2)
        each = (server.rss_kib() - before) / READERS
    print(f"\na stalled reader of {SIZE >> 20} MiB costs {each:.0f} KiB")  # noqa: T201 reported
    assert each < 8 * 1024
    assert fountain.sent < READERS * SIZE / 4


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
