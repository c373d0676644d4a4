"""The tests of requests over TLS and HTTP/2, where ORQEN_TEST_HTTP2 is set: `make test-http2`.

Then `servers.gateway` gives each gateway a certificate, clients of `loopback` agree on HTTP/2 with it,
and raw requests of `wire` are sent in frames. What only HTTP/1.1 has is left out, each test with its
reason: by the mark `http1`, or where its bytes say so.
"""

import socket
import ssl
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

Headers = list[tuple[bytes, bytes]]
FRAME = 16384
ONLY_HTTP1 = {
    b"connection": "HTTP/2 has no such header (RFC 9113, 8.2.2)",
    b"transfer-encoding": "HTTP/2 has no such header (RFC 9113, 8.2.2)",
    b"upgrade": "HTTP/2 has no such header (RFC 9113, 8.2.2)",
    b"expect": "the server sends no 100 in HTTP/2",
}


@cache
def certificate() -> Path:
    """The folder with the certificate of all gateways of this process."""
    from tests.certificates import issue  # noqa: PLC0415 needs cryptography

    folder = Path(tempfile.mkdtemp(prefix="orqen-http2-"))
    issue().write(folder / "cert.pem", folder / "key.pem")
    return folder


def secure(directory: Path) -> None:
    """Have the gateway on the configuration in `directory` speak TLS."""
    path, folder = directory / "server.yaml", certificate()
    text = path.read_text("utf-8") if path.exists() else "version: 1\n"
    if "\ntls:" not in text:
        path.write_text(
            f"{text}\ntls: {{certificate: {folder}/cert.pem, key: {folder}/key.pem}}\n", "utf-8"
        )


