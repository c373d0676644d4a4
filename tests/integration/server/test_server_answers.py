"""What the HTTP server refuses by itself, before the gateway sees it: docs/errors.md has the table."""

import socket

import pytest

from tests import loopback
from tests.servers import KEY, Server

pytestmark = pytest.mark.http1("what the parser for HTTP/1.1 refuses; see test_http2")
START = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + KEY.encode() + b"\r\n"
FIELDS, TARGET, HEAD = 100, 65_534, 512 * 1024
POST = START.replace(b"GET", b"POST")


def with_fields(number: int) -> bytes:
    return START + b"".join(b"x-%d: y\r\n" % index for index in range(number - 2)) + b"\r\n"


def with_target(size: int) -> bytes:
    return START.replace(b"/models", b"/models?".ljust(size - 3, b"a")) + b"\r\n"


def with_bytes(size: int) -> bytes:
    return (START + b"x: ").ljust(size - 4, b"a") + b"\r\n\r\n"


def answer_to(port: int, raw: bytes) -> bytes:
    """All that comes back until the server closes, or falls silent after a whole response."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
        received = b""
        try:
            caller.sendall(raw)
            while data := caller.recv(65536):
                received += data
                if received.startswith(b"HTTP/1.1 200") or b"x-engine-" in received:
                    break
        except (ConnectionResetError, BrokenPipeError):
            pass  # it closes while more is on its way
        return received


def records_until_now(served: Server) -> int:
    """How many records there are, with one of a request that is made for that."""
    known = loopback.get(f"{served.url}/v1/models", headers={"authorization": f"Bearer {KEY}"})
    served.record(known.headers["x-engine-request-id"])
    return len(served.records)


@pytest.mark.parametrize("raw", [with_fields(FIELDS), with_target(TARGET), with_bytes(HEAD)])
def test_what_is_within_the_limits_of_the_server_is_served(served: Server, raw: bytes) -> None:
    assert answer_to(served.port, raw).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (with_fields(FIELDS + 1), 431),
        (with_target(TARGET + 1), 414),
        (with_target(70_000), 414),
        (b"hello\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET / HTTP/3.1\r\nhost: x\r\n\r\n", 400),
        (START + b"x : y\r\n\r\n", 400),
        (START + b"x: y\r\n z\r\n\r\n", 400),
        (START + b"x: \0\r\n\r\n", 400),
        (POST + b"content-length: x\r\n\r\n", 400),
        (POST + b"content-length: +1\r\n\r\na", 400),
        (POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\na", 400),
        (POST + b"transfer-encoding: gzip\r\n\r\n", 400),
    ],
)
def test_what_the_server_refuses_has_no_code_no_id_and_no_record(
    served: Server, raw: bytes, status: int
) -> None:
    before = records_until_now(served)
    head, _, body = answer_to(served.port, raw).partition(b"\r\n\r\n")
    assert (int(head.split()[1]), body) == (status, b"")
    assert b"\r\nconnection: close\r\n" in head
    assert b"x-engine-" not in head
    assert records_until_now(served) == before + 1


def test_a_head_of_twice_the_buffer_is_refused(served: Server) -> None:
    """A caller who still sends may find the connection reset instead, so a few may try."""
    answers = [answer_to(served.port, with_bytes(2 * HEAD)) for _ in range(4)]
    assert any(answer.startswith(b"HTTP/1.1 431 ") for answer in answers)
    assert not any(b" 200 OK" in answer for answer in answers)


def test_what_begins_as_http_2_is_closed_without_a_word(served: Server) -> None:
    assert answer_to(served.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == b""
