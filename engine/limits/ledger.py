"""Reserve and settle: what one request takes from all of its scopes, at once."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from engine.limits.core import (
    REQUESTS,
    Amounts,
    Left,
    Refused,
    Rooms,
    check,
    late,
    left_in,
    left_of,
    release,
    take,
    tightest,
    use,
)
from engine.limits.store import FullError, Grant, Scope
from engine.limits.table import Table
from engine.limits.windows import Windows
from engine.plan.limits import Budget

MAX_TOKENS = 1 << 40  # of one request; no provider's count is higher


class Ledger:
    """The limits of one worker's requests. `monotonic` are nanoseconds, `wall` POSIX seconds.

    `warn` is called with a scope and a budget when `warn_at` of that is reached: once in a window, over all workers.
    """

    def __init__(
        self,
        table: Table,
        monotonic: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], float] = time.time,
        warn: Callable[[str, Budget], None] = lambda _scope, _budget: None,
    ) -> None:
        self._warn = warn
        self._table = table
        self._monotonic = monotonic
        self._wall = wall
        self._windows = Windows()

    def reserve(self, scopes: Sequence[Scope], estimate: Amounts) -> Grant | Refused:
        """As `Store.reserve`."""
        if len(scopes) == 1 and scopes[0][1].is_one_rate:
            return self._reserve_request(scopes, estimate)
        table, wall = self._table, self._wall()
        table.lock()
        try:
            now = self._monotonic()  # after the lock, so that it never runs backwards
            rooms = Rooms()
            blocks: list[int] = []
            states: list[list[int]] = []
            for scope, _ in scopes:
                block, state = table.find(scope, now, wall, blocks)
                blocks.append(block)
                states.append(state)
            for (_, limits), state in zip(scopes, states, strict=True):
                refused = check(limits, state, rooms, now, wall, self._windows)
                if refused is not None:
                    return replace(refused, left=self._left(scopes, states, now, wall))
            held = rooms.cap(estimate)
            for (_, limits), state in zip(scopes, states, strict=True):
                take(limits, state, held, now)
            lease = self._write(scopes, blocks, states, held)
        finally:
            table.unlock()
        return Grant(scopes, held, lease, self._left(scopes, states, now, wall), blocks)

    def _reserve_request(self, scopes: Sequence[Scope], held: Amounts) -> Grant | Refused:
        """The same for one scope with a rate of requests alone, in half the time."""
        ((scope, limits),) = scopes
        rate = limits.requests
        table, wall = self._table, self._wall()
        if rate is None:
            raise TypeError("only a rate of requests is reserved here")
        table.lock()
        try:
            now = self._monotonic()
            block, state = table.find(scope, now, wall)
            due = max(state[REQUESTS], now) + rate.interval
            is_late = due - now > rate.tolerance
            if not is_late:
                table.write_word(block, REQUESTS, due)
        finally:
            table.unlock()
        if is_late:
            left = {"requests": left_of(rate, state[REQUESTS] - now, 0)}
            return replace(late("requests", rate, state[REQUESTS], now), left=left)
        return Grant(scopes, held, None, {"requests": left_of(rate, due - now, 0)})

    def _left(
        self, scopes: Sequence[Scope], states: Sequence[list[int]], now: int, wall: float
    ) -> dict[str, Left]:
        return tightest(
            found
            for (_, limits), state in zip(scopes, states, strict=True)
            for found in left_in(limits, state, now, wall, self._windows)
        )

    def _write(
        self,
        scopes: Sequence[Scope],
        blocks: Sequence[int],
        states: Sequence[list[int]],
        held: Amounts,
    ) -> int | None:
        if any(limits.holds for _, limits in scopes):
            return self._table.hold(blocks, states, held)
        for block, state in zip(blocks, states, strict=True):
            self._table.write_word(block, REQUESTS, state[REQUESTS])
        return None

    def settle(self, grant: Grant, used: Amounts) -> None:
        """As `Store.settle`."""
        if not isinstance(grant.lease, int):
            return
        used = tuple(min(amount, MAX_TOKENS) for amount in used)
        table, wall = self._table, self._wall()
        reached: list[tuple[str, Budget]] = []
        table.lock()
        try:
            now = self._monotonic()
            states = table.states(grant.blocks)
            for (name, limits), state in zip(grant.scopes, states, strict=True):
                release(state, grant.held)
                if limits.counts_tokens:
                    budgets = use(limits, state, used, now, wall, self._windows)
                    if budgets:
                        reached += ((name, budget) for budget in budgets)
            table.settle(grant.lease, grant.blocks, states)
        finally:
            table.unlock()
        for each in reached:
            self._warn(*each)

    def tick(self) -> None:
        """Give back what killed workers held."""
        self.recover_dead()

    def recover_dead(self) -> int:
        """Give back what killed workers held; how many requests they had."""
        return self._table.recover_dead()


__all__ = ["FullError", "Grant", "Ledger", "Left", "Scope"]
