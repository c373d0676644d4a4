"""Callers that leave a real gateway at every stage of a request, and what its limits admit after that.

python -m tests.leaving memory 100000
python -m tests.leaving redis://127.0.0.1:6379 100000      deletes what is in the database

The key has a limit of requests at once, and budgets of tokens and of US dollars. When all callers have left, as many
requests at once are admitted as by a new gateway, and of budgets exactly what the access log does not account for.
Exits with 1 when more or fewer are admitted.
"""

import asyncio
import random
import re
import signal
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from engine.gateway.record import Record
from engine.gateway.response.usage import estimated_input
from engine.plan.prices import NANO
from engine.server.hooks.cost_limits import used_cost
from engine.server.hooks.limit_permits import used_tokens
from tests.leaving_site import CONCURRENT, OUTPUT, USAGE, Upstream, request, site, slow_store
from tests.servers import Server

CALLERS = 32  # at once
PATIENT = 60.0  # seconds; nothing here is about time
TOKENS = sum(USAGE.values())  # of a whole response
PRICE = 1000  # billionths of a dollar for a token
MORE = 3  # whole responses that the budgets have room for in the end
WAITS = {
    "soon": 0.002,
    "later": 0.1,
}  # seconds at most, while it is admitted or waits for its response
READS = {  # also of a refusal
    "first": re.compile(rb"\r\n\r\n"),
    "middle": re.compile(rb"word 2|error"),
    "last": re.compile(rb"\r\n0\r\n\r\n$|}}$"),
}
STAGES = "head", "body", "sent", "soon", "later", "first", "middle", "last"


@dataclass
class Field:
    """A gateway, its upstream and its callers."""

    server: Server
    upstream: Upstream
    keys: Callable[[int, int], None]  # writes the budgets of the key
    answered: set[str] = field(default_factory=set)  # ids of the requests that were asked whole

    async def leave(self, stage: str, drawn: random.Random) -> None:
        """Leave one request at this stage."""
        model = {"first": "m-flow", "middle": "m-flow"}.get(stage) or drawn.choice(["m-json", "m-slow", "m-flow"])  # fmt: skip
        head, body = request(model)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            if stage == "head":
                writer.write(head[: drawn.randrange(1, len(head))])
            elif stage == "body":
                writer.write(head + body[: drawn.randrange(len(body))])
            else:
                writer.write(head + body)
                await self._read_until(stage, reader, drawn.random())
        finally:
            if drawn.random() < 0.5:  # by a reset, or else in order
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _read_until(self, stage: str, reader: asyncio.StreamReader, seconds: float) -> None:
        """Wait `seconds` before the caller leaves, or until it has got so much."""
        if stage in WAITS:
            await asyncio.sleep(seconds * WAITS[stage])
        got = b""
        while stage in READS and not READS[stage].search(got):
            part = await reader.read(4096)
            got += part
            if not part:
                break

    async def ask(self, model: str) -> tuple[int, str]:
        """The status and the code of the error of a whole response."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        head, body = request(model, b"connection: close\r\n")
        writer.write(head + body)
        got = await reader.read()
        writer.close()
        self.answered.add(_header(got, b"x-engine-request-id"))
        return int(got[9:12]), _header(got, b"x-engine-error")

    async def used(self) -> tuple[int, int]:
        """Tokens and billionths of a dollar that the access log accounts for.

        The log is in the order in which requests end, so it is whole when all that were answered are in it.
        """
        end = time.monotonic() + PATIENT
        while self.answered - {r["request_id"] for r in self.server.records}:
            assert time.monotonic() < end, "responses without a record"
            await asyncio.sleep(0.05)
        tokens = cost = 0
        for fields in self.server.records:
            record = msgspec.convert(fields, Record)
            estimate = estimated_input(record.bytes_in), OUTPUT
            tokens += sum(used_tokens(record, estimate))
            cost += used_cost(record, sum(estimate) * PRICE)
        return tokens, cost


def _header(response: bytes, name: bytes) -> str:
    return response.partition(name + b": ")[2].partition(b"\r\n")[0].decode()


@dataclass(frozen=True)
class Found:
    """How many were admitted at once, and by the budgets in the end; `records` are requests by how they ended."""

    at_once: int
    by_tokens: int
    by_usd: int
    seconds: float
    records: dict[str, int]

    @property
    def is_exact(self) -> bool:
        return (self.at_once, self.by_tokens, self.by_usd) == (CONCURRENT, MORE, MORE)


async def leave_all(found: Field, count: int, seed: int) -> Found:
    """Let `count` callers leave, and count what is admitted then."""
    began, left = time.monotonic(), iter(range(count))

    async def one(drawn: random.Random) -> None:
        for number in left:
            with suppress(OSError):
                await found.leave(STAGES[number % len(STAGES)], drawn)

    await asyncio.gather(*(one(random.Random(seed + n)) for n in range(CALLERS)))
    seconds = time.monotonic() - began
    at_once = await _at_once(found)
    by_tokens = await _by_budget(found, is_usd=False)
    by_usd = await _by_budget(found, is_usd=True)
    await found.used()
    ends = Counter(f"{r['outcome']}, {r['attempts']} attempts" for r in found.server.records)
    return Found(at_once, by_tokens, by_usd, seconds, dict(ends))


async def _at_once(found: Field) -> int:
    """How many requests are admitted at once, when nothing is under way any more."""
    asked = CONCURRENT + 1
    end = time.monotonic() + PATIENT
    while True:
        before, found.upstream.released = found.upstream.hanging, asyncio.Event()
        asking = [asyncio.ensure_future(found.ask("m-hang")) for _ in range(asked)]
        while time.monotonic() < end:
            refused = sum(task.done() for task in asking)
            if refused + found.upstream.hanging - before >= asked:
                break
            await asyncio.sleep(0.01)
        found.upstream.released.set()
        statuses = Counter([status for status, _ in await asyncio.gather(*asking)])
        if statuses[200] >= CONCURRENT or time.monotonic() > end:
            return statuses[200]
        await asyncio.sleep(0.05)


async def _by_budget(found: Field, *, is_usd: bool) -> int:
    """How many whole responses a budget has room for that is MORE of them larger than what was used."""
    tokens, cost = await found.used()
    if is_usd:
        found.keys(NANO, cost + MORE * TOKENS * PRICE)
    else:
        found.keys(tokens + MORE * TOKENS, 10**15)
    await asyncio.to_thread(_reload, found.server)
    admitted, end = 0, time.monotonic() + PATIENT
    while time.monotonic() < end:
        status, code = await found.ask("m-json")
        admitted += status == 200
        if code == "budget_exceeded" or admitted > MORE:
            break
    return admitted


def _reload(server: Server) -> None:
    count = server.text.count("reloaded")
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + PATIENT
    while server.text.count("reloaded") == count and time.monotonic() < end:
        time.sleep(0.01)


async def play(where: str, count: int, folder: Path, seed: int = 1) -> Found:
    """Let `count` callers leave a gateway whose limits are counted in memory, or in the store at `where`."""
    upstream = Upstream()
    listening = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.port = listening.sockets[0].getsockname()[1]
    async with slow_store(where):
        with site(folder, where, upstream.port) as (server, keys):
            found = await leave_all(Field(server, upstream, keys), count, seed)
    listening.close()
    return found


def main() -> int:
    where, count = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as place:
        found = asyncio.run(play(where, count, Path(place)))
    sys.stdout.write(f"{where.partition(':')[0]}: {count} callers left: {found}\n")
    return not found.is_exact


if __name__ == "__main__":
    sys.exit(main())
