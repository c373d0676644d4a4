"""What may be used again and for how long: each bound of the pool, on both of its sides."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from engine.plan.plan import Origin
from engine.upstream import Attempt, RequestHead
from engine.upstream.http1 import pool as pools
from engine.upstream.http1.connection import (
    KEEPALIVE_SECONDS,
    PEER_CLOSE_SECONDS,
    READ_AHEAD,
    RETIRE_SECONDS,
    Connection,
)
from engine.upstream.http1.idle import (
    DISTRUST_SECONDS,
    FIRST_EXCHANGES,
    MAX_AGE_SECONDS,
    MAX_EXCHANGES,
    MAX_IDLE,
)
from engine.upstream.http1.pool import Http1Client
from engine.upstream.http1.request import request_head
from engine.upstream.http1.response import ExchangeState
from tests.integration.upstream.bursts import chunked, sized
from tests.integration.upstream.test_rest import Wire, a_pool, attempt, wired

NOW = 10_000.0


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()
        await asyncio.sleep(0)

    asyncio.run(main())


async def answered(connection: Connection, wire: Wire, raw: bytes = sized(b"")) -> None:
    """Carry one exchange up to its close."""
    sending = asyncio.ensure_future(connection.exchange(attempt()))
    await asyncio.sleep(0)
    wire.say([raw])
    await sending


def test_the_bounds_are_those_that_are_documented() -> None:
    seconds = (KEEPALIVE_SECONDS, MAX_AGE_SECONDS, DISTRUST_SECONDS, PEER_CLOSE_SECONDS)
    assert seconds == (30.0, 60.0, 300.0, 10.0)
    assert (MAX_IDLE, READ_AHEAD, MAX_EXCHANGES) == (256, 64 * 1024, 500)
    assert FIRST_EXCHANGES == (4, 8, 16, 32, 64, 128, 256)


@pytest.mark.parametrize(
    ("rest", "arrived", "is_stale"),
    [
        (0.0, None, False),
        (KEEPALIVE_SECONDS, None, False),
        (KEEPALIVE_SECONDS + 0.001, None, True),
        (0.0, b"x", True),
        (20.0, b"HTTP/1.1 408 Request Timeout\r\n\r\n", True),
        (0.0, b"", True),  # an end of input
    ],
)
def test_a_connection_is_stale_by_rest_and_by_what_the_kernel_knows(
    rest: float, arrived: bytes | None, *, is_stale: bool
) -> None:
    async def scenario() -> None:
        with wired(a_pool()) as (_, connection, there):
            connection.idle_since = NOW - rest
            if arrived:
                there.sendall(arrived)
            elif arrived is not None:
                there.shutdown(socket.SHUT_WR)
            assert connection.is_stale(NOW) is is_stale

    run(scenario)


def test_a_connection_that_is_closing_or_in_use_is_stale() -> None:
    async def scenario() -> None:
        for state in ExchangeState:
            with wired(a_pool()) as (_, connection, _):
                connection.idle_since = NOW
                connection.state = state
                assert connection.is_stale(NOW) is (state is not ExchangeState.IDLE)
        with wired(a_pool()) as (wire, connection, _):
            connection.idle_since = NOW
            wire.closing = True
            assert connection.is_stale(NOW)

    run(scenario)


@pytest.mark.parametrize("spoiled", [None, "unsent", "full", "closing", "pieces"])
def test_only_what_is_complete_on_both_sides_goes_back(spoiled: str | None) -> None:
    async def scenario() -> None:
        pool = a_pool()
        with wired(pool) as (wire, connection, _):
            raw = sized(b"xx") if spoiled == "pieces" else sized(b"")
            await answered(connection, wire, raw)
            if spoiled == "unsent":
                wire.unsent = 1
            connection.pause_writing()
            if spoiled != "full":
                connection.resume_writing()
            if spoiled == "closing":
                wire.closing = True
            before = connection.idle_since
            await asyncio.sleep(0.001)
            connection.close()
            assert pool == ([] if spoiled else [connection])
            assert wire.closing is bool(spoiled)
            assert spoiled or connection.idle_since > before

    run(scenario)


def test_a_pool_holds_so_many_and_drops_the_one_that_rested_longest() -> None:
    async def scenario() -> None:
        pool = a_pool()
        wires = []
        with wired(pool) as (first, connection, _):
            await answered(connection, first)
            connection.close()
            for _ in range(MAX_IDLE):
                wire = Wire(first.get_extra_info("socket"))
                wire.protocol = Connection(asyncio.get_running_loop(), pool)
                wire.protocol.connection_made(wire)
                await answered(wire.protocol, wire)
                wire.protocol.close()
                wires.append(wire)
                assert first.closing is (len(wires) == MAX_IDLE)
            assert pool == [wire.protocol for wire in wires]

    run(scenario)


def test_reading_stops_above_its_bound_and_goes_on_at_half_of_it() -> None:
    async def scenario() -> None:
        with wired(a_pool()) as (wire, connection, _):
            half = READ_AHEAD // 2
            begin = chunked([])[:-5]
            await answered(connection, wire, begin + b"%x\r\n" % half + b"x" * half + b"\r\n")
            wire.say([b"%x\r\n" % half + b"x" * half + b"\r\n"])
            assert vars(wire)["reading"], "exactly as much as may wait"
            wire.say([b"1\r\nx\r\n"])
            assert not vars(wire)["reading"]
            rooms = [asyncio.get_running_loop().create_future() for _ in range(2)]
            waits = iter([rooms[0], None, rooms[1]])
            forwarding = asyncio.ensure_future(connection.forward(lambda _: next(waits, None)))
            for room in rooms:
                await asyncio.sleep(0)
                assert not vars(wire)["reading"], "more than half is left, or the caller reads none"
                room.set_result(None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert vars(wire)["reading"]
            forwarding.cancel()
            connection.abort()

    run(scenario)


def test_the_one_used_last_is_taken_first_and_stale_ones_are_dropped() -> None:
    async def scenario() -> None:
        take = vars(pools)["_take"]
        pool = a_pool()
        with (
            wired(pool) as (old, one, _),
            wired(pool) as (_, two, _),
            wired(pool) as (dead, three, _),
        ):
            pool += [one, two, three]
            one.idle_since -= KEEPALIVE_SECONDS + 1
            two.opened -= MAX_AGE_SECONDS - 1
            left = two.left
            dead.closing = True
            assert take(pool) is two
            assert (two.left, pool) == (left - 1, [one])
            assert take(pool) is None
            assert pool == []
            await asyncio.sleep(RETIRE_SECONDS * 1.5)
            assert old.closing

    run(scenario)


def test_stale_connections_go_without_being_asked_for() -> None:
    async def scenario() -> None:
        client = Http1Client()
        idle = vars(client)["_idle"]
        pool = idle["x"] = a_pool()
        with wired(pool) as (old, one, _), wired(pool) as (new, two, _):
            pool.receive_unsolicited(b"x")
            pool += [one, two]
            one.idle_since -= KEEPALIVE_SECONDS + 1
            client._plan_sweep()
            timer = vars(client)["_sweep"]
            left = timer.when() - asyncio.get_running_loop().time()
            assert 0 < left <= KEEPALIVE_SECONDS / 2
            client._plan_sweep()
            assert vars(client)["_sweep"] is timer, "one at a time"
            vars(pool)["_distrusted_at"] -= DISTRUST_SECONDS
            client._drop_stale()
            assert pool.capacity == MAX_IDLE, "trusted again"
            assert (old.closing, new.closing, pool) == (False, False, [two])
            await asyncio.sleep(2 * RETIRE_SECONDS)
            assert (old.closing, new.closing, pool) == (True, False, [two])
            again = vars(client)["_sweep"]
            assert again not in (None, timer)
            await client.close()
            assert (new.closing, pool, again.cancelled()) == (True, [], True)

    run(scenario)


@pytest.mark.parametrize("bad", [b"a\rb", b"a\nb", b"a\0b", b"a\r\nb: c"])
def test_no_value_can_break_a_head(bad: bytes) -> None:
    origin = Origin("http", "host.test", 81)
    write = request_head
    good = Attempt(RequestHead("POST", origin, b"/p?q", [(b"x", b"1"), (b"y", b"2")]), b"", 3, 1.0)
    wanted = b"POST /p?q HTTP/1.1\r\nhost: host.test:81\r\nx: 1\r\ny: 2\r\n"
    assert write(good) == wanted + b"content-length: 3\r\n\r\n"
    good.length = None
    assert write(good) == wanted + b"transfer-encoding: chunked\r\n\r\n"
    for head in (
        RequestHead("POST", origin, b"/", [(b"x", bad)]),
        RequestHead("POST", origin, b"/", [(bad, b"x")]),
        RequestHead("POST", origin, b"/" + bad, []),
    ):
        with pytest.raises(ValueError, match="a line break"):
            write(Attempt(head, b"", 0, 1.0))