def context() -> ssl.SSLContext:
    """A caller's side of TLS that speaks HTTP/2 alone and believes every certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(["h2"])
    return made


class ResetError(Exception):
    """The server ended a stream or the connection before its response was whole; `code` says why."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Http2:
    """One connection of a caller who speaks HTTP/2 frame by frame, and may send what is malformed."""

    def __init__(
        self, port: int, tls: ssl.SSLContext | None = None, timeout: float = 60, window: int = 0
    ) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket = (tls or context()).wrap_socket(plain, server_hostname="localhost")
        config = H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding=None
        )
        self.state = H2Connection(config)
        # In Python that takes seconds for a header of 100 KB.
        setattr(self.state.encoder, "encode", partial(self.state.encoder.encode, huffman=False))  # noqa: B010 it is a method
        self.state.initiate_connection()
        if window:
            self.state.increment_flow_control_window(window)
        self.events: dict[int, list[Event]] = {}
        self.unread: set[int] = set()  # streams whose windows are not opened again
        self.goodbye: ConnectionTerminated | None = None
        self.flush()

    def __enter__(self) -> "Http2":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send what waits; where the server has closed the connection, its reasons can still be read."""
        with suppress(OSError):
            self.socket.sendall(self.state.data_to_send())

    def ask(self, headers: Headers, body: bytes | None = b"", *, end: bool = True) -> int:
        """Send a request; the number of its stream. Without `end` more of its body may follow."""
        stream: int = self.state.get_next_available_stream_id()
        self.events[stream] = []
        self.state.send_headers(stream, headers, end_stream=end and not body)
        self.flush()
        if body:
            self.send(stream, body, end=end)
        return stream

    def send(self, stream: int, body: bytes, *, end: bool = True) -> None:
        """Send a part of a body as the windows allow; a server that has responded takes no more."""
        sent = 0
        while sent < len(body):
            room = min(self.state.local_flow_control_window(stream), FRAME)
            if room == 0:
                self.receive()
                if any(isinstance(e, StreamEnded | StreamReset) for e in self.events[stream]):
                    return
                continue
            chunk = body[sent : sent + room]
            sent += len(chunk)
            self.state.send_data(stream, chunk, end_stream=end and sent == len(body))
            self.flush()
        if end and not body:
            self.state.end_stream(stream)
            self.flush()

    def reset(self, stream: int) -> None:
        self.state.reset_stream(stream, ErrorCodes.CANCEL)
        self.flush()

    def leave(self, stream: int) -> None:
        """Reset a stream if it is not over."""
        if not any(isinstance(e, StreamEnded | StreamReset) for e in self.events[stream]):
            with suppress(ConnectionError, ProtocolError):
                self.reset(stream)

    def receive(self) -> None:
        """Wait for something from the server.

        Raises:
            ResetError: it has closed the connection.
        """
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLEOFError):
            data = b""
        if not data:
            raise ResetError(self.goodbye.error_code if self.goodbye else -1)
        for event in self.state.receive_data(data):
            if isinstance(event, ConnectionTerminated):
                self.goodbye = event
            elif (stream := getattr(event, "stream_id", None)) in self.events:
                self.events[stream].append(event)
            if isinstance(event, DataReceived) and event.stream_id not in self.unread:
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()

    def head(self, stream: int) -> tuple[int, list[tuple[str, str]]]:
        """The status and headers of a response.

        Raises:
            ResetError: there is none.
        """
        while True:
            for event in self.events[stream]:
                if isinstance(event, ResponseReceived):
                    pairs = [(n.decode(), v.decode("latin-1")) for n, v in event.headers]
                    return int(pairs[0][1]), pairs[1:]
                if isinstance(event, StreamReset):
                    raise ResetError(event.error_code)
            self.receive()

    def chunks(self, stream: int) -> Iterator[bytes]:
        """The DATA frames of a response, to its end.

        Raises:
            ResetError: it has none.
        """
        seen = 0
        while True:
            while seen < len(self.events[stream]):
                event = self.events[stream][seen]
                seen += 1
                if isinstance(event, DataReceived):
                    yield event.data
                if isinstance(event, StreamEnded):
                    return
                if isinstance(event, StreamReset):
                    raise ResetError(event.error_code)
            self.receive()

    def body(self, stream: int) -> bytes:
        return b"".join(self.chunks(stream))


def head_of(
    method: str | bytes, path: str | bytes, headers: Iterable[tuple[bytes, bytes]], host: bytes | None = b"gateway.test"
) -> Headers:  # fmt: skip
    """The pseudo-headers of a request, and its headers."""
    raw = [part if isinstance(part, bytes) else part.encode() for part in (method, path)]
    start = [(b":method", raw[0]), (b":scheme", b"https"), (b":path", raw[1])]
    return [*start, *([(b":authority", host)] if host is not None else []), *headers]


def from_http1(sent: bytes) -> tuple[Headers, list[bytes]]:
    """A request that was written for HTTP/1.1, as HTTP/2 has it; each chunk of its body is a frame.

    A test whose bytes mean nothing there is skipped.
    """
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, _, rest = first.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if version != b"HTTP/1.1":
        pytest.skip("another version of HTTP")
    if not target.startswith(b"/"):
        pytest.skip("HTTP/2 has no such form of a target (RFC 9113, 8.3.1)")
    hosts, headers, is_chunked = [], [], False
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" ")
        if (name, value.lower()) == (b"transfer-encoding", b"chunked") and not is_chunked:
            is_chunked = True
        elif name in ONLY_HTTP1:
            pytest.skip(ONLY_HTTP1[name])
        elif line[:1] in b" \t":
            pytest.skip("HTTP/2 has no folded lines")
        elif name == b"host":
            hosts.append(value)
        else:
            headers.append((name, value))
    if is_chunked:
        headers = [pair for pair in headers if pair[0] != b"content-length"]
    if len(hosts) > 1:
        headers += [(b"host", value) for value in hosts]
    frames = from_chunks(body) if is_chunked else [body]
    return head_of(method, target, headers, hosts[0] if len(hosts) == 1 else None), frames


def from_chunks(body: bytes) -> list[bytes]:
    """The chunks of a body, and an empty one if it does not end; a test of the framing itself is skipped."""
    chunks: list[bytes] = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        try:
            length = int(size, 16)
        except ValueError:
            length = -1
        if length < 0 or rest[length : length + 2] != b"\r\n" or (length == 0 and rest != b"\r\n"):
            pytest.skip("HTTP/2 frames bodies itself (RFC 9113, 8.1)")
        if length == 0:
            return chunks
        chunks.append(rest[:length])
        body = rest[length + 2 :]
    return [*chunks, b""]  # it goes on


class Response(Protocol):
    """What tests use of `http.client.HTTPResponse`."""

    status: int

    @property
    def headers(self) -> Mapping[str, str]: ...
    def getheader(self, name: str) -> str | None: ...
    def read(self) -> bytes: ...


class _Http2Response:
    def __init__(self, caller: Http2, stream: int) -> None:
        self.status, pairs = caller.head(stream)
        self.headers: Mapping[str, str] = dict(pairs)
        self._caller, self._stream = caller, stream

    def getheader(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    def read(self) -> bytes:
        return self._caller.body(self._stream)


class Connection:
    """Used as an `http.client.HTTPConnection`."""

    def __init__(self, port: int, timeout: float = 60) -> None:
        self._caller = Http2(port, timeout=timeout)
        self._stream = 0

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a request; a body of unknown size is one without a length."""
        pairs = [(name.lower().encode(), v.encode()) for name, v in (headers or {}).items()]
        whole = body.encode() if isinstance(body, str) else body
        if isinstance(whole, bytes):
            pairs.append((b"content-length", b"%d" % len(whole)))
        elif whole is not None:
            whole = b"".join(whole)
        self._stream = self._caller.ask(head_of(method, path, pairs), whole)

    def getresponse(self) -> Response:
        return _Http2Response(self._caller, self._stream)

    def close(self) -> None:
        self._caller.close()
