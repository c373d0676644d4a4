"""What the gateway answers itself, over raw sockets: refusals that stay, handshakes, the bare address."""

import json
from typing import Any

import pytest

from tests import loopback
from tests.integration.gateway.wire import CHAT, JSON, Answer, driver, received_by, request
from tests.servers import KEY, Server

MESSAGES = "/v1/messages"
BODY = b'{"model": "gpt-refused"}'
HANDSHAKE = (
    "connection: Upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
)


def get(target: str, *lines: str, key: str | None = KEY, method: str = "GET") -> bytes:
    return request(b"", *lines, method=method, target=target, kind=None, key=key, length=None)


def code(answer: Answer) -> str | None:
    return answer.header("x-engine-error")


STAYS = {
    "bad json": (request(b"{"), 400),
    "no key": (request(BODY, key=None), 401),
    "wrong key": (request(BODY, key="sk-orq-wrong"), 401),
    "unknown path": (request(BODY, target="/v1/no/such/path"), 404),
    "not exposed": (request(BODY, target="/v1/files"), 404),
    "unknown model": (request(b'{"model": "nobodys"}'), 404),
    "not served": (request(b'{"model": "claude-x"}', target="/v1/embeddings"), 404),
    "method": (get(CHAT), 405),
    "too large": (request(b"", target="/v1/audio/speech", length=2**40), 413),
    "media type": (request(BODY, kind="text/plain"), 415),
    "coding": (request(BODY, "content-encoding: gzip"), 415),
    "handshake": (get("/v1/responses", *HANDSHAKE), 426),
}


@pytest.mark.parametrize(("sent", "status"), STAYS.values(), ids=STAYS.keys())
def test_what_another_try_cannot_change_says_so(served: Server, sent: bytes, status: int) -> None:
    answer = driver(served.port, sent)
    assert (answer.status, answer.header("x-should-retry")) == (status, "false")
    assert answer.count("www-authenticate") == (status == 401)
    assert answer.header("accept-encoding") == ("identity" if b"gzip" in sent else None)


def test_a_415_says_which_header_to_send(served: Server) -> None:
    answer = driver(served.port, request(BODY, kind="text/plain"))
    assert json.loads(answer.body)["error"]["message"].endswith(
        "takes JSON in UTF-8: send the header `content-type: application/json` once"
    )


def test_a_401_names_the_scheme(served: Server) -> None:
    assert driver(served.port, request(BODY, key=None)).header("www-authenticate") == "Bearer"


# -- handshakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/responses", CHAT, MESSAGES])
def test_a_handshake_at_a_known_path_is_told_to_post(served: Server, path: str) -> None:
    answer = driver(served.port, get(path, *HANDSHAKE))
    assert (answer.status, code(answer)) == (426, "upgrade_not_offered")
    assert (answer.header("upgrade"), answer.header("connection")) == ("HTTP/1.1", "upgrade")
    assert (
        "this gateway does not support WebSockets; send a POST request"
        in json.loads(answer.body)["error"]["message"]
    )


OTHERS = {
    "wrong key": (get(CHAT, *HANDSHAKE, key="sk-orq-wrong"), 401),
    "no key": (get(CHAT, *HANDSHAKE, key=None), 401),
    "unknown path": (get("/v1/no/such", *HANDSHAKE), 404),
    "not exposed": (get("/v1/realtime", *HANDSHAKE), 404),
    "another protocol": (get(CHAT, "connection: upgrade", "upgrade: h2c"), 405),
    "an older version": (get(CHAT, *HANDSHAKE).replace(b"HTTP/1.1", b"HTTP/1.0"), 405),
    "a list": (get(CHAT, "connection: upgrade", "upgrade: h2c, WebSocket/13"), 426),
    "a call that offers one": (request(BODY, *HANDSHAKE), 200),
    "a call that offers h2c": (request(BODY, "connection: upgrade", "upgrade: h2c"), 200),
}


@pytest.mark.parametrize(("sent", "status"), OTHERS.values(), ids=OTHERS.keys())
def test_nothing_else_is_taken_for_one(served: Server, sent: bytes, status: int) -> None:
    assert driver(served.port, sent).status == status


# -- versions, and the bare address --------------------------------------------------------------


def older(target: str = CHAT, host: str | None = None) -> bytes:
    return request(BODY, target=target, host=host).replace(b"HTTP/1.1", b"HTTP/1.0", 1)


