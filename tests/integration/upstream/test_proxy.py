"""Providers behind a proxy: what it is told, and what it is not."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Iterator

import httpx2
import pytest

from tests import loopback
from tests.integration.gateway.wire import Caller, calling, request
from tests.integration.upstream.test_tls import CERT, upstream
from tests.listening import listening
from tests.servers import KEY, WAIT, Server, free_port, gateway, write_keys

ROUTES = """
version: 1
endpoints:
  talk: {path: /talk}
models:
  - {prefix: safe, provider: safe}
  - {prefix: plain, provider: plain}
  - {prefix: down, provider: down}
  - {prefix: other, targets: [{provider: down}, {provider: plain}]}
"""
PROVIDERS = """
version: 1
providers:
  safe:
    base_url: https://localhost:TLS
    tls: {ca: cert.pem}
    client: httpx
    proxy: http://127.0.0.1:PROXY
    headers: {authorization: Bearer of-the-provider}
    endpoints: {talk: /talk}
  plain:
    base_url: http://nowhere.internal:81
    client: httpx
    proxy: http://127.0.0.1:PROXY
    endpoints: {talk: /talk}
  down:
    base_url: http://nowhere.internal:81
    client: httpx
    proxy: http://127.0.0.1:NOBODY
    endpoints: {talk: /talk}
"""
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n"


class Proxy:
    """Opens tunnels; what is not to be tunnelled it answers itself, with a stream without end."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.open = 0
        self.refuses = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            method, target, _ = head.split("\r\n")[0].split(" ")
            if self.refuses:
                writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            elif method == "CONNECT":
                host, port = target.split(":")
                there = await asyncio.open_connection(host, int(port))
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await asyncio.wait(
                    [
                        asyncio.ensure_future(pump(reader, there[1])),
                        asyncio.ensure_future(pump(there[0], writer)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                there[1].close()
            else:
                writer.write(STREAM)
                while await reader.read(1000):
                    pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)


@pytest.fixture(scope="module")
def proxy() -> Proxy:
    return Proxy()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, proxy: Proxy) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("proxy")
    shutil.copy(CERT, folder / "cert.pem")
    with upstream("cert.pem", "key.pem") as tls, listening(proxy.serve) as port:
        text = PROVIDERS.replace("PROXY", str(port)).replace("TLS", str(tls))
        (folder / "providers.yaml").write_text(text.replace("NOBODY", str(free_port())))
        (folder / "routes.yaml").write_text(ROUTES)
        write_keys(folder)
        with gateway(folder, folder / "log", "--workers", "1") as running:
            yield running


@pytest.fixture(autouse=True)
def afresh(proxy: Proxy) -> None:
    proxy.heads.clear()
    proxy.refuses = False


def send_request(server: Server, model: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {KEY}"}
    return loopback.post(f"{server.url}/talk", json={"model": model}, headers=headers)


def head_of_stream(server: Server, model: str) -> Caller:
    caller = calling(server.port, WAIT)
    caller.send(request(b'{"model": "%b"}' % model.encode(), target="/talk"))
    caller.wait_for(b"200 OK")
    return caller


def comes_true(found: object) -> bool:
    end = time.monotonic() + WAIT
    while not found() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.01)
    return bool(found())  # type: ignore[operator]


def test_a_refused_tunnel_is_a_provider_that_was_not_reached(server: Server, proxy: Proxy) -> None:
    proxy.refuses = True
    answer = send_request(server, "safe-0")
    assert (answer.status_code, answer.headers["x-engine-error"]) == (
        502,
        "upstream_connect_failed",
    )
    assert "x-should-retry" not in answer.headers  # nothing was sent


def test_what_is_encrypted_goes_through_a_tunnel_that_learns_nothing(
    server: Server, proxy: Proxy
) -> None:
    assert [send_request(server, "safe-1").content for _ in range(3)] == [b"{}"] * 3
    assert len(proxy.heads) == 3, "a tunnel for each"
    for head in proxy.heads:
        assert head.startswith("CONNECT localhost:")
        assert "of-the-provider" not in head
        assert KEY not in head


def test_what_is_not_encrypted_is_asked_of_the_proxy(server: Server, proxy: Proxy) -> None:
    """And its connection is closed when the caller leaves."""
    with head_of_stream(server, "plain"):
        (head,) = proxy.heads
        assert head.startswith(
            "POST http://nowhere.internal:81/talk HTTP/1.1\r\nhost: nowhere.internal:81"
        )
        before = proxy.open
    assert comes_true(lambda: proxy.open < before)


def test_a_proxy_that_is_down_is_a_provider_that_was_not_reached(
    server: Server, proxy: Proxy
) -> None:
    answer = send_request(server, "down")
    assert (answer.status_code, answer.headers["x-engine-error"]) == (
        502,
        "upstream_connect_failed",
    )
    with head_of_stream(server, "other"):
        assert len(proxy.heads) == 1
