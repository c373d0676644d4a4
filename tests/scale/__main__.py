"""Stop every part of a site under load, one after another, and count what callers lose.

python -m tests.scale [--keep | --short]; with --keep, the figures go to docs/scaling.json and docs/scaling.md.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bench.accounts import revocations
from bench.machine import describe
from engine.accounts.accounts import create_account
from engine.accounts.audit import CLI
from engine.accounts.database import Database, open_database
from engine.accounts.key_limits import KeyLimits
from engine.accounts.keys import create_key
from engine.plan.gateway_key import digest, new_key
from tests.scale import model
from tests.scale.load import Load, ask_at_once
from tests.scale.model import LIMIT, TRIES
from tests.scale.site import Site, site

REPLICAS = 3
SMALL, STREAMS = 24, 12  # callers
AWAY, SHORT_AWAY = 5.0, 2.0  # seconds that the database and Redis are stopped
CALLERS, CALLERS_PAUSE = 16, 0.05  # of each replica, for its CPU: some 300 requests a second
Figures = dict[str, Any]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# -- what happens under load -----------------------------------------------------------------------


async def nothing(_site: Site, away: float) -> int:
    await asyncio.sleep(away * 0.6)
    return 0


async def rolling_restart(site: Site, _away: float) -> int:
    for one in site.replicas:
        assert await asyncio.to_thread(one.drain) == 0
        await asyncio.to_thread(one.start)
        await asyncio.to_thread(site.balancer.wait_for, REPLICAS)
    return 0


async def lost_replica(site: Site, _away: float) -> int:
    """What it had when it was killed may be lost, and nothing else: what was under way just before, and what came since."""
    before = site.balancer.held_by(0)
    site.replicas[0].kill()
    await asyncio.sleep(2)
    lost = before.under_way + site.balancer.held_by(0).so_far - before.so_far
    await asyncio.to_thread(site.replicas[0].start)
    await asyncio.to_thread(site.balancer.wait_for, REPLICAS)
    return lost


async def database_restart(site: Site, away: float) -> int:
    await asyncio.to_thread(site.database.stop)
    await asyncio.sleep(away)
    await asyncio.to_thread(site.database.start)
    await asyncio.to_thread(site.wait_until_well)
    return 0


async def redis_restart(site: Site, away: float) -> int:
    site.redis.close()
    await asyncio.sleep(away)
    await asyncio.to_thread(site.start_redis)
    await asyncio.to_thread(site.wait_until_well)
    return 0


# Each gives how many requests may fail.
EVENTS: dict[str, Callable[[Site, float], Awaitable[int]]] = {
    "nothing happens": nothing,
    "rolling restart of all replicas": rolling_restart,
    "a replica is killed": lost_replica,
    "PostgreSQL is stopped for {away:g} s": database_restart,
    "Redis is stopped for {away:g} s": redis_restart,
}


async def run_events(site: Site, key: str, away: float) -> list[Figures]:
    rows = []
    async with Load(site.balancer.port, key).running(SMALL, STREAMS) as load:
        await asyncio.sleep(1)
        for name, happen in EVENTS.items():
            with load.during() as seen:
                may_fail = await happen(site, away)
                await asyncio.sleep(2)
            rows.append({
                "event": name.format(away=away), "requests": seen.requests, "failed": seen.failures,
                "may fail": may_fail, "longest s": round(seen.longest, 3), "how": seen.failed,
            })  # fmt: skip
            say(json.dumps(rows[-1]))
    return rows


# -- limits, keys, capacity ------------------------------------------------------------------------


async def admitted(site: Site, key: str) -> int:
    found = await ask_at_once(site.balancer.port, key, TRIES, 30)
    assert set(found) == {200, 429}, found
    return found[200]


async def cpu_of_a_request(site: Site, key: str, replicas: int, seconds: float = 5.0) -> float:
    """Microseconds of all processes of the gateways, with everything on and the same load for each.

    With as many requests as one machine takes, what is compared is how full a replica is: a busier
    one serves more requests each time it wakes up. So each has callers of its own, too: a balancer
    deals a burst out to more workers the more replicas there are, and wakes each of them for less.
    """
    async with AsyncExitStack() as running:
        loads = [
            await running.enter_async_context(
                Load(one.port, key).running(CALLERS, 0, CALLERS_PAUSE)
            )
            for one in site.replicas[:replicas]
        ]
        await asyncio.sleep(3)
        with ExitStack() as during:
            every = [during.enter_context(load.during()) for load in loads]
            before = site.cpu()
            await asyncio.sleep(seconds)
            used = site.cpu() - before
            requests = sum(seen.requests for seen in every)
            assert not any(seen.failures for seen in every), every
    return float(used / requests * 1e6)


async def capacity(site: Site, key: str) -> Figures:
    """CPU of a request with one replica and with all, in turn, and the least of each."""
    alone, together = [], []
    for _ in range(3):
        for one in site.replicas[1:]:
            one.drain()
        site.balancer.wait_for(1)
        alone.append(await cpu_of_a_request(site, key, 1))
        for one in site.replicas[1:]:
            one.start()
        site.balancer.wait_for(REPLICAS)
        together.append(await cpu_of_a_request(site, key, REPLICAS))
    return {
        "cpu us, one replica": round(min(alone), 1),
        "cpu us, three replicas": round(min(together), 1),
        "capacity of three to one": round(REPLICAS * min(alone) / min(together), 2),
    }


def connections(database: Database) -> int:
    with database.read() as connection:
        query = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
        return int(connection.execute(text(query)).scalar_one())


async def costs(site: Site, key: str, database: Database, seconds: float = 8.0) -> Figures:
    """What a site asks of the database while nobody calls, and of both stores under load."""
    workers = 2 * REPLICAS
    before = site.database_seconds()
    await asyncio.sleep(seconds)
    idle = (site.database_seconds() - before) / seconds / workers
    async with Load(site.balancer.port, key).running(SMALL, 0) as load:
        await asyncio.sleep(2)
        with load.during() as seen:
            before, redis = site.database_seconds(), site.redis_seconds()
            await asyncio.sleep(seconds)
            busy = (site.database_seconds() - before) / seconds / workers
            redis = site.redis_seconds() - redis
    return {
        "database us a second, idle worker": round(idle * 1e6),
        "database us a second, busy worker": round(busy * 1e6),
        "redis us a request": round(redis / seen.requests * 1e6, 1),
        "database connections of a replica": round((connections(database) - 1) / REPLICAS, 1),
        "MiB of a replica": round(site.memory()),
    }


async def prove(site: Site, database: Database, keys: list[str], *, short: bool) -> Figures:
    with database.write() as connection:
        account = create_account(connection, "load", CLI).id
        limits = KeyLimits(rate_limit_rpm=1_000_000, daily_token_budget=10**12)
        _, key = create_key(connection, account, name="load", actor=CLI, limits=limits)
    figures: Figures = {"date": time.strftime("%Y-%m-%d"), "machine": describe()}
    figures["admitted"] = [await admitted(site, keys[0])]
    figures["events"] = await run_events(site, key, SHORT_AWAY if short else AWAY)
    figures["admitted"].append(await admitted(site, keys[1]))
    say(f"of {TRIES} requests of a key that may send {LIMIT}: {figures['admitted']} admitted")
    ports = [one.port for one in site.replicas]
    delays = await revocations(database, ports, 20)
    figures["revocation s"] = {"p50": round(sorted(delays)[10], 3), "max": round(max(delays), 3)}
    say(json.dumps(figures["revocation s"]))
    if short:
        return figures
    figures["costs"] = await costs(site, key, database)
    say(json.dumps(figures["costs"]))
    figures["capacity"] = await capacity(site, key)
    say(json.dumps(figures["capacity"]))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write docs/scaling.*")
    parser.add_argument(
        "--short", action="store_true", help="only what callers lose, not what it costs"
    )
    options = parser.parse_args()
    keys = [new_key(), new_key()]
    entries = "".join(
        f"  - {{name: k{n}, sha256: {digest(key)}, limits: {{requests: {LIMIT}/h}}}}\n"
        for n, key in enumerate(keys)
    )
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with site(Path(name), REPLICAS, "version: 1\nkeys:\n" + entries) as made:
            database = open_database(made.database.url)
            database.upgrade()
            for one in made.replicas:
                one.start()
            made.balancer.wait_for(REPLICAS)
            figures = asyncio.run(prove(made, database, keys, short=options.short))
            database.close()
    if options.keep:
        model.FIGURES.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
        model.write_page(figures)
    found = model.problems(figures)
    for problem in found:
        say(f"scale: {problem}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
