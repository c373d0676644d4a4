"""Twice as much as the gateway may take: how soon it refuses, and what that costs the others.

    python -m tests.overload 20        seconds for each of the two phases; part of `make soak`

The upstream takes 200 ms; 32 requests may run and 32 wait. First 64 callers ask one after another,
which keeps every place taken; then twice as many requests are begun as can be served, whatever
becomes of them. Times are those of the callers, over kept connections, and those of the records.
"""

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.server.test_overload import PROVIDERS, ROUTES, SECONDS, Slow, raw
from tests.listening import listening
from tests.servers import Server, gateway, write_keys

PLACES = 32
LIMIT_MS = 50.0
SLOWER = 1.25  # what an accepted request may take in the second phase, of the first
CALL = raw("crowd")


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


@dataclass
class Times:
    """Milliseconds until the whole answer, of what was served and what was refused."""

    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    other: list[bytes] = field(default_factory=list)

    def add(self, head: bytes, ms: float) -> None:
        known = {b" 200 ": self.served, b" 503 ": self.refused}
        known.get(head[8:13], []).append(ms)
        self.other += [head] if head[8:13] not in known else []


class Callers:
    """Requests over kept connections; one that is free is used again."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, times: Times) -> None:
        pair = (
            self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
        )
        started = time.perf_counter()
        pair[1].write(CALL)
        head = await pair[0].readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        await pair[0].readexactly(length)
        times.add(head, (time.perf_counter() - started) * 1000)
        self.free.append(pair)

    async def at_capacity(self, seconds: float) -> Times:
        times, end = Times(), time.monotonic() + seconds

        async def one() -> None:
            while time.monotonic() < end:
                await self.ask(times)

        await asyncio.gather(*(one() for _ in range(2 * PLACES)))
        return times

    async def at_twice(self, seconds: float) -> Times:
        times, tasks, started = Times(), [], time.monotonic()
        rate = 2 * PLACES / SECONDS
        for number in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
            tasks.append(asyncio.ensure_future(self.ask(times)))
        await asyncio.gather(*tasks)
        return times

    async def run(self, seconds: float) -> tuple[Times, Times]:
        await self.at_capacity(1)
        return await self.at_capacity(seconds), await self.at_twice(seconds)


def spread(values: list[float]) -> str:
    ranked = sorted(values)
    p50, p99 = (ranked[int(len(ranked) * share)] for share in (0.5, 0.99))
    return f"{len(ranked):>6}  p50 {p50:6.1f}  p99 {p99:6.1f}  max {ranked[-1]:6.1f} ms"


def verdict(server: Server, calm: Times, crowd: Times) -> list[str]:
    """What is wrong; prints the figures on the way."""
    own = [r["ms_total"] for r in server.records if r["error"] == "overloaded"]
    say(f"served, at capacity          {spread(calm.served)}")
    say(f"served, at twice as much     {spread(crowd.served)}")
    say(f"refused, at twice as much    {spread(crowd.refused)}")
    say(f"refused, by the records      {spread(own)}")
    p99 = [sorted(times.served)[int(len(times.served) * 0.99)] for times in (calm, crowd)]
    checks = {
        "an answer is neither 200 nor 503": bool(calm.other or crowd.other),
        "a refusal took 50 ms in the gateway": max(own) >= LIMIT_MS,
        "a hundredth of the refusals took 50 ms": sorted(crowd.refused)[int(len(crowd.refused) * 0.99)] >= LIMIT_MS,
        "what is served takes longer than at capacity": p99[1] > p99[0] * SLOWER,
    }  # fmt: skip
    return [words for words, is_wrong in checks.items() if is_wrong]


def main(seconds: float) -> int:
    """Run it; 0 when all is well."""
    folder = Path(tempfile.mkdtemp(prefix="overload-"))
    with listening(Slow().serve) as port:
        (folder / "routes.yaml").write_text(ROUTES)
        places = PROVIDERS.replace(
            "in_flight: 8, queue: 8", f"in_flight: {PLACES}, queue: {PLACES}"
        )
        (folder / "providers.yaml").write_text(places.replace("PORT", str(port)))
        write_keys(folder)
        with gateway(folder, folder / "log") as server:
            calm, crowd = asyncio.run(Callers(server.port).run(seconds))
            time.sleep(0.2)  # for the last records
            problems = verdict(server, calm, crowd)
    say("verdict: " + ("; ".join(problems) or "what is too much is refused at once, and the rest is served as before"))  # fmt: skip
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 20))
