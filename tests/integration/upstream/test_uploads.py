"""An upload on its way up: sent as it arrives, and ended by an answer that comes early."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.mock.faults import reset
from tests import loopback
from tests.listening import listening
from tests.servers import KEY, Server, unharmed, write_keys

SIZE = 25 * 1024 * 1024
ROUTES = """
version: 1
endpoints:
  edits: {path: /edits, body: form, max_body: 64MiB}
models:
  - {prefix: m, provider: strict}
"""
PROVIDERS = 'version: 1\nproviders:\n  strict: {base_url: "http://127.0.0.1:PORT", endpoints: {edits: /edits}}\n'


class Strict:
    """Refuses an upload after its head; `got` counts the bytes that came all the same.

    With `pause`, it resets the connection so many seconds later instead of reading on.
    """

    def __init__(self) -> None:
        self.got = 0
        self.pause: float | None = None
        self.started = threading.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: " in head
        self.started.set()
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge")
        if self.pause is not None:
            await asyncio.sleep(self.pause)
            await reset(reader, writer)
            return
        while data := await reader.read(65536):
            self.got += len(data)
            await asyncio.sleep(0.01)
        writer.close()


@pytest.fixture
def strict() -> Strict:
    return Strict()


@pytest.fixture
def server(tmp_path: Path, strict: Strict) -> Iterator[Server]:
    with listening(strict.serve) as port:
        (tmp_path / "routes.yaml").write_text(ROUTES)
        (tmp_path / "providers.yaml").write_text(PROVIDERS.replace("PORT", str(port)))
        write_keys(tmp_path)
        with unharmed(tmp_path, tmp_path / "log") as running:
            yield running


def parts(before_last: threading.Event | None = None) -> Iterator[bytes]:
    """A form with `model` first and a large file last; its end may wait for something."""
    yield b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm1\r\n'
    yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
    for _ in range(SIZE // 65536):
        yield b"x" * 65536
    if before_last is not None:
        assert before_last.wait(5), "the upstream saw nothing before the upload was complete"
    yield b"\r\n--b--\r\n"


def headers() -> dict[str, str]:
    length = sum(len(part) for part in parts())
    return {
        "authorization": f"Bearer {KEY}",
        "content-type": "multipart/form-data; boundary=b",
        "content-length": str(length),
    }


def test_an_early_answer_ends_the_upload(server: Server, strict: Strict) -> None:
    answer = loopback.post(f"{server.url}/edits", headers=headers(), content=parts(), timeout=60)
    assert (answer.status_code, answer.text) == (413, "large")
    assert strict.got < SIZE


def test_an_early_answer_reaches_who_sends_everything_first(server: Server) -> None:
    connection = loopback.connection(server.port)
    connection.request("POST", "/edits", parts(), headers())
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("connection")) == (413, loopback.CLOSE)
    assert answer.read() == b"large"
    connection.close()


@pytest.mark.parametrize("pause", [0.1, 0])
def test_an_early_answer_before_a_reset_is_passed_on(
    server: Server, strict: Strict, pause: float
) -> None:
    """Case U18b. A reset that follows at once may overtake the answer on the way."""
    strict.pause = pause
    answer = loopback.post(f"{server.url}/edits", headers=headers(), content=parts(), timeout=60)
    if answer.status_code == 502 and pause == 0:
        assert answer.headers["x-engine-error"] == "upstream_closed"
    else:
        assert (answer.status_code, answer.text) == (413, "large")


def test_an_upload_reaches_the_provider_before_it_is_complete(
    server: Server, strict: Strict
) -> None:
    content = parts(before_last=strict.started)
    answer = loopback.post(f"{server.url}/edits", headers=headers(), content=content, timeout=60)
    assert answer.status_code == 413
