"""Budgets in US dollars in memory: beside those of tokens, exact, and given back by a dead worker."""

from collections.abc import Iterator

import pytest

from engine.limits.core import Refused
from engine.limits.ledger import Ledger
from engine.limits.store import Grant
from engine.limits.table import SharedMemory, Table
from engine.plan.limits import Budget, CallerLimits, Period

LIMITS = CallerLimits(
    budgets=(
        Budget(1000, Period.DAY),
        Budget(100, Period.DAY, is_usd=True),
        Budget(150, Period.MONTH, is_usd=True),
    )
)
SCOPES = [("key", LIMITS)]


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    made = SharedMemory(workers=2, records=64, leases=8)
    yield made
    made.close()


def new_ledger(memory: SharedMemory, worker: int = 0, wall: float = 1_790_000_000.0) -> Ledger:
    table = Table(memory)
    table.use_part(worker)
    return Ledger(table, wall=lambda: wall)


def granted(ledger: Ledger, *estimate: int) -> Grant:
    made = ledger.reserve(SCOPES, estimate)
    assert isinstance(made, Grant), made
    return made


def refused(ledger: Ledger, *estimate: int) -> Refused:
    made = ledger.reserve(SCOPES, estimate)
    assert isinstance(made, Refused)
    return made


def test_money_is_reserved_capped_and_settled_apart_from_tokens(memory: SharedMemory) -> None:
    ledger = new_ledger(memory)
    first, second = granted(ledger, 10, 20, 60), granted(ledger, 10, 20, 60)
    assert (first.held, second.held) == ((10, 20, 60), (10, 20, 40))
    busy = refused(ledger, 1, 1, 1)
    assert (busy.kind, busy.is_spent, busy.limit, busy.per) == ("budget_usd", False, 100, "day")
    ledger.settle(first, (10, 20, 99))
    ledger.settle(second, (0, 0, 0))
    assert granted(ledger, 2000, 0, 50).held == (970, 0, 1)
    assert refused(ledger, 1, 0, 0).kind == "budget"  # all tokens are held now
    spent = new_ledger(memory, 1)
    spent.settle(granted_again(memory), (0, 0, 1))
    gone = refused(spent, 1, 1, 1)
    assert (gone.kind, gone.is_spent) == ("budget_usd", True)
    assert gone.wait > 1


def granted_again(memory: SharedMemory) -> Grant:
    """A grant of worker 1, after worker 0 has died with all that it held."""
    new_ledger(memory, 0)
    return granted(new_ledger(memory, 1), 1, 1, 1)


def test_the_month_goes_on_when_the_day_begins_anew(memory: SharedMemory) -> None:
    monday, tuesday = new_ledger(memory), new_ledger(memory, 1, 1_790_000_000.0 + 24 * 3600)
    monday.settle(granted(monday, 0, 0, 90), (0, 0, 90))
    assert granted(tuesday, 0, 0, 100).held == (0, 0, 60)


def test_a_new_amount_of_a_budget_holds_for_what_was_counted_before(memory: SharedMemory) -> None:
    ledger = new_ledger(memory)
    ledger.settle(granted(ledger, 1, 1, 1), (0, 0, 250))
    assert refused(ledger, 1, 1, 1).kind == "budget_usd"
    for amount, room in ((300, 50), (251, 1)):
        budgets = Budget(amount, Period.DAY, is_usd=True), Budget(amount, Period.MONTH, is_usd=True)
        made = ledger.reserve([("key", CallerLimits(budgets=budgets))], (0, 0, 1000))
        assert isinstance(made, Grant), made
        assert made.held == (0, 0, room)
        ledger.settle(made, (0, 0, 0))


def test_a_request_that_counts_no_money_may_come_between(memory: SharedMemory) -> None:
    ledger = new_ledger(memory)
    plain = [("other", CallerLimits(concurrent=5, budgets=(Budget(50, Period.DAY),)))]
    money = granted(ledger, 5, 5, 70)
    other = ledger.reserve(plain, (5, 5))
    assert isinstance(other, Grant)
    ledger.settle(money, (5, 5, 70))
    ledger.settle(other, (5, 5))
    assert granted(ledger, 0, 0, 100).held == (0, 0, 30)
    new_ledger(memory)  # the worker dies, and gives back what it held
    assert granted(new_ledger(memory, 1), 0, 0, 100).held == (0, 0, 30)


def test_a_request_without_money_gives_back_none_of_a_request_before_it(
    memory: SharedMemory,
) -> None:
    """A free one counts in the same scope, and its reservation is in the place of one that had money."""
    ledger = new_ledger(memory)
    ledger.settle(granted(ledger, 5, 5, 70), (0, 0, 0))
    free = [("key", CallerLimits(concurrent=5, keeps=LIMITS.budgets))]
    assert isinstance(ledger.reserve(free, (0, 0)), Grant)
    new_ledger(memory)  # the worker dies
    assert granted(new_ledger(memory, 1), 0, 0, 999).held == (0, 0, 100)


def test_a_warning_comes_once_in_a_window_over_all_workers(memory: SharedMemory) -> None:
    warned: list[tuple[str, str, bool]] = []

    def warn(scope: str, budget: Budget) -> None:
        warned.append((scope, budget.per, budget.is_usd))

    budgets = (
        Budget(100, Period.DAY, warn_at=80),
        Budget(100, Period.MONTH, is_usd=True, warn_at=50),
    )
    scopes = [("app", CallerLimits(budgets=budgets))]

    def spend(worker: int, tokens: int, cost: int, days: int = 0) -> list[tuple[str, str, bool]]:
        table = Table(memory)
        table.use_part(worker)
        wall = 1_790_000_000.0 + days * 24 * 3600
        ledger = Ledger(table, wall=lambda: wall, warn=warn)
        made = ledger.reserve(scopes, (0, 0, 0))
        assert isinstance(made, Grant)
        ledger.settle(made, (tokens, 0, cost))
        found = warned.copy()
        warned.clear()
        return found

    assert spend(0, 79, 10) == []
    assert spend(1, 1, 10) == [("app", "day", False)]
    assert spend(0, 5, 29) == []
    assert spend(0, 5, 1) == [("app", "month", True)]
    assert spend(1, 95, 1, days=1) == [("app", "day", False)]
