"""A connection at rest is as a new one, whatever the exchange before was like."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise, repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.plan.plan import Origin
from engine.upstream import Attempt, RequestHead, UpstreamError
from engine.upstream.http1.connection import MAX_COPIED, READ_AHEAD, Connection
from engine.upstream.http1.idle import ATTRIBUTES, MAX_EXCHANGES, Pool
from engine.upstream.http1.pool import Http1Client
from engine.upstream.http1.response import MAX_FIELDS, MAX_HEADS, STEP, ResponseReader
from tests.integration.upstream import bursts
from tests.integration.upstream.bursts import EVENT, chunked, sized

# What belongs to the connection itself. The parser is at the start of a message, as a new one is.
OWN = {"opened", "_names", "_loop", "_pool", "_transport", "_has_arrivals", "_parser"} | {
    *("idle_since", "left")  # for when it ends
}
ORIGIN = Origin("http", "127.0.0.1", 1)
ANSWERS = {
    "small": sized(b"{}"),
    "large": sized(b"j" * 150_000),
    "burst": chunked([EVENT] * 1500),
    "trailers": chunked([EVENT] * 3, b"x-trailer: 1\r\nx-other: 2\r\n"),
    "interim": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + sized(b"hi"),
    "none": b"HTTP/1.1 204 No Content\r\n\r\n",
    "surplus": sized(b"{}") + sized(b"[]"),
    "blank": sized(b"{}") + b"\r\n\r\n",
    "closing": b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
    "until-close": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "garbage": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "error": b"HTTP/1.1 500 No\r\nx-a: b\r\ncontent-length: 1\r\n\r\nx",
}
NEXT = b"HTTP/1.1 201 Created\r\nx-b: c\r\ncontent-length: 3\r\n\r\nyes"


class Wire(asyncio.Transport):
    """A transport that delivers only while it reads, and takes only while it is told to."""

    def __init__(self, readable: socket.socket) -> None:
        super().__init__()
        self.protocol: Connection
        self.reading, self.closing, self.unsent = True, False, 0
        self.waiting: list[bytes] = []
        self._socket = readable

    def say(self, chunks: Iterable[bytes]) -> None:
        self.waiting += chunks
        while self.waiting and self.reading and not self.closing:
            self.protocol.data_received(self.waiting.pop(0))

    def pause_reading(self) -> None:
        assert not self.closing
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.closing
        self.reading = True
        asyncio.get_running_loop().call_soon(self.say, ())

    def write(self, data: Any) -> None:
        assert not self.closing

    def writelines(self, list_of_data: Any) -> None:
        assert not self.closing
        assert all(list_of_data), "asyncio would wait for an empty piece to leave, and never end"

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


def a_pool() -> Pool[Connection]:
    pool = Pool[Connection](lambda: None)
    pool.lifetimes = repeat(MAX_EXCHANGES)
    return pool


@contextmanager
def wired(pool: Pool[Connection]) -> Iterator[tuple[Wire, Connection, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        wire = Wire(here)
        wire.protocol = Connection(asyncio.get_running_loop(), pool)
        wire.protocol.connection_made(wire)
        yield wire, wire.protocol, there


def attempt() -> Attempt:
    return Attempt(RequestHead("POST", ORIGIN, b"/", []), b"{}", 2, 5.0)


def cut(raw: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({min(place, len(raw)) for place in places} | {0, len(raw)})
    return [raw[a:b] for a, b in pairwise(ends)]


async def read(connection: Connection, say: Iterable[bytes], wire: Wire) -> tuple[object, ...]:
    """What an exchange gives: all that its caller sees of it."""
    got: list[bytes] = []

    sending = asyncio.ensure_future(connection.exchange(attempt()))
    await asyncio.sleep(0)
    wire.say(say)
    async with asyncio.timeout(60):
        await sending
        head = connection.status, connection.headers, connection.length
        await connection.forward(got.append)
    return (*head, b"".join(got))


async def an_exchange(
    wire: Wire, connection: Connection, raw: list[bytes], how: dict[str, Any]
) -> None:
    """One whose caller stops now and then, leaves, fails, or is cancelled."""
    left = how["takes"]

    def write(_chunk: bytes) -> Awaitable[None] | None:
        nonlocal left
        left -= 1
        if left == 0 and how["fails"]:
            raise LookupError
        return None if left % how["step"] else asyncio.ensure_future(pause())

    async def pause() -> None:
        await asyncio.sleep(0)
        if left <= 0:
            raise LookupError

    sending = asyncio.ensure_future(connection.exchange(attempt()))
    await asyncio.sleep(0)
    if how["full"]:
        connection.pause_writing()
        wire.unsent = 1
    wire.say(raw)
    await asyncio.sleep(0)
    if how["drains"]:
        connection.resume_writing()
        wire.unsent = 0
    try:
        async with asyncio.timeout(0.01):
            await sending
            if how["arrived"]:
                connection.arrived()
            await connection.forward(write)
    except (UpstreamError, LookupError, TimeoutError):
        pass
    connection.close()


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(ANSWERS)),
    st.lists(st.integers(1, 160_000), max_size=5),
    st.fixed_dictionaries(
        {
            "takes": st.sampled_from([0, 1, 2, 3, 100, 10_000]),
            "step": st.sampled_from([1, 2, 7, 20_000]),
            "fails": st.booleans(),
            "full": st.booleans(),
            "drains": st.booleans(),
            "arrived": st.booleans(),
        }
    ),
    st.lists(st.integers(1, 60), max_size=3),
)
def test_the_next_exchange_is_as_on_a_new_connection(
    name: str, places: list[int], how: dict[str, Any], next_places: list[int]
) -> None:
    async def run() -> None:
        pool = a_pool()
        with wired(a_pool()) as (wire, connection, _):
            new = await read(connection, cut(NEXT, next_places), wire)
        with wired(pool) as (wire, connection, _):
            await an_exchange(wire, connection, cut(ANSWERS[name], places), how)
            assert pool in ([], [connection])
            assert wire.closing is (pool == [])
            if pool:
                assert wire.reading
                assert {key: getattr(connection, key) for key in ATTRIBUTES} == ATTRIBUTES
                assert await read(connection, cut(NEXT, next_places), wire) == new
            await asyncio.sleep(0)

    asyncio.run(run())


def test_every_attribute_has_its_value_at_rest() -> None:
    async def run() -> None:
        with wired(a_pool()) as (_, connection, _):
            names = {*ResponseReader.__slots__, *Connection.__slots__} - {"__weakref__"}
            assert names == {*ATTRIBUTES, *OWN}
            assert not hasattr(connection, "__dict__")
            assert {key: getattr(connection, key) for key in ATTRIBUTES} == ATTRIBUTES

    asyncio.run(run())


def test_reading_goes_on_once_a_response_is_complete() -> None:
    """Else what follows waits in the TLS of the transport, where the kernel does not know of it."""

    async def run() -> None:
        raw = sized(b"x" * (READ_AHEAD + 2))
        with wired(a_pool()) as (wire, connection, _):
            sending = asyncio.ensure_future(connection.exchange(attempt()))
            await asyncio.sleep(0)
            wire.say([raw[:-1], raw[-1:]])
            await sending
            assert not vars(wire)["reading"]
            assert len(connection.arrived()) == READ_AHEAD + 1
            await asyncio.sleep(0)
            assert vars(wire)["reading"]
            connection.abort()
        with wired(a_pool()) as (wire, connection, _):
            sending = asyncio.ensure_future(connection.exchange(attempt()))
            await asyncio.sleep(0)
            wire.say([raw])
            await sending
            assert wire.reading
            wire.say([b"x"])
            assert wire.closing
            assert len(connection.arrived()) == READ_AHEAD + 2

    asyncio.run(run())


def test_a_response_that_was_dropped_never_becomes_complete() -> None:
    """Also where an end of input, which an abort looks like, would end it."""

    async def run() -> None:
        with wired(a_pool()) as (wire, connection, _):
            sending = asyncio.ensure_future(connection.exchange(attempt()))
            await asyncio.sleep(0)
            wire.say([ANSWERS["until-close"]])
            (await sending).abort()
            await asyncio.sleep(0)
            assert not connection.is_complete

    asyncio.run(run())


def test_the_bounds_of_a_head_hold_on_a_connection() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: %b\r\n\r\n" % (b"x" * 64 * 1024)
    heads = [interim] * (MAX_HEADS // len(interim) + 1)

    async def run() -> None:
        with wired(a_pool()) as (wire, connection, _), pytest.raises(UpstreamError):
            await read(connection, [*heads, NEXT], wire)

    asyncio.run(run())


class Upload(Wire):
    """What is sent, and an answer as soon as the last piece of a body is."""

    def __init__(self, readable: socket.socket, last: bytes) -> None:
        super().__init__(readable)
        self.sent = b""
        self.last = last

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.sent += b"".join(list_of_data)
        if self.last in self.sent:
            self.say([NEXT])


@pytest.mark.parametrize(("last", "is_kept"), [(b"2\r\nxx\r\n", False), (b"never", True)])
def test_an_upload_that_is_answered_before_its_end_ends_the_connection(
    last: bytes, *, is_kept: bool
) -> None:
    """The next request would be read as a chunk of it."""

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"x", b"", b"xx"):
            yield chunk

    async def run() -> None:
        pool = a_pool()
        here, there = socket.socketpair()
        with here, there:
            wire = Upload(here, last)
            connection = wire.protocol = Connection(asyncio.get_running_loop(), pool)
            connection.connection_made(wire)
            head = RequestHead("POST", ORIGIN, b"/", [])
            sending = asyncio.ensure_future(connection.exchange(Attempt(head, chunks(), None, 5.0)))
            await asyncio.sleep(0.01)
            if is_kept:
                wire.say([NEXT])
            await sending
            connection.arrived()
            connection.close()
            assert bool(pool) is is_kept
            body = wire.sent.partition(b"\r\n\r\n")[2]
            assert body == b"1\r\nx\r\n2\r\nxx\r\n" + b"0\r\n\r\n" * is_kept
            await asyncio.sleep(0)

    asyncio.run(run())


def test_no_piece_that_is_written_is_empty() -> None:
    """From Python 3.12 on asyncio's own transport would wait for it to leave, and never close."""

    async def run() -> None:
        with wired(a_pool()) as (wire, connection, _):
            head = RequestHead("POST", ORIGIN, b"/", [])
            sending = asyncio.ensure_future(connection.exchange(Attempt(head, b"", 0, 5.0)))
            await asyncio.sleep(0)
            wire.say([NEXT])
            await sending
            connection.close()

    asyncio.run(run())


