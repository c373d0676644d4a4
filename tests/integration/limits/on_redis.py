"""Limits in Redis: the script, the memory and a simple model agree over any history; `make test-redis`."""

import asyncio
import copy
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from engine.limits import redis_store
from engine.limits.core import Refused
from engine.limits.redis_store import LEASE_SECONDS, RENEW_SECONDS, RedisStore
from engine.limits.resp import LimitStoreError, RedisConnection, command, connect, encode
from engine.limits.store import Grant
from engine.limits.table import SharedMemory
from engine.plan.limit_store import StoreServer
from engine.plan.limits import Budget, CallerLimits, Period, Rate, StorePolicy
from tests.redis_server import VARIABLE
from tests.unit.limits.test_ledger import (
    AMOUNTS,
    SCOPES,
    History,
    Model,
    Three,
    least,
    new_ledger,
    told,
)

URL = os.environ.get(VARIABLE, "")
HOUR = 3_600_000  # milliseconds after which an expired lease is forgotten
PATIENT = 30.0  # seconds: nothing here is about time
CLOCK = redis_store.SCRIPT.replace(
    b"redis.call('TIME')", b"cjson.decode(redis.call('GET','clock'))"
)
assert CLOCK != redis_store.SCRIPT


@dataclass
class SharedModel:
    """A scope in Redis: its rates go by the clock of the server, which may be set back."""

    model: Model
    passed: int = 10**15  # nanoseconds, as of `at`
    at: int = 0  # milliseconds of the clock at the last write
    due: dict[int, int] = field(default_factory=dict)  # when leases expire

    def time(self, now: int) -> int:
        return self.passed + max(0, now - self.at) * 1_000_000

    def rooms(self, now: int) -> dict[str, int] | None:
        return copy.deepcopy(self.model).rooms(self.time(now), now / 1000)

    def refusals(self, now: int) -> list[tuple[int, str]]:
        return list(copy.deepcopy(self.model).refusals(self.time(now), now / 1000))

    def left(self, now: int) -> list[tuple[str, tuple[int, int]]]:
        return list(copy.deepcopy(self.model).left(self.time(now), now / 1000))

    def meet(self, limits: CallerLimits, now: int) -> None:
        if self.model.meet(limits, self.time(now)):
            self.written(now)

    def written(self, now: int) -> None:
        self.passed, self.at = self.time(now), now
        for bucket in self.model.rates.values():
            bucket.free(self.passed)


