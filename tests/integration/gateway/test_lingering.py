"""A response that leaves before the request is whole reaches who still sends (RFC 9112, 9.6)."""

import asyncio
import socket
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from engine.gateway.inbound.body import FREE_CHUNKS
from engine.gateway.inbound.lingering import Bounds, Lingering, has_body
from tests import loopback
from tests.integration.upstream.fault_server import FaultServer
from tests.servers import KEY, Server, free_port, gateway, write_keys

MIB = 1024 * 1024
FORM = "multipart/form-data; boundary=b"
BROKEN_FORM = b"--b\r\nno header here\r\n\r\n"
CHUNK_BYTES = {"type": "http.request", "body": b"x" * 65536, "more_body": True}

REFUSALS = [
    ("POST", "/v1/chat/completions", {"authorization": "Bearer sk-wrong"}, b"", 401),
    ("POST", "/v1/embeddings", {}, b"", 413),
    ("POST", "/v1/nothing", {}, b"", 404),
    ("PUT", "/v1/embeddings", {}, b"", 405),
    ("POST", "/v1/embeddings", {"content-type": "text/csv"}, b"", 415),
    ("POST", "/v1/audio/transcriptions", {"content-type": FORM}, BROKEN_FORM, 400),
    ("GET", "/v1/models", {}, b"", 200),
    ("GET", "/healthz", {}, b"", 200),
    ("POST", "/healthz", {"authorization": "Bearer sk-wrong"}, b"", 401),
]


@pytest.mark.parametrize(("method", "path", "more", "start", "status"), REFUSALS)
def test_who_sends_everything_first_reads_the_response(
    served: Server, method: str, path: str, more: dict[str, str], start: bytes, status: int
) -> None:
    """`http.client` reads nothing before it has written the whole body."""
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", **more}
    size = 40 * MIB if status == 413 else 8 * MIB
    for _ in range(3 if status in {401, 413} else 1):
        connection = loopback.connection(served.port)
        connection.request(method, path, start + b"x" * (size - len(start)), headers)
        response = connection.getresponse()
        assert (response.status, response.getheader("connection")) == (status, loopback.CLOSE)
        assert len(response.read()) == int(response.getheader("content-length") or 0) > 0
        connection.close()


ROUTES = """
version: 1
endpoints:
  hear: {path: /hear, body: form}
models:
  - {model: busy, provider: busy}
  - {model: gone, provider: gone}
"""
PROVIDERS = """
version: 1
providers:
  busy: {{base_url: "http://127.0.0.1:{busy}", limits: {{in_flight: 1, queue: 0}}, endpoints: {{hear: /hear}}}}
  gone: {{base_url: "http://127.0.0.1:{gone}", endpoints: {{hear: /hear}}}}
"""


def form(model: str, size: int) -> bytes:
    head = f'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\n{model}\r\n--b\r\n'
    file = 'content-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return f"{head}{file}".encode() + b"x" * size + b"\r\n--b--\r\n"


def test_an_upload_that_no_provider_takes_reads_why(tmp_path: Path) -> None:
    """A form is routed, and refused, while most of it has still to arrive."""
    with FaultServer("hang").running() as upstream:
        (tmp_path / "routes.yaml").write_text(ROUTES)
        ports = {"busy": upstream.port, "gone": free_port()}
        (tmp_path / "providers.yaml").write_text(PROVIDERS.format(**ports))
        write_keys(tmp_path)
        headers = {"authorization": f"Bearer {KEY}", "content-type": FORM}
        with gateway(tmp_path, tmp_path / "log", "--drain-timeout", "1") as server:
            first = loopback.connection(server.port)
            first.request("POST", "/hear", form("busy", 1), headers)
            end = time.monotonic() + 60
            while not upstream.seen and time.monotonic() < end:
                time.sleep(0.01)
            for model, status, code in (
                ("busy", 503, "overloaded"),
                ("gone", 502, "upstream_connect_failed"),
            ):
                connection = loopback.connection(server.port)
                connection.request("POST", "/hear", form(model, 8 * MIB), headers)
                response = connection.getresponse()
                assert (response.status, response.getheader("x-engine-error")) == (status, code)
                assert response.getheader("connection") == loopback.CLOSE
                assert len(response.read()) == int(response.getheader("content-length") or 0) > 0
                connection.close()
            first.close()


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_response_to_a_whole_request_keeps_the_connection(
    served: Server, *, is_chunked: bool
) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    connection = loopback.connection(served.port)
    body = b'{"model": "no-such-model"}'
    for _ in range(2):
        content = iter([body]) if is_chunked else body
        connection.request("POST", "/v1/embeddings", content, headers)
        response = connection.getresponse()
        assert (response.status, response.getheader("connection")) == (404, None)
        response.read()
    connection.close()


