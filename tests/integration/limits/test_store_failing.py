"""A store of limits that is dead or slow costs a request some milliseconds, and then nothing."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from engine.limits.core import Refused
from engine.limits.ledger import Ledger
from engine.limits.redis_store import RedisStore
from engine.limits.specs import spec_of
from engine.limits.store import Grant, UnavailableError
from engine.limits.store_client import FAILURES
from engine.limits.table import SharedMemory, Table
from engine.limits.windows import Windows
from engine.plan.limit_store import STORE_TIMEOUT, StoreServer
from engine.plan.limits import CallerLimits, Rate, StorePolicy
from tests.ports import free_port

KEY = [("key", CallerLimits(requests=Rate(60, 60), concurrent=50))]
SLOW = 20.0
NOW = 1_790_000_000_000_000


def packed_reply(word: bytes, *numbers: int) -> bytes:
    return word + struct.pack(f"<{len(numbers)}q", *numbers)


def bulk(word: bytes, *numbers: int) -> bytes:
    """A reply of the script on the wire."""
    text = packed_reply(word, *numbers)
    return b"$%d\r\n%b\r\n" % (len(text), text)


@dataclass
class Fake:
    """A server of which the probe works but for `write`, and that replies to each script after `seconds` or with `reply`."""

    seconds: float = 0.0
    reply: bytes = b""
    commands: list[bytes] = field(default_factory=list)
    port: int = 0
    write: bytes = b"+OK\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            parts = []
            for _ in range(int(line[1:])):
                length = int((await reader.readline())[1:])
                parts.append((await reader.readexactly(length + 2))[:-2])
            self.commands.append(parts[0])
            if parts[0] == b"SCRIPT":
                writer.write(b"$40\r\n" + b"0" * 40 + b"\r\n")
            elif parts[0] == b"SET":
                writer.write(self.write)
            else:
                await asyncio.sleep(self.seconds)
                writer.write(self.reply or b"+PONG\r\n")


@asynccontextmanager
async def fake(seconds: float = 0.0, reply: bytes = b"", port: int = 0) -> AsyncIterator[Fake]:
    made = Fake(seconds, reply)
    tasks = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            await made.serve(reader, writer)
        except (asyncio.CancelledError, OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.sleep(0.01)


@dataclass
class Stand:
    port: int
    policy: StorePolicy = StorePolicy.LOCAL
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        table = Table(SharedMemory(1, records=64, leases=64))
        table.use_part(0)
        server = StoreServer.of(f"redis://127.0.0.1:{self.port}")
        self.store = RedisStore(server, self.policy, Ledger(table), self.log.append, lambda: None)

    async def reserve(self) -> Grant | Refused:
        made = self.store.reserve(KEY, (1, 1))
        return made if isinstance(made, Grant | Refused) else await made


async def up(store: RedisStore) -> None:
    """Tick until the store is used again."""
    while store.status != "ok":
        store.tick()
        await asyncio.sleep(0.01)


async def counted_there(stand: Stand) -> Grant:
    """A request that the store has counted, which on a busy machine may not reply to the first in time."""
    async with asyncio.timeout(20):
        while True:
            made = await stand.reserve()
            assert isinstance(made, Grant)
            if isinstance(made.lease, str):
                return made
            await up(stand.store)


def test_a_slow_store_costs_some_requests_little_and_the_others_nothing() -> None:
    async def run() -> None:
        async with fake(SLOW) as slow:
            stand = Stand(slow.port)
            await stand.store.start()
            assert stand.store.status == "ok"
            for _ in range(FAILURES):
                began = time.perf_counter()
                made = await stand.reserve()
                took = time.perf_counter() - began
                assert isinstance(made, Grant)
                assert isinstance(made.lease, int), "counted in memory"
                assert STORE_TIMEOUT <= took < SLOW / 10
            assert stand.store.status == "local"
            sent = len(slow.commands)
            assert isinstance(stand.store.reserve(KEY, (1, 1)), Grant), "without waiting"
            assert len(slow.commands) == sent
            assert len(stand.log) == 1
            assert "(timeout): each host counts alone" in stand.log[0]
            await stand.store.close()

    asyncio.run(run())


def test_requests_do_not_queue_on_a_slow_store() -> None:
    async def run() -> None:
        async with fake(SLOW) as slow:
            stand = Stand(slow.port)
            await stand.store.start()
            began = time.perf_counter()
            made = await asyncio.gather(*(stand.reserve() for _ in range(100)))
            assert time.perf_counter() - began < SLOW / 10
            grants = [one for one in made if isinstance(one, Grant)]
            assert len(grants) == 50, "the limit holds meanwhile"
            await stand.store.close()

    asyncio.run(run())


def test_a_settlement_waits_for_no_reply_nor_does_a_stop_for_long() -> None:
    async def run() -> None:
        async with fake(reply=bulk(b"ok ", NOW, 1, 1, 0, 0)) as odd:
            stand = Stand(odd.port)
            await stand.store.start()
            grants = [await counted_there(stand) for _ in range(3)]
            odd.seconds = SLOW
            for grant in grants:
                stand.store.settle(grant, (1, 1))
            async with asyncio.timeout(SLOW / 2):
                await stand.store.close()

    asyncio.run(run())


def test_a_store_that_is_away_is_used_once_it_is_there() -> None:
    async def run() -> None:
        port = free_port()
        stand = Stand(port)
        await stand.store.start()
        assert stand.store.status == "local"
        held = await stand.reserve()
        assert isinstance(held, Grant)
        async with fake(reply=bulk(b"ok ", NOW, 1, 1, 0, 0), port=port):
            await up(stand.store)
            made = stand.store.reserve(KEY, (1, 1))
            assert not isinstance(made, Grant | Refused)
            granted = await made
            assert isinstance(granted, Grant)
            assert isinstance(granted.lease, str)
            stand.store.settle(held, (1, 1))  # where it was counted
            await stand.store.close()
        assert len(stand.log) == 2
        assert stand.log[1] == "the store of limits works again"

    asyncio.run(run())


def test_a_store_that_ends_in_the_middle_is_not_waited_for() -> None:
    async def run() -> None:
        async with fake(SLOW) as slow:
            stand = Stand(slow.port)
            await stand.store.start()
            waiting = asyncio.ensure_future(stand.reserve())
            await asyncio.sleep(0.005)
        assert isinstance(await waiting, Grant)
        while stand.store.status == "ok":  # noqa: ASYNC110 no event
            await asyncio.sleep(0.01)
        await stand.store.close()

    asyncio.run(run())


@pytest.mark.parametrize("policy", [StorePolicy.REFUSE, StorePolicy.ALLOW])
def test_the_policy_says_what_is_done_while_it_fails(policy: StorePolicy) -> None:
    async def run() -> None:
        stand = Stand(free_port(), policy)
        await stand.store.start()
        assert stand.store.status == policy
        if policy is StorePolicy.REFUSE:
            with pytest.raises(UnavailableError):
                await stand.reserve()
        else:
            for _ in range(100):
                assert isinstance(await stand.reserve(), Grant)
        assert stand.store.errors == (1 if policy is StorePolicy.REFUSE else 100)
        await stand.store.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "reply",
    [
        b"-READONLY no\r\n", b"-OOM\r\n", b"*1\r\n:1\r\n", b"$4\r\nwhat\r\n", b"-NOSCRIPT no\r\n",
        b"+stale 1790000000000000\r\n", bulk(b"stale ", NOW), bulk(b"ok ", NOW, 1), bulk(b"odd ", NOW, 1, 2, 3),
        bulk(b"ok ", -1, 0, 0, 0, 0, 0, 0), bulk(b"ok", NOW, 0, 0, 0, 0, 0, 0),
    ],
)  # fmt: skip
def test_what_is_no_reply_of_the_script_counts_as_a_failure(reply: bytes) -> None:
    async def run() -> None:
        async with fake(reply=reply) as odd:
            stand = Stand(odd.port)
            await stand.store.start()
            for _ in range(FAILURES):
                made = await stand.reserve()
                assert isinstance(made, Grant)
                assert isinstance(made.lease, int)
            assert stand.store.status == "local"
            await stand.store.close()

    asyncio.run(run())


@pytest.mark.parametrize("why", ["READONLY", "OOM", "NOPERM"])
def test_a_store_that_writes_nothing_is_not_used_again_until_it_does(why: str) -> None:
    """It would fail a few requests in each second, and be said to work between them."""

    async def run() -> None:
        async with fake(reply=bulk(b"ok ", NOW, 0, 0, 0, 0, 0, 0)) as odd:
            stand = Stand(odd.port)
            odd.write = f"-{why} no\r\n".encode()
            await stand.store.start()
            for _ in range(5):
                assert stand.store.status == "local"
                stand.store.tick()
                await asyncio.sleep(0.01)
            odd.write = b"+OK\r\n"
            async with asyncio.timeout(20):
                await up(stand.store)
            assert [line.partition(":")[0] for line in stand.log] == [
                f"the store of limits fails ({why})", "the store of limits works again",
            ]  # fmt: skip
            await stand.store.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "reply", [b"what", b"ok 1", b"ok ", packed_reply(b"ok ", NOW), packed_reply(b"ok ", NOW, 1, 2)]
)
def test_a_late_reply_that_cannot_be_read_raises_nothing(reply: bytes) -> None:
    stand = Stand(1)
    stand.store._release_late((spec_of(KEY, Windows(), 0), "lease"), reply)
