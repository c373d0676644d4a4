"""Kept connections: one that died between requests costs nothing, one that dies under a request
is never taken as a reason to send it again."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests import loopback
from tests.listening import listening
from tests.servers import KEY, WAIT, Server, unharmed, write_keys

ROUTES = """
version: 1
endpoints:
  talk: {path: /talk}
models:
  - {prefix: m, provider: mortal}
"""
PROVIDERS = """
version: 1
providers:
  mortal: {base_url: "http://127.0.0.1:PORT", client: CLIENT, endpoints: {talk: /talk}}
"""
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Mortal:
    """Answers, promising to keep the connection, and lets it die in the way it is told to."""

    def __init__(self) -> None:
        self.requests = 0
        self.connections = 0
        self.closed = threading.Semaphore(0)
        self.lives = 1
        self.extra = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for life in range(self.lives + 1):
            try:
                await reader.readuntil(b"}")
            except asyncio.IncompleteReadError:
                break
            self.requests += 1
            if life == self.lives:
                break
            writer.write(OK + self.extra)
            await writer.drain()
            if self.lives == 1:
                break
        writer.close()
        await writer.wait_closed()
        self.closed.release()


@pytest.fixture
def mortal() -> Mortal:
    return Mortal()


@pytest.fixture(params=["http1", "httpx"])
def server(request: pytest.FixtureRequest, tmp_path: Path, mortal: Mortal) -> Iterator[Server]:
    with listening(mortal.serve) as port:
        text = PROVIDERS.replace("PORT", str(port)).replace("CLIENT", request.param)
        (tmp_path / "routes.yaml").write_text(ROUTES)
        (tmp_path / "providers.yaml").write_text(text)
        write_keys(tmp_path)
        with unharmed(tmp_path, tmp_path / "log") as running:
            yield running


def send_request(server: Server) -> httpx2.Response:
    headers = {"authorization": f"Bearer {KEY}"}
    return loopback.post(f"{server.url}/talk", json={"model": "m"}, headers=headers)


def test_a_connection_that_died_between_requests_costs_nothing(
    server: Server, mortal: Mortal
) -> None:
    for _ in range(50):
        assert send_request(server).status_code == 200
        assert mortal.closed.acquire(timeout=WAIT)
    assert mortal.requests == 50


def test_a_connection_that_dies_under_a_request_is_not_sent_again(
    server: Server, mortal: Mortal, tmp_path: Path
) -> None:
    mortal.lives = 2
    answers = [send_request(server) for _ in range(3)]
    if "client: httpx" in (tmp_path / "providers.yaml").read_text():  # it keeps no connection
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert mortal.connections == 3
        return
    assert [answer.status_code for answer in answers] == [200, 200, 502]
    assert answers[2].headers["x-engine-error"] == "upstream_closed"
    assert answers[2].headers["x-should-retry"] == "false"
    assert (mortal.requests, mortal.connections) == (3, 1)


def test_an_answer_nobody_asked_for_is_given_to_nobody(
    server: Server, mortal: Mortal, tmp_path: Path
) -> None:
    """Bytes behind a complete answer end the connection; the next request gets its own answer.

    The operator is told once, where the client sees them.
    """
    mortal.lives = 3
    mortal.extra = OK.replace(b"{}", b"[]")
    answers = [send_request(server) for _ in range(5)]
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, b"{}")}
    assert mortal.connections == 5
    keeps = "client: http1" in (tmp_path / "providers.yaml").read_text()
    server.record(answers[-1].headers["x-request-id"])
    assert server.text.count("has sent bytes that no request asked for") == keeps
