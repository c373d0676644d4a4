"""How an answer is framed for the caller: by the provider's framing of it, never by timing."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import loopback
from tests.listening import listening
from tests.servers import KEY, Server, gateway, write_keys

ROUTES = """
version: 1
endpoints:
  talk: {path: /talk}
models:
  - {prefix: http1-, provider: http1}
  - {prefix: httpx-, provider: httpx}
"""
PROVIDERS = """
version: 1
providers:
  http1: {base_url: "http://127.0.0.1:PORT", client: http1, endpoints: {talk: /talk}}
  httpx: {base_url: "http://127.0.0.1:PORT", client: httpx, endpoints: {talk: /talk}}
"""
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
# By name: the head, the rest of the answer, and the framing that the caller sees.
ANSWERS = {
    "declared": (JSON + b"content-length: 2\r\n\r\n", b"{}", ("2", None)),
    "declared-empty": (JSON + b"content-length: 0\r\n\r\n", b"", ("0", None)),
    "chunked": (JSON + CHUNKED, b"2\r\n{}\r\n0\r\n\r\n", (None, "chunked")),
    "chunked-empty": (JSON + CHUNKED, b"0\r\n\r\n", (None, "chunked")),
    "until-close": (JSON + b"connection: close\r\n\r\n", b"{}", (None, "chunked")),
    "events": (EVENTS + CHUNKED, b"9\r\ndata: 1\n\n\r\n0\r\n\r\n", (None, "chunked")),
    "events-declared": (EVENTS + b"content-length: 9\r\n\r\n", b"data: 1\n\n", (None, "chunked")),
    "events-empty": (EVENTS + CHUNKED, b"0\r\n\r\n", (None, "chunked")),
    "no-content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", (None, None)),
    "no-events": (EVENTS.replace(b"200", b"204") + b"\r\n", b"", (None, None)),
    "not-modified": (b"HTTP/1.1 304 Not Modified\r\n\r\n", b"", (None, None)),
}
PAUSES = {"at-once": None, "soon": 0.0, "later": 0.03}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the head and the rest of `name` in one piece, or with a pause between them."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while body := await reader.readuntil(b"}"):
            _, name, pause = body.rpartition(b'"model":"')[2].rstrip(b'"}').decode().split("/")
            head, rest, _ = ANSWERS[name]
            seconds = PAUSES[pause]
            if seconds is None:
                writer.write(head + rest)
            else:
                writer.write(head)
                await writer.drain()
                await asyncio.sleep(seconds)
                writer.write(rest)
            if name == "until-close":
                break
    writer.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("framing")
    with listening(serve) as port:
        (folder / "routes.yaml").write_text(ROUTES)
        (folder / "providers.yaml").write_text(PROVIDERS.replace("PORT", str(port)))
        write_keys(folder)
        with gateway(folder, folder / "log") as running:
            yield running


@pytest.mark.parametrize("client", ["http1", "httpx"])
@pytest.mark.parametrize("name", ANSWERS)
def test_framing_follows_the_answer_and_not_its_timing(
    server: Server, client: str, name: str
) -> None:
    seen = set()
    with loopback.Client(base_url=server.url, headers={"x-api-key": KEY}) as http:
        for pause in [*PAUSES] * 2:
            response = http.post("/talk", json={"model": f"{client}-/{name}/{pause}"})
            headers, body = response.headers, response.content
            seen.add((headers.get("content-length"), headers.get("transfer-encoding")))
    length, coding = ANSWERS[name][2]
    if loopback.IS_HTTP2:  # the server declares the length of a body that it has whole
        assert seen <= {(length, None), (length or f"{len(body)}", None)}
    else:
        assert seen == {(length, coding)}


@pytest.mark.http1("another version of HTTP")
def test_a_caller_of_http_1_0_gets_no_chunks(server: Server) -> None:
    body = b'{"model":"http1-/chunked/at-once"}'
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        caller.sendall(
            b"POST /talk HTTP/1.0\r\nhost: gateway\r\ncontent-type: application/json\r\n"
            b"x-api-key: %b\r\ncontent-length: %d\r\n\r\n%b" % (KEY.encode(), len(body), body)
        )
        answer = b"".join(iter(lambda: caller.recv(65536), b""))
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"\r\n\r\n{}")
