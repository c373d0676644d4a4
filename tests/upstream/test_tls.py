"""Providers behind TLS: the certificate decides, by issuer and by name.

tls/ holds a certificate for `localhost` made for these tests alone, valid for a hundred years.
"""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.listening import listening
from tests.servers import KEY, Server, gateway, write_keys

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


@pytest.fixture(scope="module", params=["http1", "httpx"])
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERT, CERT.with_name("key.pem"))
    directory = tmp_path_factory.mktemp("tls")
    with listening(serve, tls=context) as port:
        text = PROVIDERS.replace("PORT", str(port)).replace("CLIENT", request.param)
        (directory / "routes.yaml").write_text(ROUTES)
        (directory / "providers.yaml").write_text(text)
        write_keys(directory)
        yield directory


def ask(server: Server, model: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx2.post(f"{server.url}/talk", json={"model": model}, headers=headers)


def test_a_trusted_certificate_is_taken_for_its_name_alone(folder: Path) -> None:
    with gateway(folder, folder / "log", environ={"SSL_CERT_FILE": str(CERT)}) as server:
        answers = [ask(server, "right") for _ in range(3)]
        assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"{}")] * 3
        refused = ask(server, "other-name")
        assert (refused.status_code, refused.headers["x-engine-error"]) == (
            502,
            "upstream_tls_failed",
        )


def test_a_certificate_nobody_vouches_for_is_refused(folder: Path) -> None:
    with gateway(folder, folder / "log") as server:
        refused = ask(server, "right")
        assert (refused.status_code, refused.headers["x-engine-error"]) == (
            502,
            "upstream_tls_failed",
        )
        assert "x-should-retry" not in refused.headers
