"""A worker that takes too much memory: another takes its place, and no request notices."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests import loopback
from tests.e2e.server.small import write_small
from tests.listening import listening
from tests.processes import run_engine
from tests.servers import KEY, WAIT, Server, gateway, write_keys

ROUTES = """
version: 1
endpoints:
  talk: {path: /talk, max_body: 256MiB}
models:
  - {prefix: "", provider: steady}
"""
PROVIDERS = """
version: 1
providers:
  steady: {base_url: "http://127.0.0.1:PORT", headers: {x-mark: MARK}, endpoints: {talk: /talk}}
"""
LIMIT = ("--worker-memory", "110MiB")
LARGE = b"x" * (80 * 1024 * 1024)
EVENT = b"data: 1\n\n"
LAST = b"data: [DONE]\n\n"


class Held:
    """An upstream that tells its mark; a large body is answered by a stream that ends when told to."""

    def __init__(self) -> None:
        self.end = threading.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
                left = size = int(fields["content-length"])
                while left:
                    left -= len(await reader.read(left))
                if size > len(LARGE):
                    await self._stream(writer)
                    continue
                told = fields["x-mark"].encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(told), told))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        while not self.end.is_set():
            writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(LAST), LAST))


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def server(tmp_path: Path, held: Held) -> Iterator[Server]:
    with listening(held.serve) as port:
        folder = tmp_path / "config"
        folder.mkdir()
        (folder / "routes.yaml").write_text(ROUTES)
        mark(folder, port, "first")
        write_keys(folder)
        with gateway(folder, tmp_path / "log", *LIMIT) as running:
            running.upstream = port  # type: ignore[attr-defined]
            yield running


def mark(folder: Path, port: int, word: str) -> None:
    (folder / ".draft").write_text(PROVIDERS.replace("PORT", str(port)).replace("MARK", word))
    (folder / ".draft").rename(folder / "providers.yaml")


async def call(server: Server, state: dict[str, Any], limits: httpx2.Limits) -> None:
    """Small requests one after another until the end; what is not answered is kept."""
    headers = {"x-api-key": KEY}
    async with loopback.AsyncClient(
        base_url=server.url, headers=headers, timeout=60, limits=limits
    ) as client:
        while not state["ended"]:
            try:
                answer = await client.post("/talk", json={"model": "m"})
                state["failed"] += [] if answer.status_code == 200 else [answer.text]
            except httpx2.TransportError as error:
                state["failed"].append(repr(error))
            state["answered"] += 1
            await asyncio.sleep(0.005)


async def until(found: Callable[[], Any]) -> None:
    async with asyncio.timeout(4 * WAIT):
        while not found():  # noqa: ASYNC110 the log and the processes tell of themselves
            await asyncio.sleep(0.02)


def test_a_worker_that_takes_too_much_is_replaced_and_its_stream_ends(
    server: Server, held: Held
) -> None:
    """Case P8. The stream goes on in the old worker; the new one takes changes and may crash once."""
    state: dict[str, Any] = {"failed": [], "answered": 0, "ended": False}
    folder = server.log.parent / "config"
    (old,) = server.worker_pids()

    async def large() -> str:
        async with loopback.AsyncClient(timeout=60) as client:
            body = b'{"model": "m", "text": "' + LARGE + b'"}'
            headers = {"x-api-key": KEY, "content-type": "application/json"}
            answer = await client.post(server.url + "/talk", content=body, headers=headers)
            return answer.text

    async def run() -> None:
        stream = asyncio.ensure_future(large())
        fresh = httpx2.Limits(max_keepalive_connections=0)
        callers = [asyncio.ensure_future(call(server, state, limits)) for limits in (fresh, fresh)]
        await until(lambda: "takes too much memory: replaced" in server.text)
        await until(lambda: len(server.worker_pids()) == 2)
        answered = state["answered"]
        await until(lambda: state["answered"] > answered + 20)
        assert not stream.done()
        mark(folder, server.upstream, "second")  # type: ignore[attr-defined]
        await until(lambda: "engine: reloaded" in server.text)
        held.end.set()
        text = await stream
        assert text.endswith(LAST.decode())
        assert set(text.removesuffix(LAST.decode()).split("\n\n")) == {"data: 1", ""}
        await until(lambda: old not in server.worker_pids())
        state["ended"] = True
        await asyncio.gather(*callers)

    asyncio.run(run())
    assert state["failed"] == []
    (new,) = server.worker_pids()
    headers = {"x-api-key": KEY}
    assert (
        loopback.post(server.url + "/talk", json={"model": "m"}, headers=headers).text == "second"
    )
    os.kill(new, signal.SIGKILL)  # sooner after than a crash loop would be told
    asyncio.run(until(lambda: server.worker_pids() not in ([], [new])))
    assert "crash loop" not in server.text
    assert "Traceback" not in server.text


@pytest.mark.parametrize(
    ("size", "words"),
    [("20MiB", "--worker-memory is too little: a worker takes"), ("20", "`20` is not a size")],
)
def test_a_limit_that_cannot_be_kept_is_refused(tmp_path: Path, size: str, words: str) -> None:
    folder = write_small(tmp_path)
    done = run_engine("serve", str(folder), "--mock-port", "1", "--worker-memory", size)
    assert (done.returncode, words in done.stderr) == (2, True)
