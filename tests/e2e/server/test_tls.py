"""TLS and HTTP/2 towards callers: both versions of HTTP, client certificates, renewal under load."""

import contextlib
import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from h2.connection import (
    ConnectionInputs,
    ConnectionState,
    H2ConnectionStateMachine,
)

from tests.certificates import KNOWN, Issued, issue
from tests.e2e.server.small import write_small
from tests.http2 import Http2, ResetError, head_of
from tests.ports import free_port
from tests.processes import Command, Process, run_engine
from tests.servers import KEY, WAIT, Server

BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": []}
JSON = {"content-type": "application/json"}
HEADERS = {"authorization": f"Bearer {KEY}"}
FIELDS = ((name.encode(), value.encode()) for name, value in {**HEADERS, **JSON}.items())
HEAD = head_of("POST", "/v1/chat/completions", FIELDS)


@contextlib.contextmanager
def tls_gateway(
    folder: Path, mock: Server | None, more: str = "", *options: str
) -> Iterator[Server]:
    """The gateway with a certificate in `folder`, and `more` lines in `tls:`; without `mock` as for real."""
    (folder / "server.yaml").write_text(
        f"version: 1\ntls:\n  certificate: cert.pem\n  key: key.pem\n{more}"
    )
    port, log = free_port(), folder / "log"
    words = ["engine", "serve", str(folder), "--port", str(port), "--drain-delay", "0"]
    words += [*(["--mock-port", str(mock.port)] if mock else []), *options]
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
    made = issue(critical=KNOWN.values())
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
        refused = caller.post(
            url, content=iter([bytes(65536)] * 64), headers={"authorization": "Bearer no"}
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert {r["outcome"] for r in server.records} >= {"ok", "refused"}


def test_commands_ask_a_gateway_with_tls(tmp_path: Path, mock: Server, issued: Issued) -> None:
    """The health check of an image names no URL, whatever is mounted into it."""
    with tls_gateway(tmp_path, mock) as server:
        here = f"127.0.0.1:{server.port}"
        health = run_engine("health", "--url", here)
        assert (health.stdout, health.returncode) == ("healthy\n", 0)
        plain = run_engine("health", "--url", f"http://{here}")
        assert (plain.returncode, "something else listens" in plain.stderr) == (2, True)
        status = run_engine("status", str(tmp_path), "--url", f"https://{here}")
        assert "SSL_CERT_FILE can name its CA certificate" in status.stderr


def test_http2_can_be_left_out(tmp_path: Path, mock: Server, issued: Issued) -> None:
    with tls_gateway(tmp_path, mock, "  http2: false\n") as server, client(issued) as caller:
        found = caller.get(f"https://127.0.0.1:{server.port}/readyz")
        assert (found.status_code, found.http_version) == (200, "HTTP/1.1")


def test_an_older_version_of_tls_is_refused(tmp_path: Path, mock: Server, issued: Issued) -> None:
    with tls_gateway(tmp_path, mock, '  minimum: "1.3"\n') as server:
        context = ssl.create_default_context(cadata=issued.certificate.decode("ascii"))
        url = f"https://127.0.0.1:{server.port}/readyz"
        with httpx2.Client(verify=context, trust_env=False) as caller:
            assert caller.get(url).status_code == 200
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            httpx2.Client(verify=context, trust_env=False) as caller,
            pytest.raises(httpx2.ConnectError, match="PROTOCOL_VERSION"),
        ):
            caller.get(url)


def test_a_caller_who_leaves_ends_the_request_to_the_provider(
    tmp_path: Path, mock: Server, issued: Issued
) -> None:
    body = {**BODY, "model": "mock-stall", "stream": True}
    routes = (tmp_path / "routes.yaml").read_text("utf-8")
    entry = "models:\n  - {model: mock-stall, provider: openai}\n"
    (tmp_path / "routes.yaml").write_text(routes.replace("models:\n", entry, 1))
    with tls_gateway(tmp_path, mock) as server, Http2(server.port) as caller:
        stream = caller.ask(HEAD, json.dumps(body).encode())
        next(caller.chunks(stream))
        caller.reset(stream)
        wait_for(server, '"outcome":"client_cancelled"')
        stream = caller.ask(HEAD, json.dumps(BODY).encode())  # the connection goes on
        assert caller.body(stream)


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