def test_the_older_version_needs_no_host_and_helps_no_newer_request_without_one(
    served: Server,
) -> None:
    for _ in range(2):
        assert driver(served.port, older()).status == 200
        assert driver(served.port, request(BODY, host=None)).status == 400
    assert driver(served.port, older(host="a b")).status == 400
    assert driver(served.port, get("/v1/models").replace(b"HTTP/1.1", b"HTTP/1.0", 1)).status == 200


def recorded(server: Server, target: str) -> int:
    """How many records there are once that of a request without a key is among them."""
    refused = driver(server.port, request(BODY, target=target, key=None))
    assert refused.status == 401
    server.record(refused.header("x-engine-request-id") or "")
    return len(server.records)


def test_the_bare_address_needs_no_key_and_tells_nothing(served: Server) -> None:
    before = recorded(served, "/")
    for method in ("GET", "HEAD"):
        connection = loopback.connection(served.port)
        connection.request(method, "/")
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert (answer.status, answer.getheader("content-type")) == (200, "application/json")
        assert method == "HEAD" or set(json.loads(body)) == {"name", "status", "hint"}
    assert recorded(served, "/") == before + 1


# -- envelopes -----------------------------------------------------------------------------------


def envelope(answer: Answer) -> Any:
    body = json.loads(answer.body)
    return "anthropic" if body.get("type") == "error" else "openai" if body["error"] else None


ENVELOPES = {
    "below messages": (request(BODY, target="/v1/messages/batches"), "anthropic"),
    "far below": (get("/v1/messages/batches/b/results"), "anthropic"),
    "unknown below": (request(BODY, target="/v1/messages/none"), "anthropic"),
    "a slash more": (request(BODY, target="/v1/messages/"), "anthropic"),
    "another method": (get(MESSAGES), "anthropic"),
    "a handshake": (get(MESSAGES, *HANDSHAKE), "anthropic"),
    "wrong key below": (request(BODY, target="/v1/messages/x", key="wrong"), "anthropic"),
    "by header": (get("/v1/files", "anthropic-version: 2023-06-01"), "anthropic"),
    "beside messages": (request(BODY, target="/v1/messagesx"), "openai"),
    "files": (get("/v1/files"), "openai"),
    "the header elsewhere": (request(b"{", "anthropic-version: 2023-06-01"), "openai"),
}


@pytest.mark.parametrize(("sent", "dialect"), ENVELOPES.values(), ids=ENVELOPES.keys())
def test_a_refusal_speaks_as_its_callers_do(served: Server, sent: bytes, dialect: str) -> None:
    answer = driver(served.port, sent)
    assert answer.status >= 400
    assert envelope(answer) == dialect


def test_a_key_without_its_scheme_is_told_so(served: Server, mock: Server) -> None:
    before = len(received_by(mock))
    bodies = []
    for key in (KEY, "sk-orq-" + "0" * 64):
        sent = request(BODY, f"authorization: {key}", key=None, kind=JSON)
        answer = driver(served.port, sent)
        assert (answer.status, code(answer)) == (401, "invalid_api_key")
        bodies.append(answer.body)
    assert bodies[0] == bodies[1]
    assert b"without a scheme" in bodies[0]
    assert len(received_by(mock)) == before


# -- the list of models --------------------------------------------------------------------------


def test_the_list_answers_head_as_get_without_a_body(served: Server) -> None:
    connection = loopback.connection(served.port)
    for target, status in (("/v1/models", 200), ("/v1/models/gpt-x", 200), ("/v1/models/no", 404)):
        lengths = []
        for method in ("GET", "HEAD"):
            connection.request(method, target, headers={"x-api-key": KEY})
            answer = connection.getresponse()
            assert bool(answer.read()) == (method == "GET")
            assert answer.status == status
            lengths.append(answer.getheader("content-length"))
        assert lengths[0] == lengths[1]
    connection.close()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("groq%2Fopenai%2fgpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("gpt-4o-2099-01-01", "gpt-4o-2099-01-01"),
        ("@cf/meta/llama", "@cf/meta/llama"),
        ("nobodys", None),
        ("openai/", None),
        ("gpt-%00", None),
        ("gpt-%2500", "gpt-%00"),
        ("gpt-" + "x" * 300, None),
        ("gpt-%E2%82%AC", None),
    ],
)
def test_one_model_is_found_by_whatever_routes_it(
    served: Server, name: str, found: str | None
) -> None:
    answer = driver(served.port, get(f"/v1/models/{name}"))
    assert answer.status == (200 if found else 404)
    assert json.loads(answer.body).get("id") == found
    assert found or code(answer) == "model_not_found"
