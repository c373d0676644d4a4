"""`engine ping` over real sockets: what it sends, and what it makes of each kind of response."""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.server.ping import error_message
from tests.listening import listening
from tests.servers import Server
from tests.unit.cli.outputs import view_of
from tests.unit.cli.running import engine, plain

__all__ = ["plain"]
CERT = Path(__file__).parent / "tls" / "cert.pem"
ROUTES = """
version: 1
endpoints:
  chat: {path: /v1/chat/completions}
models:
  - {prefix: "", provider: first}
"""
GOOD, SPENT, BAD = "canary-Good+/=1", "canary-Spent+/=2", "canary-Bad+/=3"
BODIES = {
    GOOD: (200, {"data": []}),
    SPENT: (429, {"error": {"message": "You have used up your credit.\x1b[31m\nPay."}}),
    BAD: (
        401,
        {"error": f"Incorrect key {BAD}, that is {BAD[3:]} without its start; or {BAD[:12]}"},
    ),
}


class Upstream:
    """A provider that knows three keys, and notes what it gets; `/hang` never responds."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            if b"/hang" in head:
                await reader.read()
            key = head.partition(b"authorization: Bearer ")[2].partition(b"\r\n")[0].decode()
            status, data = BODIES[key]
            body = json.dumps(data).encode()
            writer.write(
                b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
            )
            await writer.drain()
        writer.close()


@pytest.fixture
def upstream() -> Iterator[tuple[Upstream, int]]:
    served = Upstream()
    with listening(served) as port:
        yield served, port


def write(folder: Path, port: int, *, scheme: str = "http", **keys: Any) -> Path:
    """A folder with the provider `first`, whose key is in FIRST_API_KEY."""
    first = {
        "base_url": f"{scheme}://localhost:{port}/v1",
        "credentials": {"api_key": {"env": "FIRST_API_KEY"}},
        "headers": {"authorization": "Bearer {{ credentials.api_key }}"},
        "default_headers": {"x-version": "7"},
        "ping": {"path": "/models"},
        "endpoints": {"chat": "/chat/completions"},
        **keys,
    }
    first = {key: value for key, value in first.items() if value is not None}
    (folder / "routes.yaml").write_text(ROUTES)
    text = json.dumps({"version": 1, "providers": {"first": first}}, indent=1)
    (folder / "providers.yaml").write_text(text)
    return folder


def accounts(*names: str) -> list[dict[str, Any]]:
    return [{"credentials": {"api_key": {"env": f"{name}_API_KEY"}}} for name in names]


def pings(folder: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and what each line says; no secret may be in it."""
    result = engine("ping", "-C", folder, "--format", "json", "--timeout", "5", *words)
    text = engine("ping", "-C", folder, "--timeout", "5", *words)
    assert text.exit_code == result.exit_code, text.output
    for output in (result.output, text.output):
        assert not [
            key for key in BODIES if key in output or key[3:] in output or key[:12] in output
        ]
    return result.exit_code, view_of("ping", result)["pings"]


