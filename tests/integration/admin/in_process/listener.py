"""The admin listener in process, with a database of its own, and a browser that calls it."""

import asyncio
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp, Message

ORIGIN = "http://127.0.0.1:8081"
HOST = "127.0.0.1:8081"
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.text)
        assert found, self.text[:500]
        return found[1]


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One for all requests of a process, since one for each costs more than many of them."""
    return asyncio.new_event_loop()


def send(
    app: ASGIApp,
    method: str,
    target: str,
    headers: Headers = (),
    chunks: Iterable[bytes] = (),
    client: str = "127.0.0.1",
) -> Reply:
    """Send one request; exactly these headers, and `chunks` as the body."""
    return _loop().run_until_complete(exchange(app, method, target, headers, chunks, client))


async def exchange(
    app: ASGIApp,
    method: str,
    target: str,
    headers: Headers = (),
    chunks: Iterable[bytes] = (),
    client: str = "127.0.0.1",
) -> Reply:
    """`send` for callers that have an event loop."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": re.sub(rb"%([0-9a-fA-F]{2})", lambda m: bytes.fromhex(m[1].decode()), path.encode("latin-1")).decode("utf-8", "replace"),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers],
        "client": (client, 50000),
        "server": ("127.0.0.1", 8081),
    }  # fmt: skip
    sent: list[Message] = []
    rest = list(chunks) or [b""]

    async def receive() -> Message:
        if not rest:
            return {"type": "http.disconnect"}
        chunk = rest.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(rest)}

    async def keep(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, keep)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1, sent
    body = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
    names = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in starts[0]["headers"]]
    return Reply(starts[0]["status"], names, body)


@dataclass
class Browser:
    """Sends what a browser sends from a page of the dashboard, and keeps its cookies."""

    app: ASGIApp
    origin: str = ORIGIN
    cookies: dict[str, str] = field(default_factory=dict)
    client: str = "127.0.0.1"

    def get(self, target: str, headers: Headers = ()) -> Reply:
        sent = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate")]
        return self._send("GET", target, [*sent, *headers])

    def redirected(self, target: str, headers: Headers) -> Reply:
        """Follow a redirect from another site, which `headers` describe."""
        return self._send("GET", target, headers)

    def post(
        self, target: str, fields: dict[str, str] | None = None, headers: Headers = ()
    ) -> Reply:
        body = urlencode(fields or {}).encode()
        sent = [
            ("sec-fetch-site", "same-origin"),
            ("origin", self.origin),
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-length", str(len(body))),
        ]
        return self._send("POST", target, [*sent, *headers], body)

    def _send(self, method: str, target: str, headers: Headers, body: bytes = b"") -> Reply:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = [("host", self.origin.partition("://")[2]), *headers]
        sent += [("cookie", cookie)] if cookie else []
        reply = send(self.app, method, target, sent, [body] if body else [], self.client)
        for line in reply.all("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        self.cookies = {name: value for name, value in self.cookies.items() if value}
        return reply


def call(app: ASGIApp, method: str, target: str, key: str | None, body: object = None) -> Reply:
    """A call of the account API."""
    headers = [("host", HOST)]
    headers += [("authorization", f"Bearer {key}")] if key is not None else []
    if body is None:
        return send(app, method, target, headers)
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers += [("content-type", "application/json"), ("content-length", str(len(text)))]
    return send(app, method, target, headers, [text])
