"""A Gateway in this process with the rules of a test, and an upstream that behaves by the path it is called at."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Any

from engine.config.load import Loaded, load
from engine.config.new_key import digest
from engine.gateway.access_log import AccessLog
from engine.gateway.app import Gateway
from engine.plan.plan import Plan
from engine.upstream.http1.pool import Http1Client
from tests.servers import WAIT

JSON = b"application/json"
_LENGTH = re.compile(rb"content-length: (\d+)\r\n")


@dataclass
class Response:
    """What a caller gets: `provider` sent it, unless it is an error of the gateway with `code`."""

    status: int
    headers: dict[bytes, bytes]
    text: str

    @property
    def code(self) -> str | None:
        code = self.headers.get(b"x-engine-error")
        return code.decode() if code else None


@dataclass
class Upstream:
    """Providers by the first segment of the path; `sent` are the requests that came, in order.

    `200` and other numbers are statuses; `closed` closes without a response, `silent` sends none,
    and `cut` breaks off after the head of one.
    """

    sent: list[tuple[str, bytes]] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head.lower())
            body = await reader.readexactly(int(length[1])) if length else b""
            _, name, behaviour = head.split(b" ")[1].decode().split("/")[:3]
            self.sent.append((name, body))
            if behaviour == "closed":
                return
            if behaviour != "silent":
                status = int(behaviour) if behaviour.isdigit() else 200
                length_said = len(name) + (10 if behaviour == "cut" else 0)
                writer.write(b"HTTP/1.1 %d OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (status, length_said, name.encode()))  # fmt: skip
                await writer.drain()
            if behaviour != "cut":
                await reader.read()


@dataclass
class Stand:
    """A running gateway, its configuration, and its upstream."""

    loaded: Loaded
    plan: Plan
    gateway: Gateway
    upstream: Upstream
    runner: asyncio.Runner
    log: Path
    last: Response = field(default_factory=lambda: Response(0, {}, ""))

    def ask(
        self,
        body: Mapping[str, Any] | bytes,
        *,
        path: bytes = b"/talk",
        content_type: bytes = JSON,
        key: str = "joe",
        headers: Mapping[bytes, bytes] | None = None,
    ) -> Response:
        """The response to one request; JSON, unless `body` is bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = [
            (b"host", b"gateway"),
            (b"content-type", content_type),
            (b"authorization", f"Bearer sk-{key}".encode()),
            (b"content-length", b"%d" % len(raw)),
            *(headers or {}).items(),
        ]
        scope = {"method": "POST", "raw_path": path, "query_string": b"", "http_version": "1.1", "headers": fields}  # fmt: skip
        self.upstream.sent.clear()
        self.last = self.runner.run(self._ask(scope, raw))
        return self.last

    async def _ask(self, scope: Any, raw: bytes) -> Response:
        waiting = [{"type": "http.request", "body": raw, "more_body": False}]
        messages: list[Any] = []

        async def receive() -> Any:
            if not waiting:
                await asyncio.Event().wait()
            return waiting.pop()

        async def send(message: Any) -> None:
            messages.append(message)

        await self.gateway(scope, receive, send)
        text = b"".join(message.get("body", b"") for message in messages).decode()
        return Response(messages[0]["status"], dict(messages[0]["headers"]), text)

    @property
    def providers(self) -> list[str]:
        """The providers that got the last request, in order."""
        return [name for name, _ in self.upstream.sent]

    def body(self) -> Any:
        """The JSON that the first provider got of the last request."""
        return json.loads(self.upstream.sent[0][1])

    def record(self) -> dict[str, Any]:
        """The access record of the last request, which is written a moment later."""
        wanted = self.last.headers[b"x-engine-request-id"].decode()
        end = monotonic() + WAIT
        while monotonic() < end:
            self.runner.run(asyncio.sleep(0.01))
            records = map(json.loads, self.log.read_text().rpartition("\n")[0].splitlines())
            for record in records:
                if record["request_id"] == wanted:
                    return dict(record)
        raise AssertionError("the request has no access record")


@contextmanager
def standing(
    folder: Path, rules: str, providers: Mapping[str, str], endpoints: str = "talk: {path: /talk}"
) -> Iterator[Stand]:
    """A stand with `rules` (YAML); of each provider the behaviour, and what else its entry has after a comma."""
    with asyncio.Runner() as runner:
        upstream = Upstream()
        server = runner.run(asyncio.start_server(upstream, "127.0.0.1", 0))
        port = server.sockets[0].getsockname()[1]
        routes = f"version: 1\nendpoints:\n  {endpoints}\nmodels:\n{rules}"
        (folder / "routes.yaml").write_text(routes)
        entries = [_entry(name, text, port) for name, text in providers.items()]
        (folder / "providers.yaml").write_text("version: 1\nproviders:\n" + "\n".join(entries))
        keys = [f"  - {{name: {name}, sha256: {digest(f'sk-{name}')}}}" for name in ("joe", "ann")]
        (folder / "keys.yaml").write_text("version: 1\nkeys:\n" + "\n".join(keys))
        loaded = load(folder, {"SET": "operators"}, time())
        assert loaded.plan is not None, loaded.diagnostics
        with (folder / "log").open("w") as stream:
            log = AccessLog(stream)
            gateway = Gateway(loaded.plan, {"http1": Http1Client()}, log, lambda: False)
            yield Stand(loaded, loaded.plan, gateway, upstream, runner, folder / "log")
            runner.run(gateway.close())
            log.close()
            server.close()


def _entry(name: str, text: str, port: int) -> str:
    behaviour, _, more = text.partition(",")
    endpoints = "" if "endpoints:" in more else ", endpoints: {talk: /talk}"
    more = f", {more.strip()}" if more.strip() else ""
    return f'  {name}: {{base_url: "http://127.0.0.1:{port}/{name}/{behaviour}"{endpoints}{more}}}'
