"""A client that writes requests byte by byte and reads whatever comes back."""

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests import loopback
from tests.servers import KEY, Server

CHAT = "/v1/chat/completions"
JSON = "application/json"
CRLF = b"\r\n"


@dataclass(frozen=True)
class Answer:
    """One response; `status` 0 stands for a connection that closed without one."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    interim: tuple[int, ...] = ()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def count(self, name: str) -> int:
        return sum(key == name for key, _ in self.headers)


SILENCE = Answer(0, [], b"")


def request(
    body: bytes = b"",
    *lines: str | bytes,
    method: str = "POST",
    target: str | bytes = CHAT,
    kind: str | None = JSON,
    key: str | None = KEY,
    host: str | None = "gateway.test",
    length: int | None = -1,
) -> bytes:
    """A request as bytes. `lines` are more header lines; -1 declares the true length."""
    head = [b" ".join([method.encode(), _raw(target), b"HTTP/1.1"])]
    head += [b"host: " + host.encode()] if host is not None else []
    head += [b"content-type: " + kind.encode()] if kind is not None else []
    head += [b"authorization: Bearer " + key.encode()] if key is not None else []
    size = len(body) if length == -1 else length
    head += [b"content-length: %d" % size] if size is not None else []
    return CRLF.join([*head, *map(_raw, lines), b"", b""]) + body


def chunked(chunks: Iterable[bytes], *, is_ended: bool = True) -> bytes:
    """`chunks` as chunks of a chunked body."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return framed + (b"0\r\n\r\n" if is_ended else b"")


class Caller:
    """One request on a connection of its own; what is sent are the bytes of HTTP/1.1."""

    def __init__(self, port: int, timeout: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def wait_for(self, part: bytes) -> None:
        """Read until `part` of the response is there; empty for nothing, a status for the head."""
        received = b""
        while part not in received:
            received += self.socket.recv(65536)

    def answer(self) -> Answer:
        return read_answer(self.socket)

    def leave(self) -> None:
        self.socket.close()


def calling(port: int, timeout: float = 20) -> Caller:
    """A caller of the version of HTTP that the tests speak."""
    if not loopback.IS_HTTP2:
        return Caller(port, timeout)
    from tests.integration.gateway.wire_http2 import Http2Caller  # noqa: PLC0415 needs h2

    return Http2Caller(port, timeout)


def driver(port: int, sent: bytes, *, half_close: bool = False, timeout: float = 8) -> Answer:
    """Send everything and read one answer."""
    if half_close and loopback.IS_HTTP2:
        pytest.skip("the end of a connection ends no body in HTTP/2")
    with calling(port, timeout) as caller:
        with suppress(ConnectionError):  # an answer before the end of the request may be waiting
            caller.send(sent)
            if half_close:
                caller.socket.shutdown(socket.SHUT_WR)
        return caller.answer()


def read_answer(connection: socket.socket) -> Answer:
    """The next final response on a connection, with the interim ones before it."""
    interim: list[int] = []
    buffer = b""
    while True:
        head, buffer = _head(connection, buffer)
        if not head:
            return SILENCE
        status, headers = _parsed(head)
        if status >= 200:
            return Answer(status, headers, _body(connection, headers, buffer), tuple(interim))
        interim.append(status)


def received_by(mock: Server) -> list[dict[str, Any]]:
    """What the mock upstream received since it was last cleared."""
    records: list[dict[str, Any]] = loopback.get(f"{mock.url}/__mock/requests").json()["requests"]
    return records


def clear(mock: Server) -> None:
    loopback.delete(f"{mock.url}/__mock/requests").raise_for_status()


def _raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


def _head(connection: socket.socket, buffer: bytes) -> tuple[bytes, bytes]:
    while b"\r\n\r\n" not in buffer:
        chunk = _receive(connection)
        if not chunk:
            return b"", b""
        buffer += chunk
    head, _, rest = buffer.partition(b"\r\n\r\n")
    return head, rest


def _parsed(head: bytes) -> tuple[int, list[tuple[str, str]]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return int(first.split()[1]), [(name.lower(), value.strip()) for name, _, value in pairs]


def _body(connection: socket.socket, headers: list[tuple[str, str]], buffer: bytes) -> bytes:
    length = next((int(value) for name, value in headers if name == "content-length"), 0)
    while len(buffer) < length:
        chunk = _receive(connection)
        if not chunk:
            break
        buffer += chunk
    return buffer
