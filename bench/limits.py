"""How many of many attempts a store of limits admits, when workers on several hosts race for the last units.

python -m bench.limits redis://127.0.0.1:6379 1000000     deletes what is in the database
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass

from engine.limits.ledger import Ledger
from engine.limits.redis_store import RedisStore
from engine.limits.resp import command, connect, encode
from engine.limits.store import Grant
from engine.limits.table import SharedMemory, Table
from engine.plan.limit_store import StoreServer
from engine.plan.limits import Budget, CallerLimits, Period, Rate, StorePolicy

PATIENT = 30.0  # seconds for a reply: nothing here may fall back
AT_ONCE = 16
ROOM = 20


@dataclass(frozen=True, slots=True)
class Race:
    """`allowed` is what the limits have room for, all keys together; `seconds` for all attempts."""

    attempts: int
    admitted: int
    allowed: int
    seconds: float
    cpu_us: float


def race(url: str, workers: int, attempts: int, keys: int) -> Race:
    """Let `workers` processes try `attempts` times in all, on keys that each have a little room."""
    asyncio.run(_clear(url))
    parts = [_Part(url, attempts // workers, keys, number) for number in range(workers)]
    began = time.perf_counter()
    pipes = [_fork(part) for part in parts]
    results = [_result(pipe) for pipe in pipes]
    seconds = time.perf_counter() - began
    tried = sum(result["attempts"] for result in results)
    cpu: float = sum(result["cpu"] for result in results) / max(1, tried) * 1e6
    admitted = sum(result["admitted"] for result in results)
    return Race(int(tried), int(admitted), keys * ROOM, seconds, cpu)


@dataclass(frozen=True, slots=True)
class _Part:
    url: str
    attempts: int
    keys: int
    number: int

    def limits(self, key: int) -> CallerLimits:
        kinds = (
            CallerLimits(requests=Rate(ROOM, 3600)),
            CallerLimits(concurrent=ROOM),
            CallerLimits(budgets=(Budget(ROOM, Period.MONTH),)),
        )
        return kinds[key % 3]

    async def run(self) -> dict[str, float]:
        table = Table(SharedMemory(1, records=8, leases=8))
        table.join()
        server = StoreServer.of(self.url)
        store = RedisStore(server, StorePolicy.REFUSE, Ledger(table), print, lambda: None, PATIENT)
        await store.start()
        scopes = [[(f"key{n}", self.limits(n))] for n in range(self.keys)]
        left = iter(range(self.attempts))
        admitted = 0

        async def one() -> None:
            nonlocal admitted
            for number in left:
                made = store.reserve(scopes[number % self.keys], (1, 0))
                granted = made if isinstance(made, Grant) else await made  # type: ignore[misc]
                if isinstance(granted, Grant):
                    admitted += 1
                    if number % self.keys % 3 == 2:
                        store.settle(granted, (1, 0))

        began = time.process_time()
        await asyncio.gather(*(one() for _ in range(AT_ONCE)))
        cpu = time.process_time() - began
        await store.close()
        return {"attempts": self.attempts, "admitted": admitted, "cpu": cpu}


async def _clear(url: str) -> None:
    made = await connect(StoreServer.of(url), lambda: None)
    await made.send(command(1, encode([b"FLUSHDB"])))
    made.abort()


def _fork(part: _Part) -> int:
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return reading
    try:
        os.write(writing, json.dumps(asyncio.run(part.run())).encode())
    finally:
        os._exit(0)


def _result(pipe: int) -> dict[str, float]:
    with os.fdopen(pipe, "rb") as file:
        found: dict[str, float] = json.loads(file.read())
    os.wait()
    return found


def main() -> None:
    url, attempts = sys.argv[1], int(sys.argv[2])
    found = race(url, workers=6, attempts=attempts, keys=max(3, attempts // 10_000))
    sys.stdout.write(f"{found}\n")
    sys.exit(found.admitted != found.allowed)


if __name__ == "__main__":
    main()
