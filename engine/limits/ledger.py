"""Reserve and settle: what one request takes from all of its scopes, at once."""

import time
from collections.abc import Callable, Sequence

from engine.limits.core import (
    RATES,
    REQUESTS,
    Amounts,
    Reading,
    Refused,
    Scope,
    cap,
    convert,
    readings,
    refusal,
    release,
    remaining_at,
    remaining_of,
    strictest,
    take,
    use,
)
from engine.limits.store import Grant
from engine.limits.table import Place, Table
from engine.limits.windows import Windows
from engine.plan.limits import Budget, CallerLimits, Rate

MAX_TOKENS = 1 << 40  # of one request; no provider's count is higher


def capped(used: Amounts) -> Amounts:
    """What a request has used, no more than any does."""
    return tuple([min(amount, MAX_TOKENS) for amount in used]) if max(used) > MAX_TOKENS else used


ReserveOne = Callable[[str, CallerLimits, Rate], int]


def reserve_one(table: Table, monotonic: Callable[[], int]) -> ReserveOne:
    """What takes a request of a scope whose limits are one rate: what `Ledger.reserve` does then, without a Grant.

    It returns the nanoseconds until the rate is whole again. 0: nothing is taken, and `reserve` says what is to be
    done, since all is used, or the scope is new here or counted by another rate so far.

    Nothing is copied first: one word changes, and is written as a whole. `Table.lock` and `Table.known` are written
    out, and what they look up is kept: half of the time goes into the calls and the attributes otherwise.
    """
    trylock, unlock, header, known = table.trylock, table.unlock, table.header, table.places.get

    def take_one(scope: str, limits: CallerLimits, rate: Rate) -> int:
        code = trylock()
        if code or header[0]:
            table.finish_lock(code)
        try:
            found = known(scope)
            if found is None:
                return 0
            (_, state), own_id, digest = found
            if own_id.tobytes() != digest or state[RATES] != limits.rates:
                return 0
            now = monotonic()  # after the lock, so that it never runs backwards
            due = state[REQUESTS]
            due = (due if due > now else now) + rate.interval
            ahead = due - now
            if ahead > rate.tolerance:
                return 0
            state[REQUESTS] = due
        finally:
            unlock()
        return ahead

    return take_one


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
        self.take_one = reserve_one(table, monotonic)

    def reserve(self, scopes: Sequence[Scope], estimate: Amounts) -> Grant | Refused:
        """As `Store.reserve`."""
        rate = scopes[0][1].only_rate
        if rate is not None and len(scopes) == 1:
            ahead = self.take_one(*scopes[0], rate)
            if ahead:
                return Grant(scopes, estimate, None, {"requests": remaining_at(rate, ahead)})
        table, wall = self._table, self._wall()
        found: list[Reading] = []
        places: list[Place] = []
        holds = False
        table.lock()
        try:
            now = self._monotonic()  # after the lock, so that it never runs backwards
            for scope, limits in scopes:
                place = table.find(scope, now, wall, places)
                places.append(place)
                state = place[1]
                if state[RATES] != limits.rates or limits.side_rates:
                    self._convert(limits, place, now)
                found += readings(limits, state, now, wall, self._windows)
                holds = holds or limits.holds
            least = strictest(found)
            for reading in found:
                if reading[2] < 1:
                    return refusal(scopes, found, remaining_of(least))
            if not holds:
                table.begin_write(places)
                for (_, limits), place in zip(scopes, places, strict=True):
                    take(limits, place[1], (), now)
                table.end_write()
                return Grant(scopes, estimate, None, remaining_of(least, 1), places)
            held = cap(estimate, least)
            lease = table.begin_hold(places, held)
            for (_, limits), place in zip(scopes, places, strict=True):
                take(limits, place[1], held, now)
            table.end_hold(lease, len(places))
        finally:
            table.unlock()
        return Grant(scopes, held, lease, remaining_of(least, 1, held), places)

    def _convert(self, limits: CallerLimits, place: Place, now: int) -> None:
        """The counters in `place` by the rates of `limits`, if they are by others, in a write of its own."""
        state = place[1]
        if (state[RATES], state[RATES + 1]) != (limits.rates, limits.side_rates):
            self._table.begin_write([place])
            convert(limits, state, now)
            self._table.end_write()

    def settle(self, grant: Grant, used: Amounts) -> None:
        """As `Store.settle`."""
        lease = grant.lease
        if not isinstance(lease, int):
            return
        table, held, wall = self._table, grant.held, self._wall()
        used = capped(used)
        reached: list[tuple[str, Budget]] = []
        table.lock()
        try:
            now = self._monotonic()
            table.begin_settle(lease, grant.places)
            for (name, limits), (_, state) in zip(grant.scopes, grant.places, strict=True):
                release(state, held)
                if limits.counts_tokens:
                    budgets = use(limits, state, used, now, wall, self._windows)
                    if budgets:
                        reached += [(name, budget) for budget in budgets]
            table.end_settle(lease)
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
