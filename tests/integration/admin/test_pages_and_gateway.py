"""Pages that call the gateway: the test of a saved key, and the configuration."""

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.accounts import keys
from engine.admin.app import create_app
from engine.plan.settings import NO_SETTINGS
from engine.plan.tls import ListenerTls
from tests.certificates import issue
from tests.integration.admin.in_process.conftest import (
    House,
    furnished,
    house,
    shipped_configuration,
)
from tests.integration.admin.in_process.test_dashboard import PROVIDER, SECRET, post

__all__ = ["furnished", "house", "shipped_configuration"]


class _Gateway(BaseHTTPRequestHandler):
    """Reports its readiness, and takes one call."""

    calls: list[tuple[str, str, bytes]]
    status = 200

    def do_GET(self) -> None:
        self._reply(200, {"status": "ready", "config": "0" * 16, "loaded": "2026-11-26T22:15:58+00:00", "refused": {"at": "noon", "reasons": ["a typo"]}})  # fmt: skip

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.calls.append((self.path, self.headers["authorization"], body))
        self._reply(self.status, {"error": {"message": "no sk-proj-1234567890abcdef please"}})

    def _reply(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def beside(house: House, url: str) -> House:
    """The house beside the gateway at `url`."""
    context = replace(house.context, gateway_url=url)
    return House(create_app(context), context, house.ids, house.keys)


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    _Gateway.calls = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Gateway)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def served(house: House, server: ThreadingHTTPServer) -> House:
    """The house beside a gateway."""
    return beside(house, f"http://127.0.0.1:{server.server_port}")


@pytest.mark.parametrize(("status", "says"), [(200, "accepted the key"), (401, "refused the key")])
def test_a_saved_key_is_tested_by_one_call_of_the_gateway(
    served: House, status: int, says: str
) -> None:
    _Gateway.status = status
    browser = served.browser("ours-member")
    reply = post(browser, "/providers/openai", "/providers/openai/test", model="gpt-5-mini")
    assert says in reply.text
    assert "1234567890abcdef" not in reply.text
    ((path, authorization, body),) = _Gateway.calls
    assert path == "/v1/chat/completions"
    assert SECRET.fullmatch(authorization.removeprefix("Bearer "))
    assert json.loads(body)["max_tokens"] == 1
    with served.database.read() as connection:
        key = keys.list_keys(connection, served.ids["ours"])[0]
    assert key.revoked_at is not None
    assert key.models == ("gpt-5-mini",)


def test_a_test_of_another_providers_model_sends_nothing(served: House) -> None:
    browser = served.browser("ours-member")
    reply = post(browser, "/providers/openai", "/providers/openai/test", model="claude-sonnet-4-5")
    assert "Nothing was sent" in reply.text
    assert post(browser, "/providers", f"/providers/{PROVIDER}/test", model="x").status == 409
    assert _Gateway.calls == []


def test_the_configuration_says_what_runs_and_why_the_files_were_refused(served: House) -> None:
    text = served.browser("operator").get("/configuration").text
    assert "0" * 16 in text
    assert "a typo" in text
    assert "26 Nov 2026, 22:15 UTC" in text
    assert "The files on disk were refused" in text


def test_a_gateway_with_tls_is_called_whatever_its_certificate_is_for(
    house: House, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """It has the names that callers use; nothing leaves this host."""
    issue(days=(-2, -1)).write(tmp_path / "cert.pem", tmp_path / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    _Gateway.status = 200
    one = beside(house, f"https://127.0.0.1:{server.server_port}")
    assert "The files on disk were refused" in one.browser("operator").get("/configuration").text
    reply = post(one.browser("ours-member"), "/providers/openai", "/providers/openai/test", model="gpt-5-mini")  # fmt: skip
    assert "accepted the key" in reply.text


def test_a_gateway_that_cannot_be_asked_is_not_said_to_be_down(
    house: House, tmp_path: Path
) -> None:
    """With `client_ca` it wants a certificate, which this process does not have."""
    tls = ListenerTls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "cert.pem")
    loaded = house.context.load()
    settings = replace(loaded.server or NO_SETTINGS, tls=tls)
    context = replace(house.context, load=lambda: replace(loaded, server=settings), gateway_url="https://127.0.0.1:1")  # fmt: skip
    wanting = House(create_app(context), context, house.ids, house.keys)
    text = wanting.browser("operator").get("/configuration").text
    assert "The gateway requires client certificates" in text


def test_a_gateway_that_is_down_is_said_to_be(house: House) -> None:
    down = beside(house, "http://127.0.0.1:1")
    assert "The gateway does not respond." in down.browser("operator").get("/configuration").text
    reply = post(down.browser("ours-member"), "/providers/openai", "/providers/openai/test", model="gpt-5-mini")  # fmt: skip
    assert "does not respond at http://127.0.0.1:1" in reply.text
