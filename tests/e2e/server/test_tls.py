"""TLS and HTTP/2 towards callers: both versions of HTTP, client certificates, renewal under load."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, StreamEnded

from tests.certificates import Issued, issue
from tests.e2e.server.small import write_small
from tests.ports import free_port
from tests.processes import Command, Process
from tests.servers import KEY, WAIT, Server

BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": []}
JSON = {"content-type": "application/json"}
HEADERS = {"authorization": f"Bearer {KEY}"}


@contextlib.contextmanager
def tls_gateway(folder: Path, mock: Server, more: str = "", *options: str) -> Iterator[Server]:
    """The gateway with a certificate in `folder`, and `more` lines in `tls:`."""
    (folder / "server.yaml").write_text(
        f"version: 1\ntls:\n  certificate: cert.pem\n  key: key.pem\n{more}"
    )
    port, log = free_port(), folder / "log"
    words = ["engine", "serve", str(folder), "--port", str(port), "--drain-delay", "0"]
    words += ["--mock-port", str(mock.port), *options]
    log.touch()
    process = Process(Command(tuple(words), log, log, {"PATH": os.environ["PATH"]}))
    running = Server(port, process, log)
    try:
        wait_for(running, f"listening on https://127.0.0.1:{port}")
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(server: Server, words: str, count: int = 1) -> None:
    end = time.monotonic() + WAIT
    while (found := server.text.count(words)) < count and time.monotonic() < end:
        assert server.process.poll() is None, server.text
        time.sleep(0.02)
    assert found >= count, server.text


def client(issued: Issued, *, http2: bool = True, own: Path | None = None) -> httpx2.Client:
    context = ssl.create_default_context(cadata=issued.certificate.decode("ascii"))
    if own is not None:
        context.load_cert_chain(own / "own.pem", own / "own-key.pem")
    return httpx2.Client(verify=context, http2=http2, trust_env=False, headers=HEADERS)


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    made = issue()
    made.write(write_small(tmp_path) / "cert.pem", tmp_path / "key.pem")
    return made


@pytest.mark.parametrize("http2", [True, False])
def test_a_caller_chooses_the_version_of_http(
    tmp_path: Path, mock: Server, issued: Issued, *, http2: bool
) -> None:
    version = "HTTP/2" if http2 else "HTTP/1.1"
    with tls_gateway(tmp_path, mock) as server, client(issued, http2=http2) as caller:
        url = f"https://127.0.0.1:{server.port}/v1/chat/completions"
        whole = caller.post(url, json=BODY)
        assert (whole.status_code, whole.http_version) == (200, version), whole.text
        assert whole.json()["object"] == "chat.completion"
        with caller.stream("POST", url, json={**BODY, "stream": True}) as events:
            lines = [line for line in events.iter_lines() if line]
        assert (events.http_version, lines[-1]) == (version, "data: [DONE]")
        assert "transfer-encoding" not in events.headers or not http2
        models = caller.head(f"https://127.0.0.1:{server.port}/v1/models")
        assert (models.content, int(models.headers["content-length"]) > 0) == (b"", True)
        large = caller.post(url, content=bytes(65 << 20), headers=JSON)
        assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
        unsized = caller.post(
            url, content=iter([b'{"model": "gpt-4o-mini",', b'"messages": []}']), headers=JSON
        )
        assert unsized.status_code == 200, unsized.text
        assert caller.post(url, json=BODY, headers={"authorization": "Bearer no"}).status_code == 401  # fmt: skip
        assert {r["outcome"] for r in server.records} >= {"ok", "refused"}


def test_http2_can_be_left_out(tmp_path: Path, mock: Server, issued: Issued) -> None:
    with tls_gateway(tmp_path, mock, "  http2: false\n") as server, client(issued) as caller:
        found = caller.get(f"https://127.0.0.1:{server.port}/readyz")
        assert (found.status_code, found.http_version) == (200, "HTTP/1.1")


def test_a_caller_who_leaves_ends_the_request_to_the_provider(
    tmp_path: Path, mock: Server, issued: Issued
) -> None:
    body = {**BODY, "model": "mock-stall", "stream": True}
    routes = (tmp_path / "routes.yaml").read_text("utf-8")
    entry = "models:\n  - {model: mock-stall, provider: openai}\n"
    (tmp_path / "routes.yaml").write_text(routes.replace("models:\n", entry, 1))
    with tls_gateway(tmp_path, mock) as server, Http2(server.port, issued) as caller:
        stream = caller.post("/v1/chat/completions", body)
        caller.wait_for(DataReceived, stream)
        caller.reset(stream)
        wait_for(server, '"outcome":"client_cancelled"')
        stream = caller.post("/v1/chat/completions", BODY)  # the connection goes on
        caller.wait_for(StreamEnded, stream)


class Http2:
    """One connection of a caller who speaks HTTP/2 frame by frame."""

    def __init__(self, port: int, issued: Issued) -> None:
        context = ssl.create_default_context(cadata=issued.certificate.decode("ascii"))
        context.set_alpn_protocols(["h2"])
        self._socket = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), WAIT), server_hostname="localhost"
        )
        self._state = H2Connection()
        self._state.initiate_connection()

    def __enter__(self) -> "Http2":
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def post(self, path: str, body: dict[str, Any]) -> int:
        """Send a request; the number of its stream."""
        stream: int = self._state.get_next_available_stream_id()
        head = {":method": "POST", ":scheme": "https", ":authority": "localhost", ":path": path}
        self._state.send_headers(stream, [*head.items(), *HEADERS.items(), *JSON.items()])
        self._state.send_data(stream, json.dumps(body).encode(), end_stream=True)
        self._flush()
        return stream

    def reset(self, stream: int) -> None:
        self._state.reset_stream(stream, ErrorCodes.CANCEL)
        self._flush()

    def wait_for(self, kind: type, stream: int) -> None:
        while True:
            events = self._state.receive_data(self._socket.recv(65536))
            self._flush()
            if any(isinstance(e, kind) and getattr(e, "stream_id", 0) == stream for e in events):
                return

    def _flush(self) -> None:
        self._socket.sendall(self._state.data_to_send())


def test_only_callers_with_a_certificate_connect(
    tmp_path: Path, mock: Server, issued: Issued
) -> None:
    own, other = issue(2), issue(3)
    (tmp_path / "clients.pem").write_bytes(own.certificate)
    with tls_gateway(tmp_path, mock, "  client_ca: clients.pem\n") as server:
        url = f"https://127.0.0.1:{server.port}/readyz"
        for one in (None, other):
            if one is not None:
                one.write(tmp_path / "own.pem", tmp_path / "own-key.pem")
            with (
                client(issued, own=tmp_path if one else None) as caller,
                pytest.raises(httpx2.HTTPError),
            ):
                caller.get(url)
        own.write(tmp_path / "own.pem", tmp_path / "own-key.pem")
        with client(issued, own=tmp_path) as caller:
            assert caller.get(url).status_code == 200


def test_a_renewed_certificate_is_served_and_no_request_is_lost(
    tmp_path: Path, mock: Server, issued: Issued
) -> None:
    renewed, answered = issue(77), 0
    lost: list[str] = []
    context = ssl.create_default_context(
        cadata=(issued.certificate + renewed.certificate).decode("ascii")
    )
    over = threading.Event()

    def call() -> None:
        nonlocal answered
        fresh = httpx2.Limits(max_keepalive_connections=0)
        while not over.is_set():
            with httpx2.Client(verify=context, http2=True, limits=fresh, trust_env=False) as caller:
                try:
                    got = caller.post(url, json=BODY, headers=HEADERS)
                    lost.extend([] if got.status_code == 200 else [got.text])
                except httpx2.HTTPError as error:
                    lost.append(repr(error))
            answered += 1

    with tls_gateway(tmp_path, mock) as server:
        url = f"https://127.0.0.1:{server.port}/v1/chat/completions"
        assert serials(server.port) == {1}
        (tmp_path / "key.pem").write_bytes(renewed.key)  # the other file comes later
        wait_for(server, "TLS files have changed and are not used: the `key` is not the key of")
        assert serials(server.port) == {1}
        calling = threading.Thread(target=call)
        calling.start()
        try:
            (tmp_path / "cert.pem").write_bytes(renewed.certificate)
            wait_for(server, "has the TLS files of before: replaced")
            end = time.monotonic() + WAIT
            while serials(server.port) != {77} and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            over.set()
            calling.join()
        assert serials(server.port) == {77}
    assert (lost, answered > 5) == ([], True)


def serials(port: int) -> set[int]:
    """The serial numbers of the certificates that a few connections get."""
    return {asyncio.run(_serial(port)) for _ in range(8)}


async def _serial(port: int) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return x509.load_der_x509_certificate(found).serial_number
