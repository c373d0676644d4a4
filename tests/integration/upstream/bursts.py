"""Exchanges of every kind on kept connections, and after each the next one, which must be as on a new one.

python -m tests.integration.upstream.bursts 10000 [SEED]
"""

import asyncio
import contextlib
import random
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import uvloop

from engine.plan.plan import Origin
from engine.upstream import Attempt, Client, RequestHead, UpstreamError, UpstreamResponse
from engine.upstream.http1.pool import Http1Client
from engine.upstream.httpx_client import HttpxClient
from tests.integration.upstream.ending import end

HANG = 60.0  # seconds; the next exchange takes a millisecond
CERT = Path(__file__).parent / "tls" / "cert.pem"
OK = b"HTTP/1.1 200 OK\r\n"
EVENT = b"data: " + b"x" * 92 + b"\n\n"
CUT = b"(cut)"
CLIENTS: dict[str, type[Http1Client | HttpxClient]] = {"http1": Http1Client, "httpx": HttpxClient}


def chunked(chunks: list[bytes], trailers: bytes = b"") -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return OK + b"transfer-encoding: chunked\r\n\r\n" + framed + b"0\r\n" + trailers + b"\r\n"


def sized(body: bytes) -> bytes:
    return OK + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def an_answer(draw: random.Random) -> bytes:
    """Whole answers of all sizes and framings, and some that are cut or wrong."""
    size = draw.choice((0, 1, 700, draw.randrange(70_000, 260_000), 1_400_000))
    events = [EVENT] * (size // 100)
    answer = draw.choice(
        (
            chunked(events),
            chunked(events),
            chunked(events, b"x-trailer: 1\r\n" * draw.randrange(4)),
            b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 3 + sized(b"j" * size),
            sized(b"j" * size),
            b"HTTP/1.1 204 No Content\r\n\r\n",
            chunked([*events, b"x"]).replace(b"1\r\nx", b"z\r\nx"),
        )
    )
    return answer[: draw.randrange(len(answer))] + CUT if draw.random() < 0.1 else answer


class Upstream:
    """Answers `/burst` with what is drawn, in one write or in some, and `/next/N` with N."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = (asyncio.IncompleteReadError, ConnectionError, RuntimeError)  # the last is uvloop's
        with contextlib.suppress(*gone):
            while head := await reader.readuntil(b"\r\n\r\n"):
                target = head.split(b" ", 2)[1]
                is_early = target == b"/burst" and self._draw.random() < 0.1
                if not is_early:
                    await self._read(reader, head)
                if target == b"/burst":
                    await self._burst(writer)
                else:
                    writer.write(sized(target))
                if is_early:
                    await self._read(reader, head)
        writer.close()

    async def _read(self, reader: asyncio.StreamReader, head: bytes) -> None:
        if b"content-length: " in head:
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
            return
        while size := int(await reader.readuntil(b"\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\n")

    async def _burst(self, writer: asyncio.StreamWriter) -> None:
        answer, draw = an_answer(self._draw), self._draw
        is_cut = answer.endswith(CUT)
        answer = answer.removesuffix(CUT)
        for _ in range(draw.choice((0, 0, 0, 1, 5))):
            place = draw.randrange(1, 70_000)
            writer.write(answer[:place])
            answer = answer[place:]
            await asyncio.sleep(draw.choice((0, 0.001)))
        writer.write(answer)
        if is_cut:  # only then: a close behind a whole answer may cross the next request
            writer.close()


class Caller:
    """Reads an answer at a pace of its own, leaves it, or fails over it."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._step = draw.choice((1, 3, 10_000, 10_000))
        self._leaves = draw.choice((None, None, None, draw.randrange(1, 500)))
        self._fails = self._leaves is not None and draw.random() < 0.3
        self._taken = 0

    def __call__(self, _chunk: bytes) -> Awaitable[None] | None:
        self._taken += 1
        if self._taken == self._leaves and self._fails:
            raise LookupError
        return None if self._taken % self._step else asyncio.ensure_future(self._pause())

    async def _pause(self) -> None:
        await asyncio.sleep(0.001 if self._draw.random() < 0.02 else 0)
        if self._leaves is not None and self._taken >= self._leaves:
            raise LookupError

    async def read(self, response: UpstreamResponse) -> None:
        if self._draw.random() < 0.3:
            response.arrived()
        if self._draw.random() < 0.1:
            return
        with contextlib.suppress(UpstreamError, LookupError):
            await response.forward(self)


def attempt(origin: Origin, target: bytes, draw: random.Random) -> Attempt:
    """With a body: none, some, large, or in pieces."""
    body = b"b" * draw.choice((0, 0, 100, 300_000))
    head = RequestHead("POST", origin, target, [])
    if draw.random() < 0.7:
        return Attempt(head, body, len(body), 5.0)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 70_000):
            yield body[start : start + 70_000]
            await asyncio.sleep(0)

    return Attempt(head, chunks(), draw.choice((None, len(body))), 5.0)


async def burst(client: Client, origin: Origin, number: int, draw: random.Random) -> None:
    """One exchange of any kind, and the next one."""
    with contextlib.suppress(UpstreamError):
        response = await client.send(attempt(origin, b"/burst", draw))
        reading = asyncio.ensure_future(Caller(draw).read(response))
        if draw.random() < 0.1:
            await asyncio.sleep(draw.choice((0, 0.001)))
            reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await end(response)
    target = b"/next/%d" % number
    got: list[bytes] = []

    try:
        async with asyncio.timeout(HANG):
            response = await client.send(
                Attempt(RequestHead("GET", origin, target, []), b"", 0, 5.0)
            )
            got.append(b"%d " % response.status)
            await response.forward(got.append)
            await end(response)
    except (TimeoutError, UpstreamError) as error:
        raise AssertionError(f"the exchange after burst {number}: {error!r}") from error
    assert b"".join(got) == b"200 " + target, f"burst {number}"


async def bursts(number: int, seed: int, kind: str, *, tls: bool) -> None:
    """So many bursts, two at a time so that connections are taken in turn."""
    draw = random.Random(seed)
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERT, CERT.with_name("key.pem"))
    server = await asyncio.start_server(Upstream(draw).serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    ca = CERT.read_text() if tls else None
    origin = Origin("https" if tls else "http", "localhost" if tls else "127.0.0.1", port, ca=ca)
    client = CLIENTS[kind]()

    async def some(first: int) -> None:
        for n in range(first, number, 2):
            await burst(client, origin, n, draw)

    await asyncio.gather(some(0), some(1))
    await client.close()
    server.close()
    await asyncio.sleep(0.05)


def run(number: int, seed: int, kind: str, *, tls: bool, fast: bool) -> None:
    factory = uvloop.new_event_loop if fast else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(bursts(number, seed, kind, tls=tls))


def main(number: int, seed: int) -> None:
    for fast in (True, False):
        for tls in (False, True):
            started = time.monotonic()
            run(number // 4, seed, "http1", tls=tls, fast=fast)
            seconds = time.monotonic() - started
            words = f"bursts: {number // 4}, uvloop {fast}, TLS {tls}: 0 hangs in {seconds:.0f} s"
            print(words)  # noqa: T201 what it is started for


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
