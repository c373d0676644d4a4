"""What only HTTP/2 has: malformed heads, streams beside each other, floods of frames, the end of a worker."""

import json
import struct
from collections.abc import Iterator

import pytest
from h2.errors import ErrorCodes

from tests import loopback
from tests.e2e.server.small import write_small
from tests.e2e.server.test_tls import tls_gateway
from tests.http2 import Http2, ResetError, certificate, head_of
from tests.servers import KEY, Server

CHAT = "/v1/chat/completions"
BODY = b'{"model":"gpt-4o-mini","messages":[]}'
FIELDS = [(b"authorization", b"Bearer " + KEY.encode()), (b"content-type", b"application/json")]
HEAD = head_of("POST", CHAT, FIELDS)
HEADERS, CONTINUATION, DATA = 1, 9, 0
ENDED = {ErrorCodes.ENHANCE_YOUR_CALM, -1}  # a reset of the connection may take the GOAWAY with it


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mock: Server) -> Iterator[Server]:
    folder = write_small(tmp_path_factory.mktemp("http2"))
    for name in ("cert.pem", "key.pem"):
        (folder / name).write_bytes((certificate() / name).read_bytes())
    with tls_gateway(folder, mock) as running:
        pids = running.worker_pids()
        yield running
        assert running.worker_pids() == pids, "a worker died"
        assert "Traceback" not in running.text


def frame(kind: int, stream: int, payload: bytes, flags: int = 0) -> bytes:
    size = struct.pack(">I", len(payload))[1:]
    return size + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def status_of(server: Server, *fields: tuple[bytes, bytes], body: bytes = BODY) -> int:
    """The status of a request with more headers, or minus the code with which its stream is reset."""
    with Http2(server.port) as caller:
        try:
            return caller.head(caller.ask([*HEAD, *fields], body))[0]
        except ResetError as error:
            return -(error.code or 0)


@pytest.mark.parametrize(
    "field",
    [
        (b"connection", b"close"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"te", b"gzip"),
        (b"X-Upper", b"1"),
        (b":path", b"/healthz"),
        (b"x-a", b"1\r\nx-b: 2"),
        (b"content-length", b"3"),
        (b"content-length", b"3000"),
    ],
)
def test_a_malformed_request_has_its_stream_reset(
    server: Server, field: tuple[bytes, bytes]
) -> None:
    assert status_of(server, field) == -ErrorCodes.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "fields",
    [
        [(b"te", b"trailers")],
        [(b"cookie", b"a=1"), (b"cookie", b"b=2")],
        [(b"content-length", b"%d" % len(BODY))],
        [(b"x-%d" % number, b"y") for number in range(1000)],
    ],
)
def test_what_is_well_formed_is_served(server: Server, fields: list[tuple[bytes, bytes]]) -> None:
    assert status_of(server, *fields) == 200


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [(CHAT, FIELDS, 400), (CHAT, FIELDS[1:], 401), ("/nope", FIELDS, 404)],
)
def test_an_empty_length_is_none(
    server: Server, path: str, fields: list[tuple[bytes, bytes]], status: int
) -> None:
    """HTTP/1.1 has such a request refused by the server itself."""
    with Http2(server.port) as caller:
        stream = caller.ask([*head_of("POST", path, fields), (b"content-length", b"")])
        assert caller.head(stream)[0] == status


def test_the_bytes_of_a_head_are_bounded_as_hpack_saves_them(server: Server) -> None:
    """Each of these fields is one byte on the wire."""
    assert status_of(server, *[(b"x", b"y")] * 4500, body=b"") == 431
    assert -status_of(server, *[(b"x", b"y")] * 30_000, body=b"") in ENDED


def test_trailers_are_read_and_dropped(server: Server) -> None:
    with Http2(server.port) as caller:
        stream = caller.ask(HEAD, BODY, end=False)
        caller.state.send_headers(stream, [(b"x-trailer", b"1")], end_stream=True)
        caller.flush()
        assert caller.head(stream)[0] == 200


def test_a_stream_that_waits_stops_no_other(server: Server) -> None:
    """One is held up by the provider, one by its caller, who reads nothing of it."""
    with Http2(server.port, window=1 << 24) as caller:
        held = caller.ask(HEAD, json.dumps({"model": "gpt-mock-hang", "messages": []}).encode())
        unread = caller.ask(HEAD, json.dumps({"model": "gpt-mock-size-3000000", "messages": []}).encode())  # fmt: skip
        caller.unread.add(unread)
        others = [caller.ask(HEAD, BODY) for _ in range(100)]
        assert {caller.head(stream)[0] for stream in others} == {200}
        assert all(caller.body(stream).endswith(b"}") for stream in others)
        caller.leave(held)
        caller.leave(unread)


@pytest.mark.parametrize("key", [KEY, "wrong"])
def test_a_flood_of_resets_ends_the_connection_alone(server: Server, key: str) -> None:
    """CVE-2023-44487."""
    head = head_of("POST", CHAT, [(b"authorization", b"Bearer " + key.encode()), FIELDS[1]])
    with Http2(server.port) as caller, pytest.raises(ResetError) as ended:
        for _ in range(1000):
            stream = caller.state.get_next_available_stream_id()
            caller.state.send_headers(stream, head)
            caller.state.send_data(stream, BODY, end_stream=True)
            caller.state.reset_stream(stream, ErrorCodes.CANCEL)
        caller.flush()
        while True:
            caller.receive()
    assert ended.value.code in ENDED
    assert status_of(server) == 200


@pytest.mark.parametrize("name", ["headers that never end", "empty data"])
def test_a_flood_of_frames_ends_the_connection_alone(server: Server, name: str) -> None:
    """CVE-2024-27316 and CVE-2019-9518."""
    with Http2(server.port) as caller:
        if name == "empty data":
            stream = caller.ask(HEAD, b"", end=False)
            flood = frame(DATA, stream, b"") * 50_000
        else:
            caller.socket.sendall(frame(HEADERS, 1, b"\x82\x87\x84"))
            flood = frame(CONTINUATION, 1, b"\x00\x01x\x01y" * 1000) * 1000
        with pytest.raises((ResetError, OSError)):
            caller.socket.sendall(flood)
            while True:
                caller.receive()
    assert status_of(server) == 200


def test_a_response_has_no_header_of_a_connection(server: Server) -> None:
    """Also one that leaves before the request is whole, which closes a connection of HTTP/1.1."""
    for fields, status in ((HEAD, 200), (head_of("POST", CHAT, []), 401)):
        with Http2(server.port) as caller:
            found, pairs = caller.head(caller.ask(fields, BODY, end=status == 200))
            names = {name for name, _ in pairs}
            assert found == status
            assert not names & {"connection", "keep-alive", "transfer-encoding", "upgrade"}


def test_without_tls_there_is_no_http2(server: Server) -> None:
    with pytest.raises(loopback.RemoteProtocolError):
        loopback.get(f"http://127.0.0.1:{server.port}/healthz")