def test_commands_ask_with_a_certificate_where_the_server_wants_one(
    tmp_path: Path, mock: Server, issued: Issued
) -> None:
    own, other = issue(2), issue(3)
    (tmp_path / "clients.pem").write_bytes(own.certificate)
    (tmp_path / "ca.pem").write_bytes(issued.certificate)
    (tmp_path / "both.pem").write_bytes(own.certificate + own.key)
    other.write(tmp_path / "other.pem", tmp_path / "other-key.pem")
    with tls_gateway(tmp_path, mock, "  client_ca: clients.pem\n") as server:
        here, both = f"127.0.0.1:{server.port}", str(tmp_path / "both.pem")

        def health(*options: str | Path, environ: str = "") -> tuple[int, str]:
            done = run_engine("health", "--url", here, *options, ORQEN_CLIENT_CERT=environ)
            return done.returncode, done.stdout + done.stderr

        assert health("--cert", both) == (0, "healthy\n")
        assert health(environ=both) == (0, "healthy\n")
        code, shown = health()
        assert (code, "wants a certificate: --cert names one" in shown) == (2, True)
        code, shown = health("--cert", tmp_path / "other.pem", "--key", tmp_path / "other-key.pem")
        assert (code, "does not accept the certificate" in shown) == (2, True)
        for broken in (
            ("--cert", tmp_path / "other.pem"),
            ("--cert", tmp_path / "none"),
            ("--key", both),
        ):
            code, shown = health(*broken)
            assert (code, "`--cert` and `--key` cannot be used" in shown) == (2, True)
        words = "status", tmp_path, "--url", f"https://{here}", "--cert", both
        done = run_engine(*words, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
        assert (done.returncode, ", ready" in done.stdout) == (0, True), done


@pytest.mark.parametrize(("days", "code"), [((-2, -1), "E409"), ((1, 2), "E410")])
def test_a_certificate_whose_time_is_over_or_to_come_is_served_with_a_warning(
    tmp_path: Path, days: tuple[float, float], code: str
) -> None:
    """As `engine check` says of it: callers that do not look at the dates go on."""
    issue(days=days).write(write_small(tmp_path) / "cert.pem", tmp_path / "key.pem")
    with tls_gateway(tmp_path, None) as server:
        assert f"server.yaml:3:16: warning[{code}] the `certificate` of `tls` " in server.text
        assert serials(server.port) == {1}
        assert f"warning[{code}]" in run_engine("check", str(tmp_path)).stdout


@pytest.fixture
def _goes_on_after_goaway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let streams under way end after a GOAWAY (RFC 9113, 6.8); the library of these clients drops them."""
    at = (ConnectionState.CLIENT_OPEN, ConnectionInputs.RECV_GOAWAY)
    monkeypatch.setitem(H2ConnectionStateMachine._transitions, at, (None, at[0]))


class Load:
    """Callers of each kind until `over`: what they lost, and how many responses each kind had."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.lost: list[str] = []
        self.answered: Counter[str] = Counter()
        self.over = threading.Event()
        self._port, self._context = port, context
        kinds = partial(self._new, http2=True), partial(self._new, http2=False)
        self._threads = [threading.Thread(target=kind) for kind in (*kinds, self._keep, self._read)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()

    def _new(self, *, http2: bool) -> None:
        url = f"https://127.0.0.1:{self._port}/v1/chat/completions"
        fresh = httpx2.Limits(max_keepalive_connections=0)
        with httpx2.Client(
            verify=self._context, http2=http2, limits=fresh, trust_env=False, timeout=WAIT
        ) as caller:
            while not self.over.is_set():
                try:
                    got = caller.post(url, json=BODY, headers=HEADERS)
                    self._note(f"new, HTTP/2 {http2}", got.text, is_whole=got.status_code == 200)
                except httpx2.HTTPError as error:
                    self.lost.append(repr(error))
                self.over.wait(0.005)

    def _keep(self) -> None:
        """Requests on one connection, until the server says that it takes no more."""
        while not self.over.is_set():
            with Http2(self._port) as caller:
                while caller.goodbye is None and not self.over.is_set():
                    body = self._body(caller, BODY)
                    self._note("kept", body, is_whole=body.endswith("}"))
                    self.over.wait(0.005)

    def _read(self) -> None:
        while not self.over.is_set():
            with Http2(self._port) as caller:
                body = self._body(
                    caller, {**BODY, "model": "gpt-mock-events-100-20", "stream": True}
                )
                self._note("streams", body, is_whole=body.endswith("data: [DONE]\n\n"))

    @staticmethod
    def _body(caller: Http2, body: dict[str, Any]) -> str:
        try:
            return caller.body(caller.ask(HEAD, json.dumps(body).encode())).decode()
        except ResetError as error:
            return repr(error)

    def _note(self, kind: str, text: str, *, is_whole: bool) -> None:
        self.answered[kind] += 1
        if not is_whole:
            self.lost.append(f"{kind}: {text}")


@pytest.mark.usefixtures("_goes_on_after_goaway")
def test_a_renewed_certificate_is_served_and_no_request_is_lost(
    tmp_path: Path, mock: Server, issued: Issued
) -> None:
    """With HTTP/1.1 on new connections, with HTTP/2 on new ones and on one that is kept, and in streams."""
    renewed = issue(77)
    context = ssl.create_default_context(
        cadata=(issued.certificate + renewed.certificate).decode("ascii")
    )
    with tls_gateway(tmp_path, mock) as server:
        assert serials(server.port) == {1}
        (tmp_path / "key.pem").write_bytes(renewed.key)  # the other file comes later
        wait_for(server, "TLS files have changed and are not used: the `key` is not the key of")
        assert serials(server.port) == {1}
        with Load(server.port, context) as load:
            (tmp_path / "cert.pem").write_bytes(renewed.certificate)
            wait_for(server, "has old TLS files: replaced")
            end = time.monotonic() + WAIT
            while serials(server.port) != {77} and time.monotonic() < end:
                time.sleep(0.05)
        assert serials(server.port) == {77}
    assert (load.lost, len(load.answered)) == ([], 4)


def test_a_kept_connection_to_a_worker_that_is_replaced_is_ready_and_then_closed(
    tmp_path: Path, mock: Server, issued: Issued
) -> None:
    """A balancer that keeps the connection of its probe would take a server out that is ready."""
    context = ssl.create_default_context(cadata=issued.certificate.decode("ascii"))
    with tls_gateway(tmp_path, mock) as server:
        kept = HTTPSConnection("127.0.0.1", server.port, timeout=WAIT, context=context)
        renewed = issue(77)
        renewed.write(tmp_path / "cert.pem", tmp_path / "key.pem")
        statuses: Counter[int] = Counter()
        with contextlib.suppress(ConnectionError):  # closed between two
            while not statuses or kept.sock is not None:  # it is gone after `connection: close`
                kept.request("GET", "/readyz")
                with kept.getresponse() as response:
                    statuses[response.status] += bool(response.read())
                time.sleep(0.005)
        assert set(statuses) == {200}
        assert serials(server.port) == {77}


def test_files_that_are_refused_are_reported_until_others_are_taken(
    tmp_path: Path, mock: Server, issued: Issued
) -> None:
    """By the probes and by `engine status`, as a configuration; also of a worker that is started meanwhile."""
    (tmp_path / "ca.pem").write_bytes(issued.certificate)
    with tls_gateway(tmp_path, mock, "", "--workers", "1") as server:
        url = f"https://127.0.0.1:{server.port}"

        def status(*, until: bool) -> tuple[Any, str]:
            """What both say, once `tls` is there or not; between two workers nobody responds."""
            for _ in range(40):
                with contextlib.suppress(httpx2.ConnectError), client(issued) as caller:
                    found = caller.get(f"{url}/readyz").json().get("tls")
                    if (found is not None) == until:
                        ca = str(tmp_path / "ca.pem")
                        done = run_engine("status", tmp_path, "--url", url, SSL_CERT_FILE=ca)
                        return found, done.stdout
                time.sleep(0.1)
            raise AssertionError(server.text)

        (tmp_path / "cert.pem").write_bytes(issue(77).certificate)
        wait_for(server, "TLS files have changed and are not used")
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        wait_for(server, "another takes its place")
        reported, shown = status(until=True)
        assert reported["reasons"] == ["server.yaml tls.key"]
        assert (
            f"files on disk refused at {reported['at']}: server.yaml tls.key; the previous" in shown
        )
        issued.write(tmp_path / "cert.pem", tmp_path / "key.pem")
        wait_for(server, "TLS files have changed: workers are replaced")
        assert "refused" not in status(until=False)[1]


@pytest.mark.skipif(sys.platform != "linux", reason="the files are held in memory on Linux alone")
def test_a_worker_that_dies_in_the_middle_of_a_renewal_comes_back_with_the_files_of_before(
    tmp_path: Path, mock: Server, issued: Issued
) -> None:
    with tls_gateway(tmp_path, mock, "", "--workers", "1") as server:
        (tmp_path / "cert.pem").write_bytes(issue(77).certificate)
        wait_for(server, "TLS files have changed and are not used")
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        found: set[int] = set()
        end = time.monotonic() + WAIT
        while not found and time.monotonic() < end:
            assert server.process.poll() is None, server.text
            with contextlib.suppress(ConnectionError):
                found = serials(server.port)
        assert found == {1}


def serials(port: int) -> set[int]:
    """The serial numbers of the certificates that a few connections get."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return {_serial(port, context) for _ in range(8)}


def _serial(port: int, context: ssl.SSLContext) -> int:
    with (
        socket.create_connection(("127.0.0.1", port), WAIT) as plain,
        context.wrap_socket(plain) as connection,
    ):
        found = connection.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(found or b"").serial_number
