"""The ledger does what a simple model says, over any history of several workers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from engine.limits.core import BUDGETS, FIELDS, Refused, is_idle, restored, use
from engine.limits.ledger import MAX_TOKENS, Ledger
from engine.limits.store import FullError, Grant
from engine.limits.table import SharedMemory, Table
from engine.limits.windows import Windows
from engine.plan.limits import NANOSECONDS, Budget, CallerLimits, Period, Rate

SCOPES = {
    "key": CallerLimits(requests=Rate(3, 60), concurrent=3),
    "rate": CallerLimits(requests=Rate(2, 60)),
    "account": CallerLimits(
        requests=Rate(20, 60),
        tokens=Rate(1000, 60),
        concurrent=5,
        budgets=(Budget(5000, Period.DAY), Budget(9000, Period.WEEK)),
    ),
    "model": CallerLimits(
        input_tokens=Rate(300, 60),
        output_tokens=Rate(500, 3600),
        budgets=(Budget(12_000, Period.MONTH),),
    ),
    "money": CallerLimits(
        budgets=(
            Budget(700, Period.DAY, is_usd=True),
            Budget(2000, Period.WEEK, is_usd=True),
            Budget(9000, Period.WEEK),
        ),
    ),
}
# What a configuration may make of them: other rates, and one that is not there for a while.
OTHERS = {
    "key": replace(SCOPES["key"], requests=Rate(9, 3600)),
    "account": replace(SCOPES["account"], tokens=Rate(100, 60)),
    "model": replace(SCOPES["model"], input_tokens=Rate(30, 60), output_tokens=None),
}
AMOUNTS = st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(0, 900))
Three = tuple[int, int, int]  # input and output tokens, and cost
DAY = 24 * 3600
START = 1_767_225_000.0  # ten minutes before a new year


@dataclass
class Bucket:
    """A bucket that drains by `count` units in `seconds`."""

    rate: Rate
    level: Fraction = Fraction(0)
    at: int = 0

    def free(self, now: int) -> int:
        drained = Fraction(now - self.at, self.rate.interval)
        self.level, self.at = max(Fraction(0), self.level - drained), now
        return int((self.rate.count - self.level) // 1)


@dataclass
class Model:
    """One scope, by the rules as a person would state them."""

    limits: CallerLimits
    rates: dict[str, Bucket] = field(default_factory=dict)
    held: dict[int, Three] = field(default_factory=dict)
    windows: dict[Budget, tuple[float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.meet(self.limits, 0)

    def meet(self, limits: CallerLimits, now: int) -> bool:
        """These limits count from now on, with as many units used as before; whether a rate is another one."""
        self.limits, is_other = limits, False
        for kind in ("requests", "tokens", "input_tokens", "output_tokens"):
            rate = getattr(limits, kind)
            if rate is not None:
                bucket = self.rates.setdefault(kind, Bucket(rate))
                if bucket.rate != rate:
                    bucket.free(now)
                    bucket.rate, is_other = rate, True
        return is_other

    @property
    def buckets(self) -> list[tuple[str, Bucket]]:
        """Those of the rates that there are now."""
        return [each for each in self.rates.items() if getattr(self.limits, each[0]) is not None]

    def window(self, budget: Budget, wall: float) -> tuple[float, int]:
        """Where the window that counts begins, and what was used in it; only use begins one."""
        now = datetime.fromtimestamp(wall, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        first = {
            Period.DAY: now,
            Period.WEEK: now - timedelta(days=now.weekday()),
            Period.MONTH: now.replace(day=1),
        }[budget.per].timestamp()
        start, count = self.windows.get(budget, (0.0, 0))
        if start < first or start > wall + DAY:
            return first, 0
        return start, count

    def rooms(self, now: int, wall: float) -> dict[str, int] | None:
        """Tokens that may be held; None when the scope refuses."""
        limits = self.limits
        inputs, outputs, cost = (sum(held[n] for held in self.held.values()) for n in range(3))
        held = {
            "tokens": inputs + outputs,
            "input_tokens": inputs,
            "output_tokens": outputs,
            "cost": cost,
        }
        if limits.concurrent is not None and len(self.held) >= limits.concurrent:
            return None
        rooms = {k: b.free(now) - held.get(k, 0) for k, b in self.buckets}
        for budget in limits.budgets:
            kind = "cost" if budget.is_usd else "tokens"
            left = budget.amount - self.window(budget, wall)[1] - held[kind]
            rooms[kind] = min(left, rooms.get(kind, left))
        return rooms if all(left >= 1 for left in rooms.values()) else None

    def refusals(self, now: int, wall: float) -> Iterator[tuple[int, str]]:
        """Why it refuses: the seconds until each limit admits a request, and what that counts."""
        held = [sum(amounts) for amounts in zip(*self.held.values(), strict=True)] or [0, 0, 0]
        held_of = {"tokens": held[0] + held[1], "input_tokens": held[0], "output_tokens": held[1]}
        for kind, bucket in self.buckets:
            free, rate = bucket.free(now) - held_of.get(kind, 0), bucket.rate
            if free < 1:
                late = (bucket.level + 1 - rate.count) * rate.interval / NANOSECONDS
                yield max(1, ceil(late)), kind
        if self.limits.concurrent is not None and len(self.held) >= self.limits.concurrent:
            yield 1, "concurrent"
        for budget in self.limits.budgets:
            left = budget.amount - self.window(budget, wall)[1]
            kind = "budget_usd" if budget.is_usd else "budget"
            if left < 1:
                _, end = Windows().of(budget, wall)
                yield ceil(end - wall), kind
            elif left - (held[2] if budget.is_usd else held_of["tokens"]) < 1:
                yield 1, kind

    def left(self, now: int, wall: float) -> Iterator[tuple[str, tuple[int, int]]]:
        """What callers get to know of it: of each kind the limit, and what is left."""
        inputs, outputs = (sum(held[n] for held in self.held.values()) for n in range(2))
        held = {"tokens": inputs + outputs, "input_tokens": inputs, "output_tokens": outputs}
        for kind, bucket in self.buckets:
            yield kind, (bucket.rate.count, max(0, bucket.free(now) - held.get(kind, 0)))
        for budget in self.limits.budgets:
            if not budget.is_usd:
                left = budget.amount - self.window(budget, wall)[1] - held["tokens"]
                yield "tokens", (budget.amount, max(0, left))

    def use(self, limits: CallerLimits, used: Three, now: int, wall: float) -> None:
        """Count what a request has used that these limits have admitted."""
        if limits.token_rates:
            self.meet(limits, now)
        counts = {"tokens": sum(used[:2]), "input_tokens": used[0], "output_tokens": used[1]}
        for _, kind, _ in limits.token_rates:
            self.rates[kind].free(now)
            self.rates[kind].level += counts[kind]
        for budget in limits.budgets:
            start, count = self.window(budget, wall)
            self.windows[budget] = start, count + (used[2] if budget.is_usd else sum(used[:2]))


def told(made: Grant | Refused) -> dict[str, tuple[int, int]]:
    """What a request is told of its limits, without when all is back."""
    return {kind: left[:2] for kind, left in made.left.items()}


def least(found: Sequence[tuple[str, tuple[int, int]]]) -> dict[str, tuple[int, int]]:
    """Of each kind the limit that has the least left, and of several the first."""
    kinds = {kind for kind, _ in found}
    return {
        of: min((left for kind, left in found if kind == of), key=lambda left: left[1])
        for of in kinds
    }


class History(RuleBasedStateMachine):
    """Workers that reserve, settle and die, in any order, while two clocks move."""

    @initialize()
    def begin(self) -> None:
        self.memory = SharedMemory(workers=3, records=64, leases=16)
        self.now, self.wall = 10**15, START
        self.workers = [self.new_worker(number) for number in range(3)]
        self.limits = dict(SCOPES)
        self.models = {name: Model(limits) for name, limits in SCOPES.items()}
        self.grants: list[tuple[int, int, Grant]] = []
        self.count = 0

    def new_worker(self, number: int) -> Ledger:
        table = Table(self.memory)
        table.use_part(number)
        return Ledger(table, lambda: self.now, lambda: self.wall)

    @rule(
        worker=st.integers(0, 2),
        names=st.sets(st.sampled_from(sorted(SCOPES)), min_size=1, max_size=4),
        estimate=st.tuples(st.integers(0, 400), st.integers(0, 700), st.integers(0, 900)),
    )
    def reserve(self, worker: int, names: set[str], estimate: Three) -> None:
        scopes = [(name, self.limits[name]) for name in sorted(names)]
        for name, limits in scopes:
            self.models[name].meet(limits, self.now)
        made = self.workers[worker].reserve(scopes, estimate)
        rooms = [self.models[name].rooms(self.now, self.wall) for name in names]
        assert isinstance(made, Refused) == (None in rooms)
        of_names = [self.models[name] for name in sorted(names)]
        if isinstance(made, Refused):
            refusals = [
                (*each, m.limits) for m in of_names for each in m.refusals(self.now, self.wall)
            ]
            assert made.wait == max(wait for wait, _, _ in refusals)
            assert (made.wait, made.kind, made.scope[1]) in refusals
            assert told(made) == self.least(of_names)
            return
        free = {
            kind: min((r[kind] for r in rooms if r and kind in r), default=1 << 60)
            for kind in ("tokens", "input_tokens", "output_tokens", "cost")
        }
        inputs = min(estimate[0], free["input_tokens"], free["tokens"])
        outputs = min(estimate[1], free["output_tokens"], free["tokens"] - inputs)
        assert made.held == (inputs, outputs, min(estimate[2], free["cost"]))
        self.count += 1
        for name in names:
            model = self.models[name]
            if model.limits.requests is not None:
                model.rates["requests"].level += 1
            if made.lease is not None:
                model.held[self.count] = made.held
        assert told(made) == self.least(of_names)
        self.grants.append((worker, self.count, made))

    def least(self, models: Sequence[Any]) -> dict[str, tuple[int, int]]:
        return least([each for model in models for each in model.left(self.now, self.wall)])

    @rule(which=st.integers(0, 99), used=AMOUNTS)
    def settle(self, which: int, used: Three) -> None:
        if self.grants:
            worker, number, grant = self.grants.pop(which % len(self.grants))
            self.workers[worker].settle(grant, used)
            for name, limits in grant.scopes:
                if self.models[name].held.pop(number, None) is not None:
                    self.models[name].use(limits, used, self.now, self.wall)

    @rule(name=st.sampled_from(sorted(OTHERS)))
    def change(self, name: str) -> None:
        """The configuration has other limits; requests under way are settled by those that admitted them."""
        is_first = self.limits[name] is SCOPES[name]
        self.limits[name] = OTHERS[name] if is_first else SCOPES[name]

    @rule(worker=st.integers(0, 2))
    def die(self, worker: int) -> None:
        self.workers[worker] = self.new_worker(worker)
        for name in SCOPES:
            for owner, number, _ in self.grants:
                if owner == worker:
                    self.models[name].held.pop(number, None)
        self.grants = [entry for entry in self.grants if entry[0] != worker]

    @rule(milliseconds=st.one_of(st.integers(0, 2000), st.integers(0, 4_000_000)))
    def wait(self, milliseconds: int) -> None:
        self.now += milliseconds * 1_000_000
        self.wall += milliseconds / 1000

    @rule(hours=st.integers(-40, 40))
    def set_clock(self, hours: int) -> None:
        self.wall += hours * 3600


History.TestCase.settings = settings(stateful_step_count=30)
TestHistory = History.TestCase


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    made = SharedMemory(workers=2, records=64, leases=4)
    yield made
    made.close()


def new_ledger(memory: SharedMemory, worker: int = 0) -> Ledger:
    table = Table(memory)
    table.use_part(worker)
    return Ledger(table)


def test_a_budget_that_is_only_reserved_is_not_called_spent(memory: SharedMemory) -> None:
    scopes = [("key", CallerLimits(budgets=(Budget(100, Period.DAY),)))]
    ledger = new_ledger(memory)
    first = ledger.reserve(scopes, (60, 1000))
    assert isinstance(first, Grant)
    assert first.held == (60, 40)
    busy = ledger.reserve(scopes, (1, 1))
    assert isinstance(busy, Refused)
    assert (busy.kind, busy.is_spent, busy.wait) == ("budget", False, 1)
    ledger.settle(first, (60, 40))
    gone = ledger.reserve(scopes, (1, 1))
    assert isinstance(gone, Refused)
    assert gone.is_spent
    assert 1 <= gone.wait <= DAY


@pytest.mark.parametrize("per", Period)
def test_a_clock_that_is_set_back_into_an_earlier_window_admits_the_budget_once(
    memory: SharedMemory, per: Period
) -> None:
    """By less than a day, whenever that is: the later window goes on until the clock has left it."""
    begins = datetime(2026, 6, 1, tzinfo=UTC).timestamp()  # a day, a week and a month
    wall = begins + 5
    ledger = new_ledger(memory)
    ledger._wall = lambda: wall
    scopes = [("key", CallerLimits(budgets=(Budget(1000, per),)))]
    first = ledger.reserve(scopes, (1000, 0))
    assert isinstance(first, Grant)
    ledger.settle(first, (1000, 0))
    for seconds in (-15, -23 * 3600, 40):
        wall = begins + seconds
        refused = ledger.reserve(scopes, (1000, 0))
        assert isinstance(refused, Refused), seconds
        assert refused.is_spent
    wall = begins + 31 * 24 * 3600
    assert isinstance(ledger.reserve(scopes, (1000, 0)), Grant)


@pytest.mark.parametrize("per", Period)
def test_what_is_used_while_the_clock_is_set_back_counts_in_the_window_that_goes_on(
    memory: SharedMemory, per: Period
) -> None:
    begins = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    wall = begins + 5
    ledger = new_ledger(memory)
    ledger._wall = lambda: wall
    scopes = [("key", CallerLimits(budgets=(Budget(1000, per),)))]
    for seconds in (5, -15):
        wall = begins + seconds
        grant = ledger.reserve(scopes, (500, 0))
        assert isinstance(grant, Grant)
        ledger.settle(grant, (500, 0))
    wall = begins + 40
    refused = ledger.reserve(scopes, (1, 0))
    assert isinstance(refused, Refused)
    assert refused.is_spent


def test_a_window_of_a_clock_that_was_wrong_by_more_than_a_day_is_not_kept(
    memory: SharedMemory,
) -> None:
    wall = START + 9 * DAY
    ledger = new_ledger(memory)
    ledger._wall = lambda: wall
    scopes = [("key", CallerLimits(budgets=(Budget(1000, Period.DAY),)))]
    grant = ledger.reserve(scopes, (1000, 0))
    assert isinstance(grant, Grant)
    ledger.settle(grant, (1000, 0))
    wall = START
    assert isinstance(ledger.reserve(scopes, (1000, 0)), Grant)


def test_a_count_that_no_provider_has_is_taken_for_the_most(memory: SharedMemory) -> None:
    scopes = [("key", CallerLimits(tokens=Rate(10**9, 60), budgets=(Budget(1 << 41, Period.DAY),)))]
    ledger = new_ledger(memory)
    first, second = (ledger.reserve(scopes, (1, 1)) for _ in range(2))
    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    for grant in (first, second):
        ledger.settle(grant, (1 << 62, 1 << 62))
    ((_, state),) = first.places
    assert state[BUDGETS + 1] == 4 * MAX_TOKENS


def test_a_count_that_no_provider_has_is_more_than_a_rate_gives_back_in_weeks_and_no_error(
    memory: SharedMemory,
) -> None:
    scopes = [("key", CallerLimits(tokens=Rate(1, 3600)))]
    ledger = new_ledger(memory)
    grant = ledger.reserve(scopes, (1, 1))
    assert isinstance(grant, Grant)
    ledger.settle(grant, (MAX_TOKENS, MAX_TOKENS))
    refused = ledger.reserve(scopes, (1, 1))
    assert isinstance(refused, Refused)
    assert refused.wait <= 53 * DAY


WRONG, RIGHT = (CallerLimits(tokens=rate) for rate in (Rate(100, 3600), Rate(100_000, 60)))
WITHOUT = CallerLimits(concurrent=9)


def test_under_another_rate_as_many_units_are_used_as_before(memory: SharedMemory) -> None:
    """After a mistake, nobody waits for weeks; requests under way are settled by the limits that admitted them."""
    table = Table(memory)
    table.use_part(0)
    ledger = Ledger(table, lambda: 10**15)

    def reserve(limits: CallerLimits) -> Grant | Refused:
        return ledger.reserve([("key", limits)], (1, 0))

    grants = [reserve(WRONG) for _ in range(3)]
    used = 0
    for grant, tokens in zip(grants, (50_000, 10_000, 5_000), strict=True):
        assert isinstance(grant, Grant)
        ledger.settle(grant, (tokens, 0))
        used += tokens
        refused = reserve(WRONG)
        assert isinstance(refused, Refused)
        assert refused.wait == (used - 99) * 36
        other = reserve(WITHOUT)
        assert isinstance(other, Grant)
        ledger.settle(other, (0, 0))
        right = reserve(RIGHT)
        assert isinstance(right, Grant)
        still_held = len(grants) - grants.index(grant)  # and this one
        assert right.left["tokens"][:2] == (100_000, 100_000 - used - still_held)
        ledger.settle(right, (0, 0))


class CutShort:
    """The words of a table whose worker is killed just before a write is complete."""

    def __init__(self, words: Any) -> None:
        self._words = words

    def __getitem__(self, at: Any) -> Any:
        return self._words[at]

    def __setitem__(self, at: Any, value: Any) -> None:
        if (at, value) == (0, 0):
            raise InterruptedError
        self._words[at] = value


def test_a_settlement_that_is_cut_short_is_undone_with_its_reservation(
    memory: SharedMemory,
) -> None:
    scopes = [("key", CallerLimits(concurrent=1))]
    killed = new_ledger(memory)
    grant = killed.reserve(scopes, (1, 1))
    assert isinstance(grant, Grant)
    cast(Any, killed._table)._words = CutShort(killed._table._words)
    with pytest.raises(InterruptedError):
        killed.settle(grant, (0, 0))
    assert isinstance(new_ledger(memory).reserve(scopes, (1, 1)), Grant)


@pytest.mark.parametrize("name", ["requests", "tokens", "input_tokens", "output_tokens"])
def test_a_change_to_another_rate_that_is_cut_short_is_undone(
    memory: SharedMemory, name: str
) -> None:
    hourly, other = (CallerLimits(**cast(Any, {name: Rate(1, each)})) for each in (3600, 60))
    table = Table(memory)
    table.use_part(0)
    ledger = Ledger(table, lambda: 10**15)
    grant = ledger.reserve([("key", hourly)], (1, 1))
    assert isinstance(grant, Grant)
    ledger.settle(grant, (1, 1))
    words = table._words
    cast(Any, table)._words = CutShort(words)
    with pytest.raises(InterruptedError):
        ledger.reserve([("key", other)], (1, 1))
    table._words = words
    waits = []
    for limits in (hourly, other, hourly):
        refused = ledger.reserve([("key", limits)], (1, 1))
        assert isinstance(refused, Refused)
        waits.append(refused.wait)
    used = 2 if name == "tokens" else 1
    assert waits == [3600 * used, 60 * used, 3600 * used]


def test_a_rate_of_which_all_is_back_stays_so_under_any_other(memory: SharedMemory) -> None:
    now = 10**15
    table = Table(memory)
    table.use_part(0)
    ledger = Ledger(table, lambda: now)
    for rate in (Rate(10**9, 1), Rate(1, 3600), Rate(10**9, 1)):
        made = ledger.reserve([("key", CallerLimits(requests=rate))], (0, 0))
        assert isinstance(made, Grant)
        now += 10**14


def test_one_request_at_once_is_one_until_it_is_settled(memory: SharedMemory) -> None:
    scopes = [("key", CallerLimits(concurrent=1))]
    ledger = new_ledger(memory)
    grant = ledger.reserve(scopes, (1, 1))
    assert isinstance(grant, Grant)
    refused = ledger.reserve(scopes, (1, 1))
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.limit) == ("concurrent", 1)
    ledger.settle(grant, (0, 0))
    assert isinstance(ledger.reserve(scopes, (1, 1)), Grant)


def test_a_refusal_says_when_the_next_request_is_admitted(memory: SharedMemory) -> None:
    now = 10**15
    table = Table(memory)
    table.use_part(0)
    ledger = Ledger(table, lambda: now)
    scopes = [("key", CallerLimits(requests=Rate(2, 60)))]
    for remaining in (1, 0):
        grant = ledger.reserve(scopes, (0, 0))
        assert isinstance(grant, Grant)
        assert grant.left["requests"][1] == remaining
    refused = ledger.reserve(scopes, (0, 0))
    assert isinstance(refused, Refused)
    assert refused.wait == 30
    now += NANOSECONDS // 2
    refused = ledger.reserve(scopes, (0, 0))
    assert isinstance(refused, Refused)
    assert refused.wait == 30, "29.5 s, rounded up"
    now += 30 * NANOSECONDS - NANOSECONDS // 2 - 1
    assert isinstance(ledger.reserve(scopes, (0, 0)), Refused)
    now += 1
    assert isinstance(ledger.reserve(scopes, (0, 0)), Grant)


def test_what_is_held_of_a_rate_is_in_the_time_until_all_is_back(memory: SharedMemory) -> None:
    table = Table(memory)
    table.use_part(0)
    ledger = Ledger(table, lambda: 10**15)
    grant = ledger.reserve([("key", CallerLimits(tokens=Rate(60, 60)))], (10, 20))
    assert isinstance(grant, Grant)
    assert grant.left == {"tokens": (60, 30, 30.0)}
    ledger.settle(grant, (10, 5))
    grant = ledger.reserve([("key", CallerLimits(tokens=Rate(60, 60)))], (10, 10))
    assert isinstance(grant, Grant)
    assert grant.left == {"tokens": (60, 25, 35.0)}
    grant = ledger.reserve([("key", CallerLimits(tokens=Rate(60, 60)))], (1, 0))
    assert isinstance(grant, Grant)
    assert grant.left == {"tokens": (60, 24, 36.0)}


def test_the_tokens_of_a_spent_budget_are_back_with_its_next_window(memory: SharedMemory) -> None:
    """A rate that is whole and a budget in dollars have nothing to say of them."""
    noon = START - START % DAY + DAY / 2
    table = Table(memory)
    table.use_part(0)
    ledger = Ledger(table, lambda: 10**15, lambda: noon)
    budgets = Budget(50, Period.DAY), Budget(9, Period.DAY, is_usd=True)
    scopes = [("key", CallerLimits(requests=Rate(10, 60), tokens=Rate(60, 60), budgets=budgets))]
    grant = ledger.reserve(scopes, (10, 20, 1))
    assert isinstance(grant, Grant)
    assert grant.left["tokens"] == (50, 20, DAY / 2)
    ledger.settle(grant, (20, 31, 1))
    spent = ledger.reserve(scopes, (1, 1, 1))
    assert isinstance(spent, Refused)
    assert spent.left == {"requests": (10, 9, 6.0), "tokens": (50, 0, DAY / 2)}


def test_more_requests_than_there_is_room_for_are_an_error_and_leave_nothing(
    memory: SharedMemory,
) -> None:
    scopes = [("key", CallerLimits(concurrent=100))]
    ledger = new_ledger(memory)
    grants = [ledger.reserve(scopes, (1, 1)) for _ in range(4)]
    with pytest.raises(FullError):
        ledger.reserve(scopes, (1, 1))
    for grant in grants:
        assert isinstance(grant, Grant)
        ledger.settle(grant, (0, 0))
    assert isinstance(ledger.reserve(scopes, (1, 1)), Grant)


@pytest.mark.parametrize("is_usd", [False, True])
@pytest.mark.parametrize(("per", "days"), [(Period.DAY, 1), (Period.WEEK, 7), (Period.MONTH, 31)])
def test_a_scope_is_busy_as_long_as_its_window_goes_on_or_may_be_met_again(
    per: Period, days: int, is_usd: bool
) -> None:
    """A clock may be set back by a day after the end of the window."""
    begins = datetime(2026, 5, 1, tzinfo=UTC).timestamp()
    state = [0] * FIELDS
    budget = Budget(9, per, is_usd=is_usd)
    use(CallerLimits(budgets=(budget,)), state, (1, 1, 1), 5, begins, Windows())
    start = state[BUDGETS + 2 * budget.number]
    assert not is_idle(state, 9, start + (days + 1) * DAY)
    assert is_idle(state, 9, start + (days + 1) * DAY + 1)


@pytest.mark.parametrize(("ahead", "is_kept"), [(DAY - 1, True), (DAY, False)])
def test_a_window_that_begins_later_than_a_clock_can_be_wrong_is_damage(
    ahead: int, is_kept: bool
) -> None:
    state = [0] * FIELDS
    state[BUDGETS] = int(START) + ahead
    assert (restored(state, 0, 5, START) is not None) == is_kept


def test_scopes_of_one_request_whose_places_are_the_same_get_one_each() -> None:
    """A scope that was just found is idle, and none may take its place."""
    memory = SharedMemory(workers=1, records=2, leases=4)
    ledger = new_ledger(memory)
    limits = CallerLimits(concurrent=2)
    for number in range(8):  # half of these begin to look in the same place
        grant = ledger.reserve([(f"one {number}", limits), (f"other {number}", limits)], (0, 0))
        assert isinstance(grant, Grant)
        assert len({block for block, _ in grant.places}) == 2
        ledger.settle(grant, (0, 0))
    memory.close()


def test_a_place_that_another_worker_has_given_to_another_scope_is_known_no_longer() -> None:
    memory = SharedMemory(workers=2, records=1, leases=4)
    now = 10**15
    workers = []
    for number in range(2):
        table = Table(memory)
        table.use_part(number)
        workers.append(Ledger(table, lambda: now))
    rate = CallerLimits(requests=Rate(2, 60))
    assert isinstance(workers[0].reserve([("one", rate)], (0, 0)), Grant)
    now += 60 * NANOSECONDS
    assert isinstance(workers[1].reserve([("other", rate)], (0, 0)), Grant)
    with pytest.raises(FullError):
        workers[0].reserve([("one", rate)], (0, 0))
    memory.close()


def test_more_scopes_than_places_are_kept_in_mind_count_as_before(
    memory: SharedMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.limits.table.MAX_KNOWN", 2)
    ledger = new_ledger(memory)
    scopes = [(f"key {number}", CallerLimits(requests=Rate(1, 60))) for number in range(5)]
    for expected in (Grant, Refused):
        for scope in scopes:
            assert isinstance(ledger.reserve([scope], (0, 0)), expected)
            assert len(ledger._table.places) <= 2


def test_idle_scopes_make_room_for_others_and_busy_ones_do_not(memory: SharedMemory) -> None:
    now = 10**15
    table = Table(memory)
    table.use_part(0)
    ledger = Ledger(table, lambda: now)
    limits = CallerLimits(requests=Rate(1, 60))

    def fill() -> int:
        for number in range(1000):
            try:
                ledger.reserve([(f"{now} {number}", limits)], (0, 0))
            except FullError:
                return number
        raise AssertionError("it never got full")

    assert fill() > 32
    now += 60 * NANOSECONDS
    assert fill() > 32