@pytest.mark.http1("the server sends no 100 in HTTP/2")
@pytest.mark.parametrize("begins", [False, True])
def test_who_waits_for_100_continue_gets_none_and_the_end_soon(
    served: Server, *, begins: bool
) -> None:
    """A client that sends all the same, unasked, reads the response as well."""
    head = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 8388608\r\n\r\n"
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as caller:
        caller.sendall(head)
        if begins:
            caller.sendall(b"x" * 8 * MIB)
        received = b""
        while data := caller.recv(65536):
            received += data
    assert received.startswith(b"HTTP/1.1 401 ")
    assert received.endswith(b"}")
    assert time.monotonic() - started < Bounds().idle


@pytest.mark.parametrize(
    ("headers", "expected", "in_http2"),
    [
        ([], False, True),
        ([(b"content-length", b"0")], False, False),
        ([(b"content-length", b"00")], False, False),
        ([(b"content-length", b"10")], True, True),
        ([(b"transfer-encoding", b"chunked")], True, True),
    ],
)
def test_has_body(headers: list[tuple[bytes, bytes]], *, expected: bool, in_http2: bool) -> None:
    assert (has_body(headers, "1.1"), has_body(headers, "2")) == (expected, in_http2)


async def read_on(bounds: Bounds, *messages: dict[str, Any]) -> int:
    """How many of `messages`, the last of them again and again, are read before it ends."""
    count = 0

    async def receive() -> dict[str, Any]:
        nonlocal count
        await asyncio.sleep(0)
        count += 1
        return messages[min(count, len(messages)) - 1]

    await Lingering(bounds).read_on(receive, [])
    return count


def test_reading_on_ends_with_the_body_and_with_each_bound() -> None:
    bounds = Bounds(size=4 * MIB, grace_seconds=0.01)
    last = {"type": "http.request", "body": b"", "more_body": False}
    tiny = {"type": "http.request", "body": b"x", "more_body": True}
    gone = {"type": "http.disconnect"}
    assert asyncio.run(read_on(bounds, CHUNK_BYTES, last)) == 2
    assert asyncio.run(read_on(bounds, gone)) == 1
    assert asyncio.run(read_on(bounds, CHUNK_BYTES)) == bounds.size // 65536
    assert asyncio.run(read_on(bounds, tiny)) == FREE_CHUNKS


@pytest.mark.parametrize(
    ("pause", "bounds"), [(60, Bounds(idle=0.05)), (0.02, Bounds(seconds=0.3))]
)
def test_silence_ends_it_and_a_drip_does_not_last_for_ever(pause: float, bounds: Bounds) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        return CHUNK_BYTES

    async def within(seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await Lingering(bounds).read_on(receive, [])

    asyncio.run(within(5))


def test_a_flood_ends_the_oldest_and_a_stop_ends_all() -> None:
    async def silent() -> dict[str, Any]:
        await asyncio.sleep(60)
        return CHUNK_BYTES

    async def flood() -> None:
        lingerer = Lingering(Bounds(places=8))
        tasks = []
        for _ in range(9):
            waiting: Awaitable[None] = lingerer.read_on(silent, [])
            tasks.append(asyncio.ensure_future(waiting))
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert [task.done() for task in tasks] == [True] + [False] * 8
        lingerer.end()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)

    asyncio.run(flood())


def test_who_has_finished_takes_no_place_of_others() -> None:
    async def last() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def silent() -> dict[str, Any]:
        await asyncio.sleep(60)
        return CHUNK_BYTES

    async def main() -> None:
        lingering = Lingering(Bounds(places=2))
        for _ in range(3):
            await lingering.read_on(last, [])
        tasks = [asyncio.ensure_future(lingering.read_on(silent, [])) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert [task.done() for task in tasks] == [False, False]
        lingering.end()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)

    asyncio.run(main())