class SharedHistory(History):
    """The same history in memory and in Redis; more happens to the latter."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.loop = asyncio.new_event_loop()
        self.shared = {name: SharedModel(Model(limits)) for name, limits in SCOPES.items()}
        self.control: RedisConnection = self.run(connect(StoreServer.of(URL), lambda: None))
        self.ask(b"FLUSHALL")
        self.set_server(0)
        self.stores = [self.new_store() for _ in range(3)]
        self.leased: list[tuple[int, int, Grant]] = []
        self.renewed: dict[int, int] = {}
        self.number = 0
        self.expired: dict[int, int] = {}  # when that was noticed, milliseconds of the clock
        self.forgotten: set[int] = set()  # leases that nothing is counted for any more

    def teardown(self) -> None:
        assert self.lasting() == 0, "a key without an end would count for ever"
        for store in self.stores:
            self.run(store.close())
        self.control.abort()
        self.run(asyncio.sleep(0))
        self.loop.close()

    def lasting(self) -> int:
        """How many keys never expire, but for the clock."""
        count = b"local n = 0; for _, key in ipairs(redis.call('KEYS', 'orqen:*')) do if redis.call('TTL', key) < 0 then n = n + 1 end end; return tostring(n)"
        return int(self.ask(b"EVAL", count, b"0"))

    def run(self, made: Any) -> Any:
        return self.loop.run_until_complete(made)

    def ask(self, *parts: bytes) -> bytes:
        async def asking() -> bytes:
            return await self.control.send(command(len(parts), encode(parts)))

        reply: bytes = self.run(asking())
        return reply

    @property
    def clock(self) -> int:
        """Milliseconds, by the server."""
        return round(self.wall * 1000)

    def set_server(self, seconds: float) -> None:
        seconds_now, rest = divmod(self.clock, 1000)
        self.ask(b"SET", b"clock", b"[%d,%d]" % (seconds_now, rest * 1000))

    def new_store(self) -> RedisStore:
        local = new_ledger(SharedMemory(1, records=1, leases=1))
        store = RedisStore(
            StoreServer.of(URL), StorePolicy.REFUSE, local, print, lambda: None, PATIENT, CLOCK,
            lambda: self.wall,
        )  # fmt: skip
        self.run(store.start())
        assert store.status == "ok"
        return store

    # -- what both do ------------------------------------------------------------------------------

    @rule(
        worker=st.integers(0, 2),
        names=st.sets(st.sampled_from(sorted(SCOPES)), min_size=1, max_size=4),
        estimate=st.tuples(st.integers(0, 400), st.integers(0, 700), st.integers(0, 900)),
    )
    def reserve(self, worker: int, names: set[str], estimate: Three) -> None:
        super().reserve(worker, names, estimate)
        made = self.stores[worker].reserve(self.scopes(names), estimate)
        assert not isinstance(made, Grant | Refused)
        self.expect(worker, names, estimate, self.run(made))

    def scopes(self, names: set[str]) -> list[Any]:
        return [(f"@a/{name}", self.limits[name]) for name in sorted(names)]

    def expect(self, worker: int, names: set[str], estimate: Three, made: Grant | Refused) -> None:
        if any(SCOPES[name].holds for name in names):
            self.expire()
        for name in names:
            self.shared[name].meet(self.limits[name], self.clock)
        rooms = [self.shared[name].rooms(self.clock) for name in names]
        assert isinstance(made, Refused) == (None in rooms), (made, rooms)
        of_names = [self.shared[name] for name in sorted(names)]
        if isinstance(made, Refused):
            refusals = [
                (*each, shared.model.limits)
                for shared in of_names
                for each in shared.refusals(self.clock)
            ]
            assert made.wait == max(wait for wait, _, _ in refusals)
            assert (made.wait, made.kind, made.scope[1]) in refusals
            assert told(made) == self.shared_least(of_names)
            return
        free = {
            kind: min((r[kind] for r in rooms if r and kind in r), default=1 << 60)
            for kind in ("tokens", "input_tokens", "output_tokens", "cost")
        }
        inputs = min(estimate[0], free["input_tokens"], free["tokens"])
        outputs = min(estimate[1], free["output_tokens"], free["tokens"] - inputs)
        assert made.held == (inputs, outputs, min(estimate[2], free["cost"]))
        self.number += 1
        for name in names:
            scope = self.shared[name]
            scope.written(self.clock)
            if scope.model.limits.requests is not None:
                scope.model.rates["requests"].level += 1
            if made.lease is not None:
                scope.model.held[self.number] = made.held
                scope.due[self.number] = self.clock + LEASE_SECONDS * 1000
        assert told(made) == self.shared_least(of_names)
        self.renewed[self.number] = self.clock
        self.leased.append((worker, self.number, made))

    def shared_least(self, models: Sequence[SharedModel]) -> dict[str, tuple[int, int]]:
        return least([each for model in models for each in model.left(self.clock)])

    def expire(self) -> None:
        gone = {n for s in self.shared.values() for n, due in s.due.items() if due <= self.clock}
        if gone:
            late = {n for n, at in self.expired.items() if at < self.clock - HOUR}
            self.forgotten |= late
            self.expired = dict.fromkeys(gone, self.clock) | {
                n: at for n, at in self.expired.items() if n not in late
            }
        for scope in self.shared.values():
            mine = gone & scope.due.keys()
            if mine:
                scope.written(self.clock)
            for number in mine:
                del scope.due[number], scope.model.held[number]

    @rule(
        which=st.integers(0, 99),
        used=AMOUNTS,
        times=st.integers(1, 2),
    )
    def settle(self, which: int, used: Three, times: int = 1) -> None:
        """What is sent twice, since no reply has come, counts once."""
        super().settle(which, used)
        if not self.leased:
            return
        worker, number, grant = self.leased.pop(which % len(self.leased))
        self.drain(worker, *[partial(self.stores[worker].settle, grant, used)] * times)
        if grant.lease is None or number in self.forgotten:
            return
        for name, limits in grant.scopes:
            scope = self.shared[name.removeprefix("@a/")]
            scope.model.held.pop(number, None)
            scope.due.pop(number, None)
            scope.written(self.clock)
            scope.model.use(limits, used, scope.passed, self.wall)

    def drain(self, worker: int, *calls: Callable[[], None]) -> None:
        """Wait until all that is sent by `calls` has its reply."""

        async def draining() -> None:
            store = self.stores[worker]
            for call in calls:
                call()
            for _ in range(3):  # what was stale is sent again
                await store._client.send(command(1, encode([b"PING"])))
                store._send_unsettled()
            await store._client.send(command(1, encode([b"PING"])))

        self.run(draining())

    @rule(worker=st.integers(0, 2))
    def die(self, worker: int) -> None:
        """In Redis its leases stay until they expire."""
        super().die(worker)
        self.run(self.stores[worker].close())
        self.stores[worker] = self.new_store()
        self.leased = [entry for entry in self.leased if entry[0] != worker]

    @rule(milliseconds=st.one_of(st.integers(0, 40_000), st.integers(0, 4_000_000)))
    def wait(self, milliseconds: int) -> None:
        super().wait(milliseconds)
        self.wall = round(self.wall, 3)
        self.set_server(0)

    @rule(hours=st.integers(-40, 40))
    def set_clock(self, hours: int) -> None:
        super().set_clock(hours)
        self.set_server(0)

    # -- what only happens to the store ------------------------------------------------------------

    @rule(worker=st.integers(0, 2))
    def renew(self, worker: int) -> None:
        self.drain(worker, self.stores[worker].tick)
        for owner, number, grant in self.leased:
            age = self.clock - self.renewed[number]
            if owner == worker and grant.lease and not 0 <= age < RENEW_SECONDS * 1000:
                self.renewed[number] = self.clock
                for scope in self.shared.values():
                    if number in scope.due:
                        scope.due[number] = self.clock + LEASE_SECONDS * 1000

    @rule(worker=st.integers(0, 2), turns=st.integers(0, 4), is_late=st.booleans())
    def cancel(self, worker: int, turns: int, is_late: bool) -> None:
        """A caller leaves while its request waits for the reply: nothing is held for it afterwards."""
        names = {"model"}

        async def leave() -> Grant | Refused | None:
            made = self.stores[worker].reserve(self.scopes(names), (3, 3, 3))
            assert not isinstance(made, Grant | Refused)
            task = asyncio.ensure_future(made)
            for _ in range(turns):
                await asyncio.sleep(0)
            if is_late:  # the reply is there, and the task has not run since
                while self.stores[worker]._client._connection._waiting:  # type: ignore[union-attr] # noqa: ASYNC110 no event
                    await asyncio.sleep(0)
            task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                return None

        made = self.run(leave())
        self.drain(worker)
        if made is not None:
            self.expect(worker, names, (3, 3, 3), made)
            return
        if turns == 0 or not self.has_script():  # nothing was sent, or the server did not know it
            return
        self.expire()
        self.shared["model"].meet(self.limits["model"], self.clock)
        if self.shared["model"].rooms(self.clock) is not None:
            self.shared["model"].written(self.clock)

    def has_script(self) -> bool:
        try:
            self.ask(b"EVALSHA", self.stores[0]._client.sha, b"0")
        except LimitStoreError as error:  # of any other kind: it has no arguments
            return str(error) != "NOSCRIPT"
        raise AssertionError

    @rule()
    def forget_script(self) -> None:
        self.ask(b"SCRIPT", b"FLUSH")


SharedHistory.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, print_blob=True
)
TestSharedHistory = SharedHistory.TestCase


def test_a_call_that_is_cancelled_while_the_server_has_no_script_changes_nothing() -> None:
    history = SharedHistory()
    history.begin()
    try:
        history.reserve(0, {"model"}, (0, 0, 0))
        history.settle(0, (259, 500, 0))
        history.forget_script()
        history.set_clock(1)
        history.cancel(0, 1, is_late=False)
        history.set_clock(-1)
        history.reserve(0, {"model"}, (42, 0, 0))
    finally:
        history.teardown()


def test_a_settlement_counts_for_an_hour_after_its_lease_has_expired_and_then_no_more() -> None:
    """Compared with the model, as in any other history."""
    history = SharedHistory()
    history.begin()
    try:
        for milliseconds in (31_000, HOUR + 1000, 31_000):
            history.reserve(0, {"account", "money"}, (10, 10, 10))
            history.wait(milliseconds)
        history.reserve(0, {"account", "money"}, (10, 10, 10))
        assert history.forgotten == {1}
        for which in (0, 0):
            history.settle(which, (300, 100, 500))
            history.reserve(1, {"account", "money"}, (400, 700, 900))
    finally:
        history.teardown()


def test_another_rate_holds_at_once_also_while_it_refuses() -> None:
    """As many units are used as before; what comes back from then on is by the new rate, as in the model."""
    history = SharedHistory()
    history.begin()
    try:
        for _ in range(2):
            for _ in range(2):
                history.reserve(0, {"account"}, (1, 1, 1))
                history.settle(0, (900, 900, 0))
            for _ in range(3):
                history.change("account")
                history.reserve(0, {"account"}, (1, 1, 1))
                history.wait(60_000)
                history.reserve(0, {"account"}, (1, 1, 1))
            history.wait(3_600_000)
    finally:
        history.teardown()


async def emptied(wall: Callable[[], float] = time.time) -> tuple[RedisConnection, RedisStore]:
    """A connection to the server, which has no keys any more, and a store on it that is still to be started."""
    control = await connect(StoreServer.of(URL), lambda: None)
    await control.send(command(1, encode([b"FLUSHALL"])))
    local = new_ledger(SharedMemory(1, 64, 8))
    return control, RedisStore(
        StoreServer.of(URL), StorePolicy.REFUSE, local, print, lambda: None, PATIENT, wall=wall
    )


def test_a_budget_in_dollars_is_counted_apart_from_tokens() -> None:
    """Reserved up to what is left, settled, and refused when it is spent."""
    budgets = Budget(1000, Period.DAY), Budget(100, Period.DAY, is_usd=True, warn_at=80)
    warned: list[tuple[str, Budget]] = []
    scopes = [("money", CallerLimits(budgets=budgets))]

    async def main() -> None:
        control, store = await emptied()
        store.warn = lambda scope, budget: warned.append((scope, budget))
        await store.start()
        first, second = [await made(store) for _ in range(2)]
        assert isinstance(first, Grant)
        assert isinstance(second, Grant)
        assert (first.held, second.held) == ((5, 5, 60), (5, 5, 40))
        busy = await made(store)
        assert isinstance(busy, Refused)
        assert (busy.kind, busy.is_spent, busy.limit) == ("budget_usd", False, 100)
        store.settle(first, (5, 5, 100))
        store.settle(second, (0, 0, 0))
        spent = await made(store)
        assert isinstance(spent, Refused)
        assert (spent.kind, spent.is_spent) == ("budget_usd", True)
        assert warned == [("money", budgets[1])]
        await store.close()
        control.abort()

    async def made(store: RedisStore) -> Grant | Refused:
        reply = store.reserve(scopes, (5, 5, 60))
        return reply if isinstance(reply, Grant | Refused) else await reply

    asyncio.run(main())


def test_a_new_amount_of_a_budget_holds_for_what_was_counted_before() -> None:
    """So an operator can correct what a wrong price has charged."""

    async def main() -> None:
        control, store = await emptied()
        await store.start()
        for amount, held in ((100, 100), (250, None), (300, 50), (251, 1), (250, None)):
            budget = Budget(amount, Period.MONTH, is_usd=True)
            made = store.reserve([("money", CallerLimits(budgets=(budget,)))], (0, 0, 1000))
            made = made if isinstance(made, Grant | Refused) else await made
            assert isinstance(made, Refused) == (held is None), amount
            if isinstance(made, Grant):
                assert made.held[2] == held
                store.settle(made, (0, 0, 250 if amount == 100 else 0))
        await store.close()
        control.abort()

    asyncio.run(main())


def test_streams_that_go_on_keep_their_scope() -> None:
    """Renewed, it lasts longer than their leases; what they hold would be lost with it."""
    scopes = [("busy", CallerLimits(concurrent=1, tokens=Rate(1000, 60)))]
    state = b"orqen:{busy}:busy"
    ahead = 0

    async def main() -> None:
        control, store = await emptied(lambda: time.time() + ahead)
        await store.start()
        grant = await reserve(store)
        assert isinstance(grant, Grant)
        await control.send(command(3, encode([b"PEXPIRE", state, b"20000"])))  # it is older now
        nonlocal ahead
        ahead = RENEW_SECONDS + 1
        store.tick()
        await store._client.send(command(1, encode([b"PING"])))
        left = int(await control.send(command(2, encode([b"PTTL", state]))))
        assert left > 2 * LEASE_SECONDS * 1000
        assert isinstance(await reserve(store), Refused)
        store.settle(grant, (5, 5))
        assert not store._leases, "what is over is renewed no more"
        await store.close()
        control.abort()

    async def reserve(store: RedisStore) -> Grant | Refused:
        made = store.reserve(scopes, (5, 5))
        return made if isinstance(made, Grant | Refused) else await made

    asyncio.run(main())


def test_a_state_that_cannot_be_read_is_begun_anew() -> None:
    """The store stays up for all others, whatever is at the keys of one."""
    scopes = [("bad", CallerLimits(concurrent=5, budgets=(Budget(1000, Period.DAY),)))]

    async def main() -> None:
        control, store = await emptied()
        await store.start()
        for bad in (
            [b"SET", b"orqen:{bad}:bad", b"junk"],
            [b"SET", b"orqen:{bad}:bad", b"\x01"],
            [b"SET", b"orqen:{bad}:bad", b"\x80"],
            [b"LPUSH", b"orqen:{bad}:bad", b"1"],
            [b"SET", b"orqen:{bad}:leases", b"1"],
            [b"ZADD", b"orqen:{bad}:leases", b"1", b"of 0.1.0|[5,5]|orqen:{bad}:bad"],
            [b"ZADD", b"orqen:{bad}:leases", b"1", b"odd|what|orqen:{bad}:bad"],
        ):
            await control.send(command(2, encode([b"DEL", bad[1]])))
            await control.send(command(len(bad), encode(bad)))
            made = store.reserve(scopes, (5, 5))
            made = made if isinstance(made, Grant | Refused) else await made
            assert isinstance(made, Grant), bad
            store.settle(made, (5, 5))
        assert (store.status, store.errors) == ("ok", 0)
        await store.close()
        control.abort()

    asyncio.run(main())


def test_a_lease_is_renewed_where_the_server_has_lost_the_script() -> None:
    history = SharedHistory()
    history.begin()
    try:
        history.reserve(0, {"money"}, (0, 0, 57))
        history.wait(30_000)
        history.forget_script()
        history.renew(0)
        history.reserve(0, {"key", "money"}, (286, 254, 797))
    finally:
        history.teardown()
