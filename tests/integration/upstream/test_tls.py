"""Providers behind TLS: the certificate decides, by issuer and by name.

tls/ holds certificates made for these tests alone, valid for a hundred years: cert.pem for
`localhost`, by itself; issued.pem for the same, by intermediate.pem, whose root is nowhere; and
other-ca.pem, which has issued nothing.
"""

import asyncio
import contextlib
import os
import signal
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from engine.config.load import load
from tests import loopback
from tests.listening import listening
from tests.servers import KEY, ROOT, WAIT, Server, gateway, write_keys

CERT = Path(__file__).parent / "tls" / "cert.pem"
ROUTES = """
version: 1
endpoints:
  talk: {path: /talk}
models:
  - {model: right, provider: right}
  - {model: other-name, provider: other_name}
"""
PROVIDERS = """
version: 1
providers:
  right: {base_url: "https://localhost:PORT", client: CLIENT, endpoints: {talk: /talk}}
  other_name: {base_url: "https://127.0.0.1:PORT", client: CLIENT, endpoints: {talk: /talk}}
"""


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"}"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


@contextlib.contextmanager
def upstream(cert: str, key: str) -> Iterator[int]:
    """The port of an upstream that shows this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERT.with_name(cert), CERT.with_name(key))
    with listening(serve, tls=context) as port:
        yield port


def write(directory: Path, routes: str, providers: str) -> Path:
    (directory / "routes.yaml").write_text(routes)
    (directory / "providers.yaml").write_text(providers)
    write_keys(directory)
    return directory


@pytest.fixture(scope="module", params=["http1", "httpx"])
def client(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def folder(client: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with upstream("cert.pem", "key.pem") as port:
        text = PROVIDERS.replace("PORT", str(port)).replace("CLIENT", client)
        yield write(tmp_path_factory.mktemp("tls"), ROUTES, text)


def send_request(server: Server, model: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {KEY}"}
    return loopback.post(f"{server.url}/talk", json={"model": model}, headers=headers)


def outcome(server: Server, model: str) -> tuple[int, str | None]:
    answer = send_request(server, model)
    return answer.status_code, answer.headers.get("x-engine-error")


TAKEN = (200, None)
REFUSED = (502, "upstream_tls_failed")
NAMED = """
version: 1
providers:
  its_own: {base_url: "https://localhost:PORT", client: CLIENT, tls: {ca: cert.pem}, endpoints: {talk: /talk}}
  another: {base_url: "https://localhost:PORT", client: CLIENT, tls: {ca: certs/other.pem}, endpoints: {talk: /talk}}
  system: {base_url: "https://localhost:PORT", client: CLIENT, endpoints: {talk: /talk}}
  wrong_name: {base_url: "https://127.0.0.1:PORT", client: CLIENT, tls: {ca: cert.pem}, endpoints: {talk: /talk}}
  issued: {base_url: "https://localhost:ISSUED", client: CLIENT, tls: {ca: intermediate.pem}, endpoints: {talk: /talk}}
"""
LED = """
version: 1
endpoints:
  talk: {path: /talk}
models:
  - {prefix: its-own, provider: its_own}
  - {prefix: another, provider: another}
  - {prefix: system, provider: system}
  - {prefix: wrong-name, provider: wrong_name}
  - {prefix: issued, provider: issued}
"""


@pytest.fixture(scope="module")
def named(client: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Providers at one origin that differ in whom they trust."""
    directory = tmp_path_factory.mktemp("named")
    (directory / "certs").mkdir()
    for name, file in (("cert", "cert"), ("certs/other", "other-ca"), ("intermediate",) * 2):
        (directory / f"{name}.pem").write_bytes(CERT.with_name(f"{file}.pem").read_bytes())
    with upstream("cert.pem", "key.pem") as one, upstream("issued.pem", "issued-key.pem") as two:
        text = NAMED.replace("PORT", str(one)).replace("ISSUED", str(two))
        yield write(directory, LED, text.replace("CLIENT", client))


def test_the_authority_that_a_provider_names_decides_and_no_other(named: Path) -> None:
    with gateway(named, named / "log", "--workers", "1") as server:
        assert outcome(server, "its-own") == TAKEN
        # The connection that is open now goes to the same host and must not serve these.
        assert outcome(server, "another") == REFUSED
        assert outcome(server, "system") == REFUSED
        assert outcome(server, "wrong-name") == REFUSED
        assert outcome(server, "issued") == TAKEN
        assert outcome(server, "its-own") == TAKEN


