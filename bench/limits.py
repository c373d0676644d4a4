"""How many of many attempts a store of limits admits, when processes race for the last units.

python -m bench.limits memory 1000000                        four processes share memory
python -m bench.limits redis://127.0.0.1:6379 1000000        six processes; deletes what is in the database
python -m bench.limits memory 100000 --cancelled             requests that end before they are sent

Exits with 1 when other than exactly as many are admitted as there is room for, or something stays held.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from engine.limits.core import Amounts, Refused, Scope
from engine.limits.ledger import Ledger
from engine.limits.redis_store import RedisStore
from engine.limits.resp import command, connect, encode
from engine.limits.store import Grant, Store
from engine.limits.table import SharedMemory, Table
from engine.plan.limit_store import StoreServer
from engine.plan.limits import NANOSECONDS, Budget, CallerLimits, Period, Rate, StorePolicy

PATIENT = 300.0  # seconds for a reply: nothing here may fall back
AT_ONCE = 16
ROOM = 20
BLOCK = 500
MEMORY = "memory"
KINDS = (
    CallerLimits(requests=Rate(ROOM, 3600)),
    CallerLimits(concurrent=ROOM),
    CallerLimits(budgets=(Budget(ROOM, Period.MONTH),)),
    CallerLimits(tokens=Rate(ROOM, 3600)),
    CallerLimits(budgets=(Budget(ROOM, Period.MONTH, is_usd=True),)),
)
CANCELLED = CallerLimits(
    concurrent=50, tokens=Rate(10_000, 60), budgets=(Budget(10_000, Period.MONTH), Budget(NANOSECONDS, Period.MONTH, is_usd=True)),
)  # fmt: skip
ESTIMATE, UNIT = (10, 20, 1000), (1, 0, 1)
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Race:
    """`allowed` is what the limits have room for, all keys together; `seconds` for all attempts.

    `least` and `most` are what was admitted of a key, and `cpu_us` the processor time of the workers for an attempt.
    """

    attempts: int
    admitted: int
    allowed: int
    least: int
    most: int
    seconds: float
    cpu_us: float

    @property
    def is_exact(self) -> bool:
        """Whether each key has admitted exactly what it has room for."""
        return self.least == self.most == ROOM


def race(where: str, workers: int, attempts: int, keys: int) -> Race:
    """Let `workers` processes try `attempts` times in all, on keys that each have a little room."""
    began = time.perf_counter()
    with _Field(where, workers) as field:
        results = field.run(lambda _: _race(field, attempts // workers, keys))
    seconds = time.perf_counter() - began
    every = zip(*(result["admitted"] for result in results), strict=True)
    of_keys = [sum(counts) for counts in every]
    tried = attempts // workers * workers
    cpu = sum(result["cpu"] for result in results) / tried * 1e6
    return Race(tried, sum(of_keys), keys * ROOM, min(of_keys), max(of_keys), seconds, cpu)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Requests that were given up, and how many of them had been admitted; `is_exact`: nothing is held for any."""

    attempts: int
    admitted: int
    is_exact: bool
    seconds: float