@pytest.mark.parametrize("size", [0, 1])
def test_an_upstream_that_closes_without_a_word_is_heard(size: int) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n" + b"b" * size)
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(leave, "127.0.0.1", 0)
        origin = Origin("http", "127.0.0.1", server.sockets[0].getsockname()[1])
        async with asyncio.timeout(60):
            with pytest.raises(UpstreamError):
                head = RequestHead("POST", origin, b"/", [])
                await Http1Client().send(Attempt(head, b"b" * size, size, 5.0))
        server.close()

    asyncio.run(run())


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("kind", ["http1", "httpx"])
def test_bursts_over_real_sockets(kind: str, *, tls: bool, fast: bool) -> None:
    """A few of `make bursts`."""
    bursts.run(12, 7, kind, tls=tls, fast=fast)


class Taking(Wire):
    """Keeps what is sent."""

    sent = b""

    def write(self, data: Any) -> None:
        self.sent += data

    def writelines(self, list_of_data: Any) -> None:
        self.sent += b"".join(list_of_data)


@contextmanager
def taking(pool: Pool[Connection]) -> Iterator[tuple[Taking, Connection]]:
    here, there = socket.socketpair()
    with here, there:
        wire = Taking(here)
        connection = wire.protocol = Connection(asyncio.get_running_loop(), pool)
        connection.connection_made(wire)
        yield wire, connection


