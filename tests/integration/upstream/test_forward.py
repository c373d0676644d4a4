"""What a client hands on of a body: in order, as it comes, and no more than is wanted."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from engine.plan.plan import Origin
from engine.upstream import Attempt, Client, Reply, RequestHead, UpstreamError
from engine.upstream.http1.connection import READ_AHEAD, Connection
from engine.upstream.http1.pool import Http1Client
from engine.upstream.httpx_client import HttpxClient

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
CLIENTS = pytest.mark.parametrize("kind", [Http1Client, HttpxClient])
Say = Callable[[bytes], Awaitable[None]]


def chunk(chunk: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(chunk), chunk)


@asynccontextmanager
async def answering(kind: type[Client]) -> AsyncIterator[tuple[Reply, Say]]:
    """An answer whose head is there, and a way to say more of it; empty: close."""
    said: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sending = writer.get_extra_info("socket")
        sending.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.write(HEAD)
        while data := await said.get():
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = Origin("http", "127.0.0.1", server.sockets[0].getsockname()[1])
    client = kind()
    try:
        reply = await client.send(Attempt(RequestHead("GET", origin, b"/", []), b"", 0, 5.0))
        yield reply, said.put
        await reply.close()
    finally:
        await said.put(b"")
        await client.close()
        server.close()


class Receiver:
    """Takes as many pieces at a time as it is told, and tells when it has some."""

    def __init__(self, wanted: int = 1000) -> None:
        self.wanted = wanted
        self.chunks: list[bytes] = []
        self._came = asyncio.Event()

    def __call__(self, chunk: bytes) -> bool:
        assert self.wanted > 0, "more than was wanted"
        self.chunks.append(chunk)
        self.wanted -= 1
        self._came.set()
        return self.wanted > 0

    async def has(self, *chunks: bytes) -> None:
        async with asyncio.timeout(10):
            while self.chunks != list(chunks):
                self._came.clear()
                await self._came.wait()


@CLIENTS
def test_pieces_come_one_by_one_as_they_were_sent(kind: type[Client]) -> None:
    async def run() -> None:
        receiver = Receiver()
        async with answering(kind) as (reply, say):
            forwarding = asyncio.ensure_future(reply.forward(receiver))
            for n in range(1, 6):
                await say(chunk(b"%d" % n))
                await receiver.has(*(b"%d" % i for i in range(1, n + 1)))
                assert not forwarding.done()
            await say(END)
            assert await forwarding

    asyncio.run(run())


@CLIENTS
def test_no_more_than_is_wanted_and_nothing_is_lost(kind: type[Client]) -> None:
    async def run() -> None:
        receiver = Receiver(wanted=0)
        async with answering(kind) as (reply, say):
            await say(chunk(b"1"))
            for n in range(1, 6):
                receiver.wanted = 1
                assert not await reply.forward(receiver)
                assert len(receiver.chunks) == n
                await say(chunk(b"%d" % (2 * n)) + chunk(b"%d" % (2 * n + 1)))
                await asyncio.sleep(0.01)  # with time for what is not wanted to come
            await say(END)
            receiver.wanted = 1000
            assert await reply.forward(receiver)
            assert receiver.chunks == [b"%d" % n for n in range(1, 12)]

    asyncio.run(run())


@CLIENTS
def test_an_error_of_the_receiver_is_its_own(kind: type[Client]) -> None:
    def receiver(chunk: bytes) -> bool:
        if chunk == b"2":
            raise LookupError
        return True

    async def run() -> None:
        async with answering(kind) as (reply, say):
            forwarding = asyncio.ensure_future(reply.forward(receiver))
            await say(chunk(b"1"))
            await asyncio.sleep(0.01)
            await say(chunk(b"2"))
            with pytest.raises(LookupError):
                await forwarding

    asyncio.run(run())


@CLIENTS
def test_what_came_before_a_break_is_handed_on(kind: type[Client]) -> None:
    async def run() -> None:
        receiver = Receiver()
        async with answering(kind) as (reply, say):
            forwarding = asyncio.ensure_future(reply.forward(receiver))
            await say(chunk(b"1"))
            await receiver.has(b"1")
            await say(chunk(b"2") + b"no chunk\r\n")
            with pytest.raises(UpstreamError, match="truncated"):
                await forwarding
            assert receiver.chunks[:1] == [b"1"]

    asyncio.run(run())


@CLIENTS
def test_reading_stops_while_nothing_is_wanted_and_goes_on(kind: type[Client]) -> None:
    block = b"x" * 16_384

    async def run() -> None:
        receiver = Receiver(wanted=1)
        async with answering(kind) as (reply, say):
            await say(chunk(block))
            assert not await reply.forward(receiver)
            for _ in range(100):
                await say(chunk(block))
            await asyncio.sleep(0.1)
            if isinstance(reply, Connection):  # what the other one reads ahead is not to be seen
                assert 0 < reply.buffered < READ_AHEAD + 512 * 1024
            receiver.wanted = 1000
            await say(END)
            async with asyncio.timeout(10):
                assert await reply.forward(receiver)
            assert b"".join(receiver.chunks) == block * 101

    asyncio.run(run())


@CLIENTS
def test_a_trailer_without_end_breaks_the_answer_off(kind: type[Client]) -> None:
    async def run() -> None:
        async with answering(kind) as (reply, say):
            await say(chunk(b"1") + b"0\r\nx: ")
            for _ in range(32):
                await say(b"y" * 1024 * 1024)
            with pytest.raises(UpstreamError, match="truncated"):
                await reply.forward(Receiver())

    asyncio.run(run())
