"""The admin listener behind its HTTP server: bytes on a socket, as somebody with bad intent writes them."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine.admin.security import MAX_BODY
from tests.integration.admin.fuzz_api import listener

POST = b"POST /v1/account/keys HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer KEY\r\ncontent-type: application/json\r\n"
GET = (
    b"GET /v1/account HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer KEY\r\nconnection: close\r\n"
)
LARGE = b"x" * (MAX_BODY + 1)

# What is sent, and the statuses of the responses; more than one where the server may choose, 0 for none.
# The host in a target says nothing: the server drops it, Host decides, and links are made from the settings.
CASES: dict[str, tuple[bytes, set[int]]] = {
    "a right request": (GET + b"\r\n", {200}),
    "a right body": (POST + b'content-length: 13\r\nconnection: close\r\n\r\n{"name": "a"}', {201}),
    "no host": (GET.replace(b"host: HOST\r\n", b"") + b"\r\n", {400, 421}),
    "HTTP/1.0 without host": (b"GET /signin HTTP/1.0\r\n\r\n", {400, 421}),
    "another host": (GET.replace(b"host: HOST", b"host: evil.example") + b"\r\n", {421}),
    "two hosts": (GET + b"host: evil.example\r\n\r\n", {400, 421}),
    "a target with another host": (GET.replace(b"GET /v1", b"GET http://evil.example/v1") + b"\r\n", {200}),
    "a target with a user": (GET.replace(b"GET /v1", b"GET http://HOST@evil.example/v1") + b"\r\n", {200}),
    "CONNECT": (b"CONNECT HOST HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n", {400, 403, 404, 405, 0}),
    "a long body": (POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(LARGE) + LARGE, {413}),
    "a long body in chunks": (POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % len(LARGE) + LARGE + b"\r\n0\r\n\r\n", {413}),
    "an endless body in chunks": (POST + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(LARGE) + LARGE + b"\r\n", {413}),
    "two framings": (POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", {400, 413}),
    "two lengths": (POST + b"content-length: 4\r\ncontent-length: 13\r\n\r\n" + b'{"name": "a"}', {400, 413}),
    # The server's buffer decides, and how the bytes arrive; it is bounded, and the request is a right one.
    "a long header": (GET + b"x-long: " + b"a" * 1_000_000 + b"\r\n\r\n", {400, 431, 0, 200}),
    "a thousand headers": (GET + b"".join(b"x-%d: a\r\n" % n for n in range(1000)) + b"\r\n", {400, 431}),
    "a long path": (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n", {414}),
    "a path above the root": (b"GET /static/../../app.py HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n", {400, 404}),
    "an encoded path": (b"GET /static/%2e%2e%2fapp.py HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n", {404}),
    "a folded header": (GET + b"x-a: b\r\n c: d\r\n\r\n", {400}),
    "a line feed in a header": (GET + b"x-a: b\nhost: evil.example\r\n\r\n", {400, 421}),
    "an upgrade": (GET + b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n", {200, 400, 426}),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400, 0}),
}  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with listener(tmp_path_factory.mktemp("listener")) as made:
        yield made


def exchange(host: str, data: bytes) -> bytes:
    """All that comes back for `data`, until the server closes or says nothing for a second."""
    name, _, port = host.partition(":")
    received = b""
    with socket.create_connection((name, int(port)), timeout=60) as connection:
        try:
            connection.sendall(data)
            connection.settimeout(1)
            while chunk := connection.recv(65536):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
    return received


@pytest.mark.parametrize("case", CASES)
def test_the_bytes_are_refused_and_start_nothing_else(running: tuple[str, str], case: str) -> None:
    url, key = running
    host = urlsplit(url).netloc
    sent, statuses = CASES[case]
    received = exchange(host, sent.replace(b"HOST", host.encode()).replace(b"KEY", key.encode()))
    status = int(received[9:12]) if received.startswith(b"HTTP/1.") else 0
    assert status in statuses, received[:300]
    assert received.count(b"HTTP/1.1 ") <= 1  # what follows is no request of its own
    assert key.encode() not in received
    if 0 < status < 600 and b"x-engine-error" in received:
        assert b"content-security-policy" in received


def test_the_listener_is_well_afterwards(running: tuple[str, str], tmp_path: Path) -> None:
    url, key = running
    host = urlsplit(url).netloc
    received = exchange(host, CASES["a right request"][0].replace(b"HOST", host.encode()).replace(b"KEY", key.encode()))  # fmt: skip
    assert received.startswith(b"HTTP/1.1 200")
