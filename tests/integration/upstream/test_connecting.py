"""A name with several addresses: one that is silent or refuses costs little (RFC 8305)."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from engine.plan.plan import Origin
from engine.upstream import Attempt, Client, Failure, RequestHead, UpstreamError
from engine.upstream.http1.connecting import DELAY, Address, _drop, interleaved, open_connection
from engine.upstream.http1.pool import Http1Client
from engine.upstream.httpx_client import HttpxClient
from tests.integration.upstream.ending import end
from tests.servers import WAIT

GOOD, SILENT, REFUSING, OTHER = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
TRIES = 20  # since a busy machine takes longer now and then
FAMILIES = (socket.AF_INET, socket.AF_INET6)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """GOOD and OTHER accept on it, SILENT drops what comes, and at REFUSING nobody listens."""
    with contextlib.ExitStack() as sockets:
        good = sockets.enter_context(socket.create_server((GOOD, 0), backlog=64))
        port: int = good.getsockname()[1]
        sockets.enter_context(socket.create_server((OTHER, port), backlog=64))
        full = sockets.enter_context(socket.create_server((SILENT, port), backlog=0))
        full.listen(0)
        for _ in range(4):
            caller = sockets.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex((SILENT, port))
        yield port


def address(host: str, port: int) -> Address:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))


async def connect(hosts: Sequence[str], port: int) -> tuple[str, float]:
    """Which address was taken, and after how long."""

    async def resolve(host: str, port: int) -> Sequence[Address]:
        assert host == "many.test"
        return [address(each, port) for each in hosts]

    started = time.monotonic()
    async with asyncio.timeout(60):
        taken = await open_connection("many.test", port, resolve)
    with taken:
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not taken.getblocking()
        peer: str = taken.getpeername()[0]
    assert len(asyncio.all_tasks()) == 1, "nobody goes on connecting"
    return peer, time.monotonic() - started


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("hosts", "taken", "delays"),
    [
        ([GOOD], GOOD, 0),
        ([GOOD, OTHER], GOOD, 0),
        ([SILENT, GOOD], GOOD, 1),
        ([SILENT, SILENT, OTHER, GOOD], OTHER, 2),
        ([REFUSING, GOOD], GOOD, 0),
        ([REFUSING, REFUSING, REFUSING, GOOD], GOOD, 0),
        ([SILENT, REFUSING, GOOD], GOOD, 1),
        ([REFUSING, SILENT, GOOD], GOOD, 1),
    ],
)
def test_the_next_address_is_tried_in_time(
    port: int, loop: str, hosts: list[str], taken: str, delays: int
) -> None:
    longest = delays * DELAY + 3 * DELAY  # not waited for: who refuses
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        for _ in range(TRIES):
            peer, seconds = runner.run(connect(hosts, port))
            assert peer == taken
            assert seconds >= delays * DELAY * 0.9
            if seconds < longest:
                return
    pytest.fail(f"{TRIES} times it took longer than {longest} s")


@pytest.mark.parametrize("loop", LOOPS)
def test_when_none_accepts_the_first_reason_is_told_and_nothing_is_left(
    port: int, loop: str
) -> None:
    async def run() -> None:
        with pytest.raises(ConnectionRefusedError):
            await connect([REFUSING, REFUSING], port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(DELAY * 1.5):
                await connect([SILENT, REFUSING, SILENT], port)
        with pytest.raises(OSError, match="no address"):
            await connect([], port)
        assert len(asyncio.all_tasks()) == 1

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run())


@given(st.lists(st.tuples(st.sampled_from(FAMILIES), st.integers())))
def test_families_take_turns_and_keep_their_order(drawn: list[tuple[int, int]]) -> None:
    found: list[Any] = [(family, 0, 0, "", number) for family, number in drawn]
    turns = interleaved(found)
    assert sorted(turns) == sorted(found)
    assert turns[:1] == found[:1]
    for family in FAMILIES:
        assert [a for a in turns if a[0] == family] == [a for a in found if a[0] == family]
    fewer = min(sum(a[0] == family for a in found) for family in FAMILIES)
    assert all(turns[i][0] != turns[i + 1][0] for i in range(2 * fewer - 1))


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose resolver knows one name."""

    hosts: Sequence[str] = ()

    async def getaddrinfo(  # type: ignore[override]  # not all of its overloads
        self, _host: Any, port: Any, **more: Any
    ) -> Any:
        return [address(host, port) for host in self.hosts]


@pytest.mark.parametrize("kind", [Http1Client, HttpxClient])
@pytest.mark.parametrize(
    ("hosts", "failure"),
    [
        ([SILENT, GOOD], None),
        ([REFUSING, GOOD], None),
        ([REFUSING, REFUSING], Failure.CONNECT_FAILED),
        ([SILENT, REFUSING], Failure.CONNECT_TIMEOUT),
    ],
)
def test_each_client_comes_through(
    kind: type[Client], hosts: list[str], failure: Failure | None
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")

    async def run(loop: Loop) -> None:
        server = await asyncio.start_server(serve, GOOD, 0)
        number = server.sockets[0].getsockname()[1]
        loop.hosts = hosts
        client = kind()
        with socket.create_server((SILENT, number), backlog=0) as full, socket.socket() as one, socket.socket() as two:  # fmt: skip
            full.listen(0)
            for caller in (one, two):
                caller.setblocking(False)
                caller.connect_ex((SILENT, number))
            limit = 3 * DELAY if failure is Failure.CONNECT_TIMEOUT else WAIT
            attempt = Attempt(RequestHead("GET", Origin("http", "many.test", number), b"/", []), b"", 0, limit)  # fmt: skip
            if failure is None:
                reply = await client.send(attempt)
                assert reply.status == 204
                await end(reply)
            else:
                with pytest.raises(UpstreamError) as caught:
                    await client.send(attempt)
                assert caught.value.failure is failure
        await client.close()
        server.close()
        await asyncio.sleep(0.01)

    loop = Loop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run(loop))


def test_one_that_has_connected_too_late_is_closed() -> None:
    """It may have done so at the moment in which another one was taken."""

    async def run() -> None:
        with socket.socket() as late:
            connected = asyncio.ensure_future(asyncio.sleep(0, late))
            await connected
            await _drop([connected])
            assert late.fileno() == -1

    asyncio.run(run())
