"""Pages of allowed origins may call from a browser; others may not."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.config.load import load
from tests import loopback
from tests.integration.gateway.wire import driver
from tests.integration.upstream.fault_server import FaultServer
from tests.servers import KEY, Server, gateway, ship

PAGE = "https://app.example.com"
OTHER = "https://evil.example"
ASKS = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}
CHAT, LIST = "/v1/chat/completions", "/v1/models"


def served_with(
    folder_of: pytest.TempPathFactory, mock: Server, cors: str, *options: str
) -> Iterator[Server]:
    folder = ship(folder_of.mktemp("cors"))
    with (folder / "routes.yaml").open("a") as routes:
        routes.write(f"\ncors: {cors}\n")
    arguments = ("--mock-port", str(mock.port), *options)
    with gateway(
        folder, folder / "log", *arguments, environ={"OPENAI_API_KEY": "canary-cors"}
    ) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mock: Server) -> Iterator[Server]:
    yield from served_with(tmp_path_factory, mock, f"{{origins: ['{PAGE}'], max_age: 5m}}")


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory, mock: Server) -> Iterator[Server]:
    yield from served_with(tmp_path_factory, mock, f"{{origins: ['{PAGE}']}}", "--no-auth")


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (CHAT, "POST"),
        (LIST, "GET"),
        (LIST + "/a", "GET"),
        (CHAT, "DELETE"),
        ("/v1/nothing", "POST"),
    ],
)
def test_a_preflight_needs_no_key(server: Server, path: str, method: str) -> None:
    asks = {**ASKS, "access-control-request-method": method, "origin": PAGE}
    answer = loopback.options(server.url + path, headers=asks)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-methods"] == method
    assert answer.headers["access-control-allow-headers"] == ASKS["access-control-request-headers"]
    assert answer.headers["access-control-max-age"] == "300"
    assert answer.headers["vary"] == "origin"
    assert "access-control-allow-private-network" not in answer.headers
    private = loopback.options(
        server.url + path, headers={**asks, "access-control-request-private-network": "true"}
    )
    assert private.headers["access-control-allow-private-network"] == "true"


def test_a_preflight_that_has_a_body_is_read_to_its_end(server: Server) -> None:
    """`http.client` reads nothing before it has written the whole body (RFC 9112, 9.6)."""
    connection = loopback.connection(server.port)
    connection.request("OPTIONS", CHAT, b"x" * 8 * 1024 * 1024, {**ASKS, "origin": PAGE})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("connection")) == (204, loopback.CLOSE)
    assert answer.getheader("content-length") is None
    connection.close()


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        (CHAT, {"origin": OTHER}),
        (CHAT, {"origin": "null"}),
        (CHAT, {"origin": PAGE + ":444"}),
        (CHAT, {"access-control-request-method": ""}),
        (CHAT, {"access-control-request-method": "POST, GET"}),
        ("/v1/nothing", {"origin": OTHER}),
    ],
)
def test_no_other_preflight_is_answered(server: Server, path: str, changes: dict[str, str]) -> None:
    answer = loopback.options(server.url + path, headers={**ASKS, "origin": PAGE, **changes})
    assert answer.status_code == 401
    assert "access-control-allow-methods" not in answer.headers


@pytest.mark.parametrize(
    ("path", "body", "key", "status"),
    [
        (CHAT, {"model": "gpt-4o-mini", "messages": []}, KEY, 200),
        (CHAT, {"model": "gpt-4o-mini", "stream": True, "messages": []}, KEY, 200),
        (CHAT, {"model": "gpt-4o-mini-mock-status-429", "messages": []}, KEY, 429),
        (CHAT, {"model": "nothing-like-it"}, KEY, 404),
        (CHAT, {"model": "gpt-4o-mini"}, "wrong", 401),
        ("/v1/nothing", {}, "wrong", 401),
    ],
)
def test_every_response_says_who_may_read_it(
    server: Server, path: str, body: dict[str, object], key: str, status: int
) -> None:
    headers = {"authorization": f"Bearer {key}"}
    for origin in (PAGE, OTHER, None):
        more = {} if origin is None else {"origin": origin}
        answer = loopback.post(server.url + path, json=body, headers={**headers, **more})
        assert answer.status_code == status
        assert "origin" in answer.headers["vary"]
        allowed = answer.headers.get_list("access-control-allow-origin")
        assert allowed == ([PAGE] if origin == PAGE else [])
        assert ("access-control-expose-headers" in answer.headers) == (origin == PAGE)
        assert "x-engine-request-id" in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("POST", "/v1/nothing", {}, 404),
        ("PUT", CHAT, {}, 405),
        ("OPTIONS", CHAT, {}, 405),
        ("GET", CHAT, {"upgrade": "websocket", "connection": "upgrade"}, 426),
        ("POST", CHAT, {"content-type": "text/csv"}, 415),
        ("POST", "/v1/embeddings", {"content-length": "41943040"}, 413),
        ("GET", "/readyz", {}, 200),
    ],
)
def test_a_page_can_read_why_it_is_refused(
    server: Server, method: str, path: str, more: dict[str, str], status: int
) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", **more}
    for origin in (PAGE, OTHER):
        raw = "".join(f"{k}: {v}\r\n" for k, v in {**headers, "origin": origin}.items())
        answer = driver(server.port, f"{method} {path} HTTP/1.1\r\nhost: x\r\n{raw}\r\n".encode())
        assert (answer.status, answer.header("vary"), answer.count("vary")) == (status, "origin", 1)
        assert answer.header("access-control-allow-origin") == (PAGE if origin == PAGE else None)
        assert answer.count("access-control-allow-origin") == (origin == PAGE)


def test_what_a_provider_says_of_origins_is_not_added(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """It allows every origin, and sends `vary` of its own."""
    with FaultServer("odd-headers").running() as upstream, ExitStack() as stack:
        folder = ship(tmp_path_factory.mktemp("odd"))
        with (folder / "routes.yaml").open("a") as routes:
            routes.write(f"\ncors: {{origins: ['{PAGE}']}}\n")
        options = ("--mock-port", str(upstream.port))
        server = stack.enter_context(gateway(folder, folder / "log", *options))
        body = {"model": "gpt-4o-mini", "messages": []}
        headers = {"authorization": f"Bearer {KEY}", "origin": PAGE}
        answer = loopback.post(server.url + CHAT, json=body, headers=headers)
    assert answer.headers["server"] == "odd"
    assert answer.headers.get_list("access-control-allow-origin") == [PAGE]


def test_the_list_of_models_too(server: Server) -> None:
    headers = {"authorization": f"Bearer {KEY}", "origin": PAGE}
    answer = loopback.get(server.url + LIST, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)


def test_without_cors_nothing_is_said(served: Server) -> None:
    answer = loopback.options(served.url + CHAT, headers={**ASKS, "origin": PAGE})
    assert answer.status_code == 401
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(("origin", "status"), [(PAGE, 200), (OTHER, 403)])
def test_a_named_page_may_call_without_keys(keyless: Server, origin: str, status: int) -> None:
    headers = {"origin": origin, "sec-fetch-site": "cross-site"}
    assert loopback.get(keyless.url + LIST, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("origin", "is_one"),
    [
        ("https://app.example.com", True),
        ("http://localhost:3000", True),
        ("http://[::1]:3000", True),
        ("chrome-extension://abcdef", True),
        ("*", True),
        ("https://app.example.com/", False),
        ("https://app.example.com/page", False),
        ("https://*.example.com", False),
        ("https://App.example.com", False),
        ("app.example.com", False),
        ("null", False),
        ("https://app.example.com:443", False),
        ("http://app.example.com:80", False),
        ("https://user@app.example.com", False),
        ("https://app.example.com\n", False),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(
    tmp_path: Path, origin: str, *, is_one: bool
) -> None:
    cors = json.dumps({"origins": [origin]})
    (tmp_path / "routes.yaml").write_text(f"version: 1\nendpoints: {{}}\ncors: {cors}\n")
    (tmp_path / "providers.yaml").write_text("version: 1\nproviders: {}\n")
    found = [d.code for d in load(tmp_path, {}, 0.0).diagnostics]
    assert sum(code in {"X250", "X251", "X252"} for code in found) == (not is_one)
