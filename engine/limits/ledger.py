"""Reserve and settle: what one request takes from all of its scopes, at once."""

import time
from collections.abc import Callable, Sequence

from engine.limits.core import (
    HELD_INPUT,
    HELD_OUTPUT,
    REQUESTS,
    TOKENS,
    Amounts,
    Refused,
    Rooms,
    check,
    late,
    release,
    room,
    take,
    use,
)
from engine.limits.store import FullError, Grant, Left, Scope
from engine.limits.table import Table
from engine.limits.windows import Windows
from engine.plan.limits import Budget, Rate

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
            for scope, limits in scopes:
                block, state = table.find(scope, now, wall, blocks)
                refused = check(limits, state, rooms, now, wall, self._windows)
                if refused is not None:
                    return refused
                blocks.append(block)
                states.append(state)
            held = rooms.cap(estimate)
            for (_, limits), state in zip(scopes, states, strict=True):
                take(limits, state, held, now)
            lease = self._write(scopes, blocks, states, held)
        finally:
            table.unlock()
        return Grant(scopes, held, lease, *_left(scopes, states, now), blocks)

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
            if due - now > rate.tolerance:
                return late("requests", rate, state[REQUESTS], now)
            table.write_word(block, REQUESTS, due)
        finally:
            table.unlock()
        return Grant(scopes, held, None, _left_of(rate, due, now, 0), None)

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


def _left(
    scopes: Sequence[Scope], states: Sequence[list[int]], now: int
) -> tuple[Left | None, Left | None]:
    requests = tokens = None
    for (_, limits), state in zip(scopes, states, strict=True):
        if requests is None and limits.requests is not None:
            requests = _left_of(limits.requests, state[REQUESTS], now, 0)
        if tokens is None and limits.tokens is not None:
            held = state[HELD_INPUT] + state[HELD_OUTPUT]
            tokens = _left_of(limits.tokens, state[TOKENS], now, held)
    return requests, tokens


def _left_of(rate: Rate, due: int, now: int, held: int) -> Left:
    remaining = max(0, room(rate, due, now) - held)
    return Left(rate.count, remaining, (max(0, due - now) + held * rate.interval) / 1e9)


__all__ = ["FullError", "Grant", "Ledger", "Left", "Scope"]
