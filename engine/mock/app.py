"""The ASGI application that stands in for every upstream: reads, responds, injects faults, records.

    app = create_app()                      responds, with faults chosen by the model's name
    app = create_app(fault="status-429")    the same fault for every request

It watches for a disconnect of the client while it waits, stalls or streams, and records its time.
``/__mock/...`` returns what has been received. It opens no connection, and keeps nothing on disk.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TypeAlias

from engine.mock.recording import (
    Receive,
    RecordedExchange,
    RecordedExchanges,
    Scope,
    Send,
    read_body,
)
from engine.mock.responses import MockResponse, load_responses

App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Watcher: TypeAlias = "asyncio.Task[None]"

_INSPECT = "/__mock/"


def create_app(
    fault: str | None = None,
    *,
    require_auth: bool = False,
    gap_ms: int = 5,
    record: bool = True,
) -> App:
    """Build a mock; ``gap_ms`` is the pause between two events or chunks of a stream.

    Without ``record`` nothing that came in is kept after the response.
    """
    book = load_responses(fault, auth=require_auth)
    ledger = RecordedExchanges(1000 if record else 0)

    async def exchange(scope: Scope, receive: Receive, send: Send) -> None:
        with ledger.record(scope) as entry:
            fields = await read_body(receive, entry)
            if entry.disconnected_at is None:
                sender = _Sender(book.response(entry, fields), entry, send, gap_ms / 1000)
                await sender.run(receive)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["path"].startswith(_INSPECT):
            await _inspect(ledger, scope, send)
        else:
            await exchange(scope, receive, send)

    return app


async def _live(receive: Receive, send: Send) -> None:
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


async def _inspect(ledger: RecordedExchanges, scope: Scope, send: Send) -> None:
    status, value = _inspected(ledger, scope["method"], scope["path"].removeprefix(_INSPECT))
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


def _inspected(ledger: RecordedExchanges, method: str, path: str) -> tuple[int, object]:
    match method, path.split("/"):
        case "GET", ["status"]:
            return 200, {"open": ledger.open}
        case "GET", ["requests"]:
            return 200, {"requests": [asdict(record) for record in ledger.records]}
        case "DELETE", ["requests"]:
            ledger.records.clear()
            return 200, {"requests": []}
        case "GET", ["requests", number] if record := ledger.find(number):
            return 200, asdict(record)
    return 404, {"error": {"message": "nothing is recorded there"}}


class _Sender:
    """Sends one response at its pace, and stops where it ends or where the client leaves."""

    def __init__(
        self, response: MockResponse, record: RecordedExchange, send: Send, gap: float
    ) -> None:
        self._respond, self._record, self._send = response, record, send
        self._gap = gap if response.gap is None else response.gap

    async def run(self, receive: Receive) -> None:
        watcher = asyncio.create_task(self._watch(receive))
        try:
            hangs = self._respond.ending == "hang"
            if not await _gone(watcher, None if hangs else self._respond.wait):
                await self._run(watcher)
        finally:
            watcher.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._record.client_left()

    async def _run(self, watcher: Watcher) -> None:
        await self._start()
        chunks = iter(self._respond.chunks)
        held = next(chunks, b"")
        for chunk in chunks:
            await self._chunk(held)
            held = chunk
            if await _gone(watcher, self._gap):
                return
        self._record.finished = self._respond.ending == "whole"
        await self._chunk(held, more=not self._record.finished)
        if self._respond.ending == "stall":
            await watcher

    async def _start(self) -> None:
        response = self._respond
        self._record.status = response.status
        headers = response.headers | {"content-type": response.type}
        if response.length is not None:
            headers["content-length"] = str(response.length)
        coded = [(name.encode(), text.encode("latin-1")) for name, text in headers.items()]
        await self._send(
            {"type": "http.response.start", "status": response.status, "headers": coded}
        )

    async def _chunk(self, body: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


async def _gone(watcher: Watcher, seconds: float | None) -> bool:
    """Wait, for ever if None, but no longer than the client stays; say whether it left."""
    if seconds == 0:
        await asyncio.sleep(0)
    else:
        await asyncio.wait({watcher}, timeout=seconds)
    return watcher.done()