def cancelled(where: str, workers: int, attempts: int) -> Cancelled:
    """Let `workers` processes give up `attempts` requests in all, at any moment."""
    began = time.perf_counter()
    with _Field(where, workers) as field:
        results = field.run(lambda number: _cancel(field, number, attempts // workers))
        is_free = asyncio.run(_is_free(field))
    seconds = time.perf_counter() - began
    admitted = sum(result["admitted"] for result in results)
    return Cancelled(attempts // workers * workers, admitted, is_free, seconds)


# -- what one process does -------------------------------------------------------------------------


async def _race(field: "_Field", attempts: int, keys: int) -> None:
    store = await field.store()
    scopes = [[(f"key{n}", KINDS[n % len(KINDS)])] for n in range(keys)]
    left = iter(range(attempts))
    block = min(BLOCK, keys)  # of keys at a time, before a rate of an hour has one more unit
    per_block = max(1, attempts * block // keys)
    admitted = [0] * keys

    async def one() -> None:
        for number in left:
            key = min(number // per_block * block + number % block, keys - 1)
            granted = await _reserve(store, scopes[key])
            if isinstance(granted, Grant):
                admitted[key] += 1
                if key % len(KINDS) != 1:
                    store.settle(granted, UNIT)

    began = time.process_time()
    await _ticking(store, *(one() for _ in range(AT_ONCE)))
    cpu = time.process_time() - began
    await _ticking(store, field.finish({"admitted": admitted, "cpu": cpu}))


async def _cancel(field: "_Field", number: int, attempts: int) -> None:
    store, drawn = await field.store(), random.Random(number)
    scopes, left, count = [("key", CANCELLED)], iter(range(attempts)), Counter[str]()

    async def one() -> None:
        for _ in left:
            asking = asyncio.ensure_future(_hold(store, scopes, drawn.randrange(4), count))
            for _ in range(drawn.randrange(8)):
                await asyncio.sleep(0)
            if drawn.random() < 0.5:  # its reply may have arrived then
                await asyncio.wait([asking], timeout=drawn.random() / 20)
            asking.cancel()
            await asyncio.wait([asking])

    await _ticking(store, *(one() for _ in range(AT_ONCE)))
    for _ in range(3):  # what is on its way has arrived before the reply to this
        await _reserve(store, [(f"last {number}", CallerLimits(requests=Rate(9, 60)))])
    await _ticking(store, field.finish({"admitted": count["admitted"]}))


async def _hold(store: Store, scopes: Sequence[Scope], turns: int, count: Counter[str]) -> None:
    """A request that takes some turns, and is settled as not sent whatever happens."""
    granted = await _reserve(store, scopes, ESTIMATE)
    if isinstance(granted, Refused):
        return
    count["admitted"] += 1
    try:
        for _ in range(turns):
            await asyncio.sleep(0)
    finally:
        store.settle(granted, (0, 0, 0))


async def _is_free(field: "_Field") -> bool:
    """Whether all that CANCELLED allows can be had at once."""
    store = await field.store()
    grants = [await _reserve(store, [("key", CANCELLED)], ESTIMATE) for _ in range(51)]
    held = [grant.held for grant in grants if isinstance(grant, Grant)]
    if isinstance(store, RedisStore):
        await store.close()
    return held == [ESTIMATE] * 50


async def _reserve(
    store: Store, scopes: Sequence[Scope], estimate: Amounts = UNIT
) -> Grant | Refused:
    await asyncio.sleep(0)
    made = store.reserve(scopes, estimate)
    return made if isinstance(made, Grant | Refused) else await made


async def _ticking(store: Store, *work: Awaitable[None]) -> None:
    """Do `work` while the store renews what is held, as in a worker."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(1)
            store.tick()

    ticking = asyncio.ensure_future(tick())
    await asyncio.gather(*work)
    ticking.cancel()


# -- the processes ---------------------------------------------------------------------------------


class _Field:
    """Processes with one memory or server. None of them ends before all have done their part."""

    def __init__(self, where: str, workers: int) -> None:
        self.where, self.workers = where, workers
        self._memory = SharedMemory(workers + 1)
        self._go, self._gone = os.pipe()
        self._writing = -1
        self._children: list[int] = []
        if where != MEMORY:
            asyncio.run(_clear(where))

    def __enter__(self) -> "_Field":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._gone)
        for child in self._children:
            os.waitpid(child, 0)
        self._memory.close()

    async def store(self) -> Store:
        """The store of one process."""
        memory = self._memory if self.where == MEMORY else SharedMemory(1, records=8, leases=8)
        table = Table(memory)
        table.claim_part()
        ledger = Ledger(table)
        if self.where == MEMORY:
            return ledger
        server = StoreServer.of(self.where)
        store = RedisStore(server, StorePolicy.REFUSE, ledger, print, lambda: None, PATIENT)
        await store.start()
        return store

    def run(self, work: Callable[[int], Coroutine[Any, Any, None]]) -> list[Result]:
        """What the processes `finish` with."""
        pipes = [self._fork(number, work) for number in range(self.workers)]
        return [self._result(pipe) for pipe in pipes]

    async def finish(self, result: Result) -> None:
        """Say what has been done, and wait until all others have."""
        await asyncio.to_thread(self._finish, json.dumps(result).encode())

    def _finish(self, result: bytes) -> None:
        with os.fdopen(self._writing, "wb") as file:
            file.write(result)
        os.read(self._go, 1)

    def _fork(self, number: int, work: Callable[[int], Coroutine[Any, Any, None]]) -> int:
        reading, self._writing = os.pipe()
        child = os.fork()
        if child:
            os.close(self._writing)
            self._children.append(child)
            return reading
        try:
            os.close(self._gone)
            asyncio.run(work(number))
        finally:
            os._exit(0)

    def _result(self, pipe: int) -> Result:
        with os.fdopen(pipe, "rb") as file:
            found: Result = json.loads(file.read())
        return found


async def _clear(url: str) -> None:
    made = await connect(StoreServer.of(url), lambda: None)
    await made.send(command(1, encode([b"FLUSHDB"])))
    made.abort()


def main() -> None:
    where, attempts = sys.argv[1], int(sys.argv[2])
    workers = 4 if where == MEMORY else 6
    found: Race | Cancelled
    if "--cancelled" in sys.argv:
        found = cancelled(where, workers, attempts)
    else:
        found = race(where, workers, attempts, keys=max(5, attempts // 100))
    sys.stdout.write(f"{where.partition(':')[0]}: {found}\n")
    sys.exit(not found.is_exact)


if __name__ == "__main__":
    main()
