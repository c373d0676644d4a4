"""An upstream that misbehaves on demand: raw bytes over raw sockets, one script a fault.

    engine mock --fault two-lengths         every response has two lengths

Without a fault of its own, a server injects the one named by the request's model: `h-two-lengths`,
`h-two-lengths@7` to distinguish requests, and `h-first-busy` for a fault that happens once.
"""

import asyncio
import contextlib
import json
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Fault = Callable[[Reader, Writer], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def raw(*chunks: bytes, pause: float = 0.0) -> Fault:
    """Send `chunks` with pauses between them and close."""

    async def fault(_reader: Reader, writer: Writer) -> None:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause)

    return fault


def sequence(first: Fault, second: Fault) -> Fault:
    async def fault(reader: Reader, writer: Writer) -> None:
        await first(reader, writer)
        await second(reader, writer)

    return fault


async def hang(reader: Reader, _writer: Writer) -> None:
    """Say nothing until the gateway gives up."""
    await reader.read()


async def reset(_reader: Reader, writer: Writer) -> None:
    """Close with a TCP reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def drip(reader: Reader, writer: Writer) -> None:
    """An event every 0.3 s, for ever: the idle timeout never fires."""
    writer.write(SSE)
    await drip_on(reader, writer)


async def drip_on(_reader: Reader, writer: Writer) -> None:
    while not writer.is_closing():
        writer.write(chunk(b"data: x\n\n"))
        await writer.drain()
        await asyncio.sleep(0.3)


async def endless_headers(_reader: Reader, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"x-more: " + b"y" * 1000 + b"\r\n")
        await writer.drain()


async def endless_early(_reader: Reader, writer: Writer) -> None:
    """An interim response every 50 ms, for ever: the final one never comes."""
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


def status(code: int, *lines: str) -> bytes:
    """A short response in one write."""
    head = [
        f"HTTP/1.1 {code} Status",
        "content-type: application/json",
        "content-length: 2",
        *lines,
    ]
    return "\r\n".join([*head, "", "{}"]).encode()


EVENTS = chunk(b'data: {"n": 1}\n\n') + chunk(b'data: {"n": 2}\n\n')
CREATED = (
    b'event: response.created\ndata: {"type": "response.created", "sequence_number": 4, "response": '
    b'{"id": "resp_7", "object": "response", "created_at": 17, "model": "h-9"}}\n\n'
)
LAST = b"data: [DONE]\n\n"
LONG = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"

TLS_HANDSHAKE = b"\x16"

FAULTS: dict[str, Fault] = {
    "ok": raw(OK),
    "busy": raw(status(429, "retry-after: 0")),
    "busy-long": raw(status(429, "retry-after: 60")),
    "overloaded": raw(status(529)),
    "error": raw(status(500)),
    "plain": raw(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
    "close": raw(),
    "reset": reset,
    "reset-in-head": sequence(raw(b"HTTP/1.1 200 OK\r\ncontent-"), reset),
    "cut-length": raw(LONG + b"{"),
    "reset-events": sequence(raw(SSE + EVENTS, pause=0.05), reset),
    "reset-length": sequence(raw(LONG + b"{", pause=0.05), reset),
    "cut-chunked": raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ntransfer-encoding: chunked\r\n\r\n"
        + chunk(b"x")
    ),
    "bad-chunk": raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nx\r\n"
    ),
    "events": raw(SSE + EVENTS + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"),
    "cut-events": raw(SSE + EVENTS),
    "cut-in-event": raw(SSE + EVENTS + chunk(b'data: {"n"')),
    "cut-between-lines": raw(SSE + EVENTS + chunk(b'data: {"n": 3}\n')),
    "cut-in-long": raw(SSE + EVENTS + chunk(b'data: "' + b"n" * 200_000)),
    "cut-named": raw(
        SSE
        + chunk(CREATED)
        + chunk(b"event: response.output_text.delta\n")
        + chunk(b'data: {"type')
    ),
    "cut-done": raw(SSE + EVENTS + chunk(LAST)),
    "cut-error": raw(SSE + EVENTS + chunk(b'data: {"error": {"code": 502}}\n\n: ping\n\n')),
    "cut-long-done": raw(
        SSE + chunk(b'data: {"type": "response.completed", "x": "%b"}\n\n' % (b"A" * 200_000))
    ),
    "hang-done": sequence(raw(SSE + EVENTS + chunk(LAST)), hang),
    "drip-done": sequence(raw(SSE + EVENTS + chunk(LAST) + chunk(b": ping\n\n")), drip_on),
    "hang-in-event": sequence(raw(SSE + EVENTS + chunk(b'data: {"n"')), hang),
    "odd-end": raw(SSE + EVENTS + chunk(b'data: {"n": 3}') + b"0\r\n\r\n"),
    "hang": hang,
    "hang-events": sequence(raw(SSE + EVENTS), hang),
    "drip": drip,
    "garbage": raw(b"\x00\x01\x02 not http\r\n\r\n"),
    "http2": raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18),
    "status-000": raw(b"HTTP/1.1 000 No\r\ncontent-length: 0\r\n\r\n"),
    "status-099": raw(b"HTTP/1.1 099 No\r\ncontent-length: 0\r\n\r\n"),
    "status-999": raw(b"HTTP/1.1 999 No\r\ncontent-length: 0\r\n\r\n"),
    "status-1000": raw(b"HTTP/1.1 1000 No\r\ncontent-length: 0\r\n\r\n"),
    "two-lengths": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
    "both-framings": raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n"
        b"transfer-encoding: chunked\r\n\r\n" + chunk(b"{}") + b"0\r\n\r\n"
    ),
    "folded": raw(b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\n{}"),
    "bare-lines": raw(b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}"),
    "long-length": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{}"),
    "gzip-coding": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nxx"),
    "huge-head": raw(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n"),
    "many-headers": raw(
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 30_000 + b"content-length: 2\r\n\r\n{}"
    ),
    "some-headers": raw(
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 900 + b"content-length: 2\r\n\r\n{}"
    ),
    "endless-head": endless_headers,
    "many-early": raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 2000 + OK),
    "endless-early": endless_early,
    "control": raw(b"HTTP/1.1 200 OK\r\nx: a\x01b\r\ncontent-length: 2\r\n\r\n{}"),
    "switch": raw(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n"),
    "hints": raw(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK),
    "no-content": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "no-content-body": raw(b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n{}"),
    "not-modified-body": raw(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n{}"),
    "redirect": raw(
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\n\r\n"
    ),
    "odd-headers": raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: a=b\r\nserver: odd\r\n"
        b"via: 1.1 x\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-name: caf\xc3\xa9\r\n"
        b"access-control-allow-origin: *\r\nnel: {}\r\nrefresh: 0\r\nx-accel-redirect: /x\r\n"
        b"x-engine-error: forged\r\nstrict-transport-security: max-age=1\r\ncontent-length: 2\r\n\r\n{}"
    ),
}

# Complete responses, after which a connection can be used again.
KEEP_ALIVE_FAULTS = {"ok", "events", "busy", "busy-long", "overloaded", "error"}


class FaultServer:
    """The listening side.

    `seen` counts requests by model, `open` the connections, `closing` those that a fault ends.
    `fault` names the fault for every request; None leaves it to the model.
    """

    def __init__(self, fault: str | None = None) -> None:
        self.seen: Counter[str] = Counter()
        self.open = self.closing = 0
        self._fault = fault

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Serve one connection, to its end."""
        self.open += 1
        is_closing = False
        try:
            while model := await self._read(reader):
                self.seen[model] += 1
                name = self._fault or model.removeprefix("h-").partition("@")[0]
                if name.startswith("first-") and self.seen[model] > 1:
                    name = "ok"  # `h-first-busy` is busy once
                is_closing = name.removeprefix("first-") not in KEEP_ALIVE_FAULTS
                self.closing += is_closing
                await FAULTS[name.removeprefix("first-")](reader, writer)
                if is_closing:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.closing -= is_closing

    async def _read(self, reader: Reader) -> str:
        first = await reader.readexactly(1)
        if first == TLS_HANDSHAKE:
            return "h-plain"
        head = first + await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
        body = await reader.readexactly(length)
        if not body.startswith(b"{"):
            return (
                body.decode("latin-1").partition('name="model"\r\n\r\n')[2].partition("\r\n")[0]
                or "h-ok"
            )
        return str(json.loads(body).get("model"))


async def serve_fault(host: str, port: int, fault: str) -> None:
    """Inject `fault` into every response, until cancelled."""
    server = await asyncio.start_server(FaultServer(fault).serve, host, port)
    async with server:
        await server.serve_forever()
