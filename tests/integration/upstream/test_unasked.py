"""Bytes that no request asked for never become the response to the next one."""

import asyncio
import ctypes
import gc
import ssl
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import pairwise, repeat
from typing import Any, TypeVar

import pytest
import uvloop

from engine.plan.plan import Origin
from engine.upstream import Attempt, Client, RequestHead, UpstreamError
from engine.upstream.http1 import pool as pools
from engine.upstream.http1.connection import PEER_CLOSE_SECONDS, READ_AHEAD, RETIRE_SECONDS
from engine.upstream.http1.idle import (
    DISTRUST_SECONDS,
    FIRST_EXCHANGES,
    MAX_AGE_SECONDS,
    MAX_EXCHANGES,
    MAX_IDLE,
    Pool,
    arrivals,
)
from engine.upstream.http1.pool import Http1Client
from engine.upstream.httpx_client import HttpxClient
from tests.integration.upstream.bursts import CERT, sized
from tests.integration.upstream.ending import end
from tests.integration.upstream.test_pool import answered
from tests.integration.upstream.test_rest import a_pool, attempt, wired

T = TypeVar("T")
UNASKED = sized(b"another caller's")
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Responds with the path, so many times, and now and then with more, at once or after a moment."""

    all: list["Upstream"]
    times = 1
    more = b""
    after: float | None = None

    def connection_made(self, transport: Any) -> None:
        self.all.append(self)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        response = sized(data.split(b" ", 2)[1] * self.times)
        if self.after is None:
            response += self.more
        elif self.more:
            asyncio.get_running_loop().call_later(self.after, self.transport.write, self.more)
        self.transport.write(response)


def against(
    scenario: Callable[[Any, Origin], Awaitable[T]],
    *,
    tls: bool = False,
    fast: bool = False,
    kind: type[Upstream] = Upstream,
) -> T:
    async def run() -> T:
        fresh = type("Fresh", (kind,), {"all": [], "asked": []})
        scheme, host, ca, context = "http", "127.0.0.1", None, None
        if tls:
            scheme, host, ca = "https", "localhost", CERT.read_text()
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(CERT, CERT.with_name("key.pem"))
        loop = asyncio.get_running_loop()
        server = await loop.create_server(fresh, "127.0.0.1", 0, ssl=context)
        async with server:
            return await scenario(
                fresh, Origin(scheme, host, server.sockets[0].getsockname()[1], ca=ca)
            )

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if fast else None) as runner:
        return runner.run(run())


async def call(client: Client, origin: Origin, path: bytes) -> bytes:
    got: list[bytes] = []
    response = await client.send(Attempt(RequestHead("POST", origin, path, []), b"{}", 2, 5.0))
    await response.forward(got.append)
    await end(response)
    return b"".join(got)


def block() -> None:
    """Keep the loop from reading for a moment."""
    time.sleep(0.001)


@pytest.mark.parametrize("after", [None, 0.0])
@pytest.mark.parametrize("client", [Http1Client, HttpxClient])
def test_what_has_arrived_is_seen_before_the_next_request(
    client: type[Http1Client | HttpxClient], after: float | None
) -> None:
    """Also where the loop had no time yet to read it."""

    async def scenario(upstream: type[Upstream], origin: Origin) -> None:
        upstream.after, sender = after, client()
        for n in range(5):
            upstream.more = UNASKED
            assert await call(sender, origin, b"/a%d" % n) == b"/a%d" % n
            upstream.more = b""
            await asyncio.sleep(0)  # the upstream, in the same loop, sends its surplus
            block()  # and it arrives, while nobody reads
            assert await call(sender, origin, b"/b%d" % n) == b"/b%d" % n
            if isinstance(sender, Http1Client):  # as if it had not been caught at it yet
                for pool in vars(sender)["_idle"].values():
                    pool.restore_trust(time.monotonic() + DISTRUST_SECONDS + 1)
        await sender.close()

    against(scenario)


@pytest.mark.parametrize("after", [None, 0.0])
def test_who_sends_them_gets_one_request_for_each_connection_for_a_while(
    after: float | None,
) -> None:
    async def scenario(upstream: type[Upstream], origin: Origin) -> None:
        warnings: list[str] = []
        client = Http1Client(warn=warnings.append)
        upstream.after = after
        for _ in range(3):
            await asyncio.gather(*(call(client, origin, b"/%d" % n) for n in range(4)))
        assert len(upstream.all) == 4
        (pool,) = vars(client)["_idle"].values()
        assert (len(pool), pool.capacity) == (4, MAX_IDLE)
        pool.lifetimes = repeat(MAX_EXCHANGES)

        upstream.more = UNASKED
        await call(client, origin, b"/surplus")
        await asyncio.sleep(0.01)
        upstream.more = b""
        assert (len(pool), pool.capacity) == (0, 0), "those at rest may have got some as well"
        before = len(upstream.all)
        for _ in range(3):
            await call(client, origin, b"/alone")
        assert len(upstream.all) == before + 3
        upstream.more = UNASKED
        await call(client, origin, b"/again")
        await asyncio.sleep(0.01)
        upstream.more = b""
        assert warnings == [
            f"{origin.url} has sent bytes that no request asked for: for 300 s it gets one request for each connection"
        ]

        pool.restore_trust(time.monotonic() + DISTRUST_SECONDS - 1)
        await call(client, origin, b"/alone")
        assert len(pool) == 0
        pool.restore_trust(time.monotonic() + DISTRUST_SECONDS + 1)
        for _ in range(3):
            await call(client, origin, b"/kept")
        assert (len(pool), len(upstream.all)) == (1, before + 6)
        await client.close()

    against(scenario)


def test_what_waits_in_the_kernel_is_read_before_the_connection_is_closed() -> None:
    """Else its origin would go on being trusted."""

    async def scenario(upstream: type[Upstream], origin: Origin) -> None:
        client = Http1Client()
        await call(client, origin, b"/")
        (pool,) = vars(client)["_idle"].values()
        (connection,) = pool
        transport = connection._transport
        upstream.all[0].transport.write(UNASKED)
        block()
        assert vars(pools)["_take"](pool) is None
        assert not transport.is_closing()
        await asyncio.sleep(0.01)
        assert transport.is_closing()
        assert pool.capacity == 0

    against(scenario)


class Serial(Upstream):
    """Takes a while for each response, one after the other, and closes when it is asked to.

    `greets`: it begins with a response. Else the first connection gets one more, half a while after its first.
    """

    takes = 0.004
    greets = False
    asked: list["Serial"]
    more = UNASKED

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.rest, self.ready = b"", 0.0
        if self.greets:
            transport.write(UNASKED)

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.rest += data
        while b"{}" in self.rest:
            request, _, self.rest = self.rest.partition(b"{}")
            at = self.ready = max(self.ready, loop.time()) + self.takes
            response = sized(request.split(b" ", 2)[1])
            if b"connection: close" in request:
                self.asked.append(self)
                response = response.replace(b"OK\r\n", b"OK\r\nconnection: close\r\n")
                loop.call_at(at + 0.001, self.transport.close)
            loop.call_at(at, self.transport.write, response)
            if self.more and not self.greets and self is self.all[0]:
                loop.call_at(at + self.takes / 2, self.transport.write, self.more)
                type(self).more = b""


@pytest.mark.parametrize("greets", [True, False])
@pytest.mark.parametrize("thinks", [0.0, 0.003])
@pytest.mark.parametrize("fast", [True, False])
def test_what_comes_while_a_connection_is_busy_is_seen_at_its_end(
    *, fast: bool, thinks: float, greets: bool
) -> None:
    """Until then each request on it gets the response to the one before; from then on none does."""

    async def scenario(upstream: type[Serial], origin: Origin) -> None:
        upstream.greets = greets
        warnings: list[str] = []
        client = Http1Client(warn=warnings.append)
        of_others = []
        for n in range(20):
            with suppress(UpstreamError):  # what has greeted by now gets no request
                got = await call(client, origin, b"/%d" % n)
                if got not in (b"/%d" % n, b"another caller's"):
                    of_others.append(n)
            await asyncio.sleep(thinks)
        assert len(warnings) == 1
        most = FIRST_EXCHANGES[0] - 1
        if greets:
            most += 2  # on the connection after it, until the response comes that is one too many
        assert of_others == [] or max(len(of_others), of_others[-1] - greets) <= most
        await client.close()

    against(scenario, fast=fast, kind=Serial)


def test_a_connection_ends_with_a_request_that_asks_for_it() -> None:
    """The first ones of an origin after a few exchanges, later ones after more, old ones at once."""

    async def scenario(upstream: type[Serial], origin: Origin) -> None:
        client, upstream.more, upstream.takes = Http1Client(), b"", 0.0
        ended = []
        for n in range(sum(FIRST_EXCHANGES) + 2 * MAX_EXCHANGES):
            assert await call(client, origin, b"/%d" % n) == b"/%d" % n
            (pool,) = vars(client)["_idle"].values()
            ended += [] if pool else [n + 1]
        assert [b - a for a, b in pairwise([0, *ended])] == [
            *FIRST_EXCHANGES,
            *(MAX_EXCHANGES, MAX_EXCHANGES),
        ]
        assert upstream.asked == upstream.all
        await call(client, origin, b"/")
        (connection,) = pool
        connection.opened -= MAX_AGE_SECONDS + 1
        await call(client, origin, b"/")
        assert pool == []
        await client.close()

    against(scenario, kind=Serial)


def test_an_origin_that_is_not_trusted_is_asked_to_close_each_connection() -> None:
    """So that it is seen when it goes on."""

    async def scenario(upstream: type[Serial], origin: Origin) -> None:
        warnings: list[str] = []
        client, upstream.more = Http1Client(warn=warnings.append), b""
        await call(client, origin, b"/")
        (pool,) = vars(client)["_idle"].values()
        pool.receive_unsolicited(UNASKED)
        for _ in range(3):
            await call(client, origin, b"/")
        assert upstream.asked == upstream.all[1:]
        assert len(upstream.asked) == 3
        await client.close()

    against(scenario, kind=Serial)


def test_no_more_than_so_many_are_watched() -> None:
    async def run() -> None:
        pool = a_pool()
        timer = asyncio.get_running_loop().call_later(9, list)
        with wired(pool) as (old, one, _), wired(pool) as (new, two, _):
            pool.watch(one, timer)
            for n in range(MAX_IDLE - 1):
                vars(pool)["_leaving"][n] = timer
            assert not old.closing
            pool.watch(two, timer)
            assert (old.closing, new.closing) == (True, False)
        timer.cancel()

    asyncio.run(run())


def test_one_that_is_not_closed_by_its_upstream_is_closed_all_the_same() -> None:
    async def run() -> None:
        pool = a_pool()
        pool.lifetimes = repeat(1)
        with wired(pool) as (wire, connection, _):
            await answered(connection, wire)
            connection.close()
            assert (wire.closing, pool) == (False, [])
            (timer,) = vars(pool)["_leaving"].values()
            assert timer.when() - asyncio.get_running_loop().time() <= PEER_CLOSE_SECONDS
            pool.drop_all()
            assert wire.closing
            connection.connection_lost(None)
            assert timer.cancelled()
            assert vars(pool)["_leaving"] == {}

    asyncio.run(run())


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("tls", [True, False])
def test_what_arrives_before_a_slow_caller_has_read_all_is_seen(*, tls: bool, fast: bool) -> None:
    """TLS takes what arrives from the kernel, also when nobody reads it."""

    async def scenario(upstream: type[Upstream], origin: Origin) -> None:
        client, upstream.times = Http1Client(), READ_AHEAD // 3
        head = RequestHead("POST", origin, b"/big", [])
        response = await client.send(Attempt(head, b"{}", 2, 5.0))
        got: list[bytes] = []
        while not response.is_complete:
            await asyncio.sleep(0.001)
            if not response.is_complete:
                got.append(response.arrived())
        upstream.all[0].transport.write(UNASKED)
        upstream.times = 1
        await asyncio.sleep(0.05)
        await response.forward(got.append)
        response.close()
        assert b"".join(got) == b"/big" * (READ_AHEAD // 3)
        assert await call(client, origin, b"/next") == b"/next"
        await client.close()

    against(scenario, tls=tls, fast=fast)


def libraries() -> int:
    return sum(type(one) is ctypes.PyDLL for one in gc.get_objects())


@pytest.fixture
def _uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_uncollected")
def test_a_look_into_the_kernel_leaves_nothing_to_the_garbage_collector() -> None:
    """Where each request gets a connection, that would be work for each of them."""
    before = libraries()
    for _ in range(10):
        arrivals(0)
    assert libraries() == before


@pytest.mark.usefixtures("_uncollected")
def test_a_connection_that_was_lost_leaves_nothing_to_the_garbage_collector() -> None:
    async def run() -> None:
        with wired(Pool(lambda: None)) as (wire, connection, _):
            connection.abort()
            await asyncio.sleep(0)
            left = weakref.ref(connection)
            del wire.protocol, connection
            assert left() is None

    asyncio.run(run())


def test_a_connection_that_turns_out_to_say_nothing_is_closed_all_the_same() -> None:
    """Records of TLS that hold no data also wait in the kernel."""

    async def run() -> None:
        with wired(Pool(lambda: None)) as (wire, connection, _):
            connection.retire()
            await asyncio.sleep(RETIRE_SECONDS * 1.5)
            assert wire.closing

    asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "capacity"),
    [(TIMED_OUT, MAX_IDLE), (b"HTTP/1.0 408 \r\n", MAX_IDLE), (b"x", 0), (UNASKED, 0)],
)
def test_a_server_may_say_that_it_waited_too_long(data: bytes, capacity: int) -> None:
    async def run() -> None:
        reports: list[None] = []
        pool: Pool[Any] = Pool(lambda: reports.append(None))
        with wired(pool) as (wire, connection, _):
            sending = asyncio.ensure_future(connection.exchange(attempt()))
            await asyncio.sleep(0)
            wire.say([sized(b"")])
            (await sending).close()
            assert pool == [connection]
            wire.say([data])
            assert wire.closing
            assert pool.capacity == capacity
            assert len(reports) == (capacity == 0)
            await asyncio.sleep(0)

    asyncio.run(run())


def test_a_response_that_breaks_off_is_no_reason_for_distrust() -> None:
    async def run() -> None:
        for raw in (
            b"HTTP/1.1 zz\r\n\r\n",
            sized(b"xx")[:-1] + b"",
            b"junk",
            b"HTTP/1.1 101 x\r\n\r\n",
        ):
            pool: Pool[Any] = Pool(lambda: None)
            with wired(pool) as (wire, connection, _):
                sending = asyncio.ensure_future(connection.exchange(attempt()))
                await asyncio.sleep(0)
                wire.say([raw])
                wire.abort()
                await asyncio.gather(sending, return_exceptions=True)
                assert pool.capacity == MAX_IDLE

    asyncio.run(run())