def test_what_a_provider_names_counts_in_place_of_the_systems(named: Path) -> None:
    with gateway(named, named / "log", environ={"SSL_CERT_FILE": str(CERT)}) as server:
        assert outcome(server, "system") == TAKEN
        assert outcome(server, "another") == REFUSED


def test_a_trusted_certificate_is_taken_for_its_name_alone(folder: Path) -> None:
    with gateway(folder, folder / "log", environ={"SSL_CERT_FILE": str(CERT)}) as server:
        answers = [send_request(server, "right") for _ in range(3)]
        assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"{}")] * 3
        refused = send_request(server, "other-name")
        assert (refused.status_code, refused.headers["x-engine-error"]) == (
            502,
            "upstream_tls_failed",
        )


def test_a_certificate_nobody_vouches_for_is_refused(folder: Path) -> None:
    with gateway(folder, folder / "log") as server:
        refused = send_request(server, "right")
        assert (refused.status_code, refused.headers["x-engine-error"]) == (
            502,
            "upstream_tls_failed",
        )
        assert "x-should-retry" not in refused.headers


def until(server: Server, wanted: tuple[int, str | None]) -> bool:
    """Whether requests end so within a moment."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        with contextlib.suppress(httpx2.TransportError):  # no worker at this moment
            if outcome(server, "its-own") == wanted:
                return True
        time.sleep(0.02)
    return False


def refused(server: Server) -> list[str]:
    """The reasons for which what is on disk does not run."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if told := loopback.get(f"{server.url}/readyz").json()["refused"]:
            return list(told["reasons"])
        time.sleep(0.02)
    return []


def test_a_changed_authority_is_taken_and_a_broken_one_is_not(tmp_path: Path) -> None:
    """Nor by a worker that is started again: what was accepted holds, whatever is on disk."""
    config = tmp_path / "config"
    (config / "certs").mkdir(parents=True)
    file = config / "certs" / "ca.pem"
    file.write_bytes(CERT.with_name("other-ca.pem").read_bytes())
    with upstream("cert.pem", "key.pem") as port:
        entry = f'{{base_url: "https://localhost:{port}", tls: {{ca: certs/ca.pem}}, endpoints: {{talk: /talk}}}}'
        routes = LED[: LED.index("  - {prefix: another")]
        write(config, routes, f"version: 1\nproviders:\n  its_own: {entry}\n")
        with gateway(config, tmp_path / "log") as server:
            assert outcome(server, "its-own") == REFUSED
            file.write_bytes(CERT.read_bytes())
            assert until(server, TAKEN)
            file.write_bytes(CERT.read_bytes()[:200])
            assert refused(server) == [f"providers.yaml:3:{entry.index('certs') + 12} E406"]
            assert server.text.count("reload refused") == 1
            (pid,) = server.worker_pids()
            os.kill(pid, signal.SIGKILL)
            assert until(server, TAKEN)
            assert server.worker_pids() != [pid]


def test_an_authority_that_comes_after_the_configuration_that_names_it_is_taken(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    routes = LED[: LED.index("  - {prefix: another")]
    entry = 'version: 1\nproviders:\n  its_own: {base_url: "https://localhost:PORT", endpoints: {talk: /talk}}\n'
    with upstream("cert.pem", "key.pem") as port:
        text = entry.replace("PORT", str(port))
        write(config, routes, text)
        with gateway(config, tmp_path / "log") as server:
            assert outcome(server, "its-own") == REFUSED
            named = text.replace("endpoints", "tls: {ca: ca.pem}, endpoints")
            (config / "providers.yaml").write_text(named)
            assert refused(server)[0].endswith("E406")
            time.sleep(1)  # a second look at the files, at which nothing is told again
            assert server.text.count("reload refused") == 1
            (config / "ca.pem").write_bytes(CERT.read_bytes())
            assert until(server, TAKEN)


@pytest.mark.parametrize(
    ("name", "words"),
    [("~/ca.pem", "is not there"), (".", "it is a directory")],
)
def test_what_stands_where_certificates_are_looked_for_is_told(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "routes.yaml").write_bytes((ROOT / "engine/cli/starter/routes.yaml").read_bytes())
    provider = f'  p: {{base_url: "https://a.example", tls: {{ca: "{name}"}}, endpoints: {{embeddings: /embeddings}}}}\n'
    (tmp_path / "providers.yaml").write_text(f"version: 1\nproviders:\n{provider}")
    told = [d.message for d in load(tmp_path, {}, 0.0).diagnostics if d.code == "E406"]
    assert len(told) == 1
    assert words in told[0]
    assert f"{tmp_path}" in told[0]