def test_each_credential_set_is_tried_once_with_the_headers_of_the_provider(
    upstream: tuple[Upstream, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, port = upstream
    write(tmp_path, port, accounts=accounts("SPENT", "BAD", "UNSET"))
    for name, key in (("FIRST", GOOD), ("SPENT", SPENT), ("BAD", BAD)):
        monkeypatch.setenv(f"{name}_API_KEY", key)
    code, found = pings(tmp_path)
    assert code == 1
    assert [(p["credential"], p["outcome"], p["status"]) for p in found] == [
        ("FIRST_API_KEY", "ok", 200),
        ("SPENT_API_KEY", "refused", 429),
        ("BAD_API_KEY", "refused", 401),
        ("UNSET_API_KEY", "missing", None),
    ]
    assert len({p["where"] for p in found}) == 4
    assert [p["cost"] for p in found] == ["free", "free", "free", None]
    assert found[1]["message"] == "You have used up your credit. [31m Pay."
    assert found[2]["message"] == "Incorrect key ***, that is *** without its start; or ***"
    assert found[3]["message"] == "not set: UNSET_API_KEY"
    assert len(served.requests) == 6  # two runs
    assert all(head.startswith(b"GET /v1/models HTTP/1.1\r\n") for head in served.requests)
    assert all(b"x-version: 7\r\n" in head for head in served.requests)


@pytest.mark.parametrize("client", ["http1", "httpx"])
def test_what_cannot_be_reached_says_why(
    client: str, upstream: tuple[Upstream, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_API_KEY", GOOD)
    served, port = upstream
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERT, CERT.with_name("key.pem"))
    with listening(served, tls=context) as secure:
        unknown = pings(write(tmp_path, secure, scheme="https", client=client))
    tls = {"ca": str(CERT)}
    with listening(served, tls=context) as secure:
        known = pings(write(tmp_path, secure, scheme="https", client=client, tls=tls))
    hanging = pings(
        write(tmp_path, port, ping={"path": "/hang"}, client=client), "--timeout", "0.2"
    )
    gone = pings(write(tmp_path, secure, client=client))
    outcomes = [(code, p[0]["outcome"]) for code, p in (unknown, known, hanging, gone)]
    assert outcomes == [(1, "unreachable"), (0, "ok"), *[(1, "unreachable")] * 2]
    assert hanging[1][0]["ms"] < 9000
    messages = [p[0]["message"] for _, p in (unknown, hanging, gone)]
    assert [m.partition(":")[0] for m in messages] == [
        *("TLS failed", "no response within 0.2 s", "no connection"),
    ]


def test_a_secret_of_any_characters_is_masked() -> None:
    assert (
        error_message(b'{"error": {"message": "no: a:$b!c"}}', frozenset({"a:$b!c"})) == "no: ***"
    )


def test_many_are_tried_at_once(
    upstream: tuple[Upstream, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"N{number}" for number in range(12)]
    write(tmp_path, upstream[1], ping={"path": "/hang"}, accounts=accounts(*names))
    for name in ("FIRST", *names):
        monkeypatch.setenv(f"{name}_API_KEY", GOOD)
    start = time.monotonic()
    result = engine("ping", "-C", tmp_path, "--timeout", "0.5")
    assert result.output.count("unreachable") == 14
    assert time.monotonic() - start < 5  # one after the other it would be 6.5


def test_nothing_is_called_that_was_not_declared_or_is_only_planned(
    upstream: tuple[Upstream, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, port = upstream
    assert pings(write(tmp_path, port)) == (1, [])  # nothing is set
    code, found = pings(tmp_path, "first")
    assert (code, found[0]["outcome"]) == (1, "missing")
    monkeypatch.setenv("FIRST_API_KEY", GOOD)
    code, found = pings(tmp_path, "--dry-run")
    assert (code, found[0]["outcome"], found[0]["cost"]) == (0, "planned", "free")
    assert found[0]["url"] == f"http://localhost:{port}/v1/models"
    code, found = pings(write(tmp_path, port, ping=None))
    assert (code, found[0]["outcome"]) == (1, "not_declared")
    assert found[0]["message"] == "no ping is declared in providers.yaml"
    assert served.requests == []


def test_a_model_is_asked_for_one_token(
    mock: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"model": "small", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
    write(tmp_path, mock.port, ping={"endpoint": "chat", "cost": "one_token", "body": body})
    monkeypatch.setenv("FIRST_API_KEY", GOOD)
    code, found = pings(tmp_path, "first")
    assert (code, found[0]["outcome"], found[0]["cost"]) == (0, "ok", "one_token")
    assert found[0]["method"] == "POST"
    body["model"] = "mock-status-429"
    write(tmp_path, mock.port, ping={"endpoint": "chat", "cost": "one_token", "body": body})
    code, found = pings(tmp_path, "first")
    assert (code, found[0]["outcome"], found[0]["status"]) == (1, "refused", 429)


@pytest.mark.parametrize(
    ("ping", "complaint"),
    [
        ({"path": "/models", "cost": "one_token"}, "cost"),
        ({"path": "https://elsewhere.example/models"}, "a path below base_url"),
        ({"path": "/models", "endpoint": "chat"}, "either path"),
        ({"endpoint": "chat", "cost": "one_token"}, "body"),
        ({"endpoint": "chat", "cost": "one_token", "body": {"model": "m"}}, "max_tokens"),
        ({"endpoint": "chat", "cost": "one_token", "body": {"model": "m", "max_tokens": 9}}, "1"),
        ({"endpoint": "chta", "cost": "free", "body": {"model": "m"}}, "chta"),
        ({"path": "/models/{{ model | segment }}"}, "model"),
        ({}, "path"),
    ],
)
def test_a_ping_that_costs_more_than_it_says_is_refused(
    ping: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    result = engine("check", write(tmp_path, 1, ping=ping))
    assert result.exit_code == 1
    assert complaint in result.output
