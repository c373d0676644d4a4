"""The gateway that callers leave, its upstream and its store; see `leaving`."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.config.new_key import digest
from engine.limits.resp import command, connect, encode
from engine.plan.limit_store import StoreServer
from engine.plan.prices import NANO
from tests.servers import KEY, Server, gateway

MEMORY = "memory"
CONCURRENT = 100
SLOW, PAUSE = 0.2, 0.02  # seconds; a request of 0.05 or less ends as if its caller had stayed
OUTPUT = 40  # tokens that each request allows
USAGE = {"prompt_tokens": 20, "completion_tokens": 30}
EVENTS = 6
ROUTES = """version: 1
endpoints:
  talk:
    path: /v1/talk
    last_events: ["[DONE]"]
    usage:
      at: [/usage]
      events_at: [/usage]
      input_tokens: [prompt_tokens]
      output_tokens: [completion_tokens]
      estimate: true
      output_text: [content]
      output_limit: {at: [/max_tokens], default: 1000}
models:
  - {prefix: m-, provider: one}
"""
PROVIDERS = """version: 1
providers:
  one: {base_url: "http://127.0.0.1:PORT", credentials: {}, endpoints: {talk: /talk}}
"""
PRICES = """version: 1
source: a list
date: 2026-11-20
providers:
  one: {m-json: PRICE, m-slow: PRICE, m-flow: PRICE, m-hang: PRICE}
""".replace("PRICE", "{input_usd_per_million: 1, output_usd_per_million: 1}")
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


@dataclass
class Upstream:
    """Responds whole, late, by events or not at all, as the model of a request says."""

    port: int = 0
    hanging: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """The requests of one connection."""
        with suppress(OSError, EOFError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await self._respond(await reader.readexactly(length), writer)
        writer.close()

    async def _respond(self, body: bytes, writer: Writer) -> None:
        whole = json.dumps({"content": "some words", "usage": USAGE}).encode()
        if b"m-flow" in body:
            return await _events(writer)
        if b"m-slow" in body:
            await asyncio.sleep(SLOW)
        if b"m-hang" in body:
            self.hanging += 1
            await self.released.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(whole), whole))  # fmt: skip
        await writer.drain()
        return None


async def _events(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")  # fmt: skip
    events: list[dict[str, Any]] = [{"content": f"word {n} "} for n in range(EVENTS)]
    for event in [*events, {"usage": USAGE}]:
        data = b"data: %b\n\n" % json.dumps(event).encode()
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()
        await asyncio.sleep(PAUSE)
    writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    await writer.drain()


def request(model: str, more: bytes = b"") -> tuple[bytes, bytes]:
    """Head and body."""
    asked = {"model": model, "max_tokens": OUTPUT, "stream": model == "m-flow", "content": "x" * 40}
    body = json.dumps(asked).encode()
    head = b"POST /v1/talk HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
    head += b"authorization: Bearer %b\r\n%b" % (KEY.encode(), more)
    return head + b"content-length: %d\r\n\r\n" % len(body), body


@contextmanager
def site(
    folder: Path, where: str, port: int
) -> Iterator[tuple[Server, Callable[[int, int], None]]]:
    def keys(tokens: int, nano_usd: int) -> None:
        budgets = f"{{tokens: {tokens}, per: month}}, {{usd: {nano_usd / NANO:.9f}, per: month}}"
        limits = f"{{concurrent: {CONCURRENT}, budgets: [{budgets}]}}"
        (folder / "keys.yaml").write_text(f"version: 1\nkeys:\n  - {{name: left, sha256: {digest(KEY)}, limits: {limits}}}\n")  # fmt: skip

    keys(NANO, 10**15)
    (folder / "routes.yaml").write_text(ROUTES)
    (folder / "providers.yaml").write_text(PROVIDERS.replace("PORT", str(port)))
    (folder / "prices.yaml").write_text(PRICES)
    if where != MEMORY:
        store = "version: 1\nlimits: {store: {env: LIMITS_URL}, store_timeout: 1s, on_store_error: refuse}\n"
        (folder / "server.yaml").write_text(store)
    with gateway(folder, folder / "log", environ={"LIMITS_URL": where}) as server:
        yield server, keys


@asynccontextmanager
async def slow_store(where: str) -> AsyncIterator[None]:
    """The store is emptied, and replies late at times, so that callers leave while they are admitted."""
    if where == MEMORY:
        yield
        return
    control = await connect(StoreServer.of(where), lambda: None)

    async def pause() -> None:
        while True:
            await control.send(command(4, encode([b"CLIENT", b"PAUSE", b"5", b"ALL"])))
            await asyncio.sleep(0.02)

    await control.send(command(1, encode([b"FLUSHDB"])))
    pausing = asyncio.ensure_future(pause())
    yield
    pausing.cancel()
    control.abort()