@pytest.mark.parametrize("size", [0, 1, MAX_COPIED - 1, MAX_COPIED, MAX_COPIED + 1])
def test_a_body_is_sent_whole_behind_its_head_whatever_its_size(size: int) -> None:
    async def run() -> None:
        with taking(a_pool()) as (wire, connection):
            head = RequestHead("POST", ORIGIN, b"/", [])
            body = b"x" * (size - 1) + b"y" * bool(size)
            sending = asyncio.ensure_future(connection.exchange(Attempt(head, body, size, 5.0)))
            await asyncio.sleep(0)
            assert wire.sent.partition(b"\r\n\r\n")[2] == body
            wire.say([NEXT])
            await sending
            connection.abort()

    asyncio.run(run())


def test_a_caller_who_did_not_read_its_end_holds_up_no_later_response() -> None:
    async def run() -> None:
        pool = a_pool()
        with taking(pool) as (wire, connection):
            sending = asyncio.ensure_future(connection.exchange(attempt()))
            await asyncio.sleep(0)
            begin, end = NEXT[:-1], NEXT[-1:]
            wire.say([begin])
            await sending
            connection.arrived()
            never = asyncio.get_running_loop().create_future()
            forwarding = asyncio.ensure_future(connection.forward(lambda _: never))
            await asyncio.sleep(0)
            wire.say([end])
            forwarding.cancel()
            with suppress(asyncio.CancelledError):
                await forwarding
            connection.close()
            assert pool.pop() is connection
            async with asyncio.timeout(5):
                await read(connection, [NEXT], wire)
            connection.abort()

    asyncio.run(run())


def test_a_blank_line_that_nobody_asked_for_ends_a_connection_at_rest() -> None:
    async def run() -> None:
        pool = a_pool()
        with taking(pool) as (wire, connection):
            await read(connection, [NEXT], wire)
            connection.close()
            wire.say([b"\r\n"])
            assert wire.closing

    asyncio.run(run())


@pytest.mark.parametrize("more", [b"x:\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"])
@pytest.mark.parametrize("size", [1000, 256 * 1024])
def test_heads_are_bounded_in_what_the_loop_reads(more: bytes, size: int) -> None:
    async def run() -> None:
        with taking(a_pool()) as (wire, connection):
            sending = asyncio.ensure_future(connection.exchange(attempt()))
            await asyncio.sleep(0)
            if not more.startswith(b"HTTP"):
                wire.say([b"HTTP/1.1 200 OK\r\n"])
            block = more * (size // len(more))
            for _ in range(MAX_HEADS // len(block) + 2):
                if not wire.closing:
                    wire.say([block])
            assert wire.closing
            assert len(connection.headers) <= MAX_FIELDS + STEP // 4
            with pytest.raises(UpstreamError):
                await sending

    asyncio.run(run())
