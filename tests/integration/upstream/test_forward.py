"""What a client hands on of a body: in order, as it comes, and no more than is wanted."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import pytest

from engine.gateway.response.coroutines import run_rest
from engine.plan.plan import Origin
from engine.upstream import Attempt, Client, RequestHead, UpstreamError, UpstreamResponse
from engine.upstream.http1.connection import READ_AHEAD, Connection
from engine.upstream.http1.pool import Http1Client
from engine.upstream.httpx_client import HttpxClient
from tests.integration.upstream.ending import end

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
CLIENTS = pytest.mark.parametrize("kind", [Http1Client, HttpxClient])
Say = Callable[[bytes], Awaitable[None]]


def chunk(chunk: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(chunk), chunk)


@asynccontextmanager
async def answering(kind: type[Client]) -> AsyncIterator[tuple[UpstreamResponse, Say]]:
    """An answer whose head is there, and a way to say more of it; empty: close."""
    said: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            sending = writer.get_extra_info("socket")
            sending.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            writer.write(HEAD)
            while data := await said.get():
                writer.write(data)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = Origin("http", "127.0.0.1", server.sockets[0].getsockname()[1])
    client = kind()
    try:
        response = await client.send(Attempt(RequestHead("GET", origin, b"/", []), b"", 0, 5.0))
        yield response, said.put
        await end(response)
    finally:
        await said.put(b"")
        await client.close()
        server.close()


class Writer:
    """Takes `wanted` chunks before each has to wait for `more`."""

    def __init__(self, wanted: int = 1000) -> None:
        self.wanted = wanted
        self.chunks: list[bytes] = []
        self._came = asyncio.Event()
        self._room = asyncio.Event()

    def __call__(self, chunk: bytes) -> Awaitable[None] | None:
        assert self.wanted > 0, "more than was wanted"
        self.chunks.append(chunk)
        self.wanted -= 1
        self._came.set()
        if self.wanted:
            return None
        self._room.clear()
        return asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        async with asyncio.timeout(60):
            await self._room.wait()

    def more(self, wanted: int) -> None:
        self.wanted = wanted
        self._room.set()

    async def has(self, *chunks: bytes) -> None:
        await self.has_so_many(len(chunks))
        assert self.chunks == list(chunks)

    async def has_so_many(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.chunks) < count:
                self._came.clear()
                await self._came.wait()


@CLIENTS
def test_pieces_come_one_by_one_as_they_were_sent(kind: type[Client]) -> None:
    async def run() -> None:
        writer = Writer()
        async with answering(kind) as (response, say):
            forwarding = asyncio.ensure_future(response.forward(writer))
            for n in range(1, 6):
                await say(chunk(b"%d" % n))
                await writer.has(*(b"%d" % i for i in range(1, n + 1)))
                assert not forwarding.done()
            await say(END)
            await forwarding

    asyncio.run(run())


@CLIENTS
def test_no_more_than_is_wanted_and_nothing_is_lost(kind: type[Client]) -> None:
    async def run() -> None:
        writer = Writer(wanted=1)
        async with answering(kind) as (response, say):
            forwarding = asyncio.ensure_future(response.forward(writer))
            await say(chunk(b"1"))
            for n in range(1, 6):
                await writer.has_so_many(n)
                await say(chunk(b"%d" % (2 * n)) + chunk(b"%d" % (2 * n + 1)))
                await asyncio.sleep(0.01)  # with time for what is not wanted to come
                assert len(writer.chunks) == n
                writer.more(1)
            await say(END)
            await writer.has_so_many(6)
            writer.more(1000)
            await forwarding
            assert writer.chunks == [b"%d" % n for n in range(1, 12)]

    asyncio.run(run())


def test_what_is_read_before_the_task_runs_waits_for_the_chunk_before_it() -> None:
    async def run() -> None:
        writer = Writer(wanted=1)
        async with answering(Http1Client) as (response, say):
            assert isinstance(response, Connection)
            forwarding = asyncio.ensure_future(response.forward(writer))
            await asyncio.sleep(0)
            for n in range(1, 4):  # as one look at the socket may find it
                response.data_received(chunk(b"%d" % n))
            await writer.has(b"1")
            writer.more(1000)
            await say(END)
            await forwarding
            assert writer.chunks == [b"1", b"2", b"3"]

    asyncio.run(run())


@CLIENTS
def test_an_error_of_the_writer_is_its_own(kind: type[Client]) -> None:
    def writer(chunk: bytes) -> None:
        if chunk == b"2":
            raise LookupError

    async def run() -> None:
        async with answering(kind) as (response, say):
            forwarding = asyncio.ensure_future(response.forward(writer))
            await say(chunk(b"1"))
            await asyncio.sleep(0.01)
            await say(chunk(b"2"))
            with pytest.raises(LookupError):
                await forwarding

    asyncio.run(run())


@CLIENTS
def test_what_came_before_a_break_is_handed_on(kind: type[Client]) -> None:
    async def run() -> None:
        writer = Writer()
        async with answering(kind) as (response, say):
            forwarding = asyncio.ensure_future(response.forward(writer))
            await say(chunk(b"1"))
            await writer.has(b"1")
            await say(chunk(b"2") + b"no chunk\r\n")
            with pytest.raises(UpstreamError, match="truncated"):
                await forwarding
            assert writer.chunks[:1] == [b"1"]

    asyncio.run(run())


def test_a_second_response_is_not_handed_on_with_the_end_of_the_first() -> None:
    async def run() -> None:
        writer = Writer()
        async with answering(Http1Client) as (response, say):
            forwarding = asyncio.ensure_future(response.forward(writer))
            await say(chunk(b"1"))
            await writer.has(b"1")
            await say(END + b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2")
            await forwarding
            assert writer.chunks == [b"1"]

    asyncio.run(run())


@CLIENTS
def test_reading_stops_while_nothing_is_wanted_and_goes_on(kind: type[Client]) -> None:
    block = b"x" * 16_384

    async def run() -> None:
        writer = Writer(wanted=1)
        async with answering(kind) as (response, say):
            forwarding = asyncio.ensure_future(response.forward(writer))
            await say(chunk(block))
            await writer.has_so_many(1)
            for _ in range(100):
                await say(chunk(block))
            if isinstance(response, Connection):  # what the other one reads ahead is not to be seen
                async with asyncio.timeout(60):
                    while response.buffered <= READ_AHEAD:  # noqa: ASYNC110 there is no event for it
                        await asyncio.sleep(0.001)
                assert response.buffered < READ_AHEAD + 512 * 1024
            writer.more(1000)
            await say(END)
            async with asyncio.timeout(60):
                await forwarding
            assert b"".join(writer.chunks) == block * 101

    asyncio.run(run())


def test_what_waits_for_the_caller_when_he_leaves_is_dropped_in_silence() -> None:
    """The task is cancelled just as the chunk that blocks has been written."""

    async def run() -> None:
        async with answering(Http1Client) as (response, say):

            def write(_chunk: bytes) -> Awaitable[None] | None:
                asyncio.get_running_loop().call_soon(forwarding.cancel)
                steps = asyncio.sleep(10).__await__()
                return run_rest(next(steps), steps, lambda: None)

            forwarding = asyncio.ensure_future(response.forward(write))
            await say(chunk(b"1"))
            with pytest.raises(asyncio.CancelledError):
                await forwarding

    asyncio.run(run())

    asyncio.run(run())


@CLIENTS
def test_a_trailer_without_end_breaks_the_answer_off(kind: type[Client]) -> None:
    async def run() -> None:
        async with answering(kind) as (response, say):
            await say(chunk(b"1") + b"0\r\nx: ")
            for _ in range(32):
                await say(b"y" * 1024 * 1024)
            with pytest.raises(UpstreamError, match="truncated"):
                await response.forward(Writer())

    asyncio.run(run())


@CLIENTS
def test_a_response_that_nobody_reads_is_closed_to_its_upstream(kind: type[Client]) -> None:
    async def run() -> None:
        left = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(HEAD)
                left.set_result(await reader.read())

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        origin = Origin("http", "127.0.0.1", server.sockets[0].getsockname()[1])
        client = kind()
        async with server:
            response = await client.send(Attempt(RequestHead("GET", origin, b"/", []), b"", 0, 5.0))
            await end(response)
            async with asyncio.timeout(60):
                assert await left == b""
            await client.close()

    asyncio.run(run())
