"""Callers with one rate have a way of their own, which counts as the general one does."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from engine.gateway.errors import GatewayError
from engine.limits.core import REQUESTS, Refused
from engine.limits.ledger import Ledger
from engine.limits.store import Grant
from engine.limits.table import SharedMemory, Table
from engine.plan.limit_store import LimitSettings, StoreServer
from engine.plan.limits import NANOSECONDS, CallerLimits, Rate, StorePolicy
from engine.plan.plan import Account, Caller, Dialect
from engine.server.hooks.limits import LimitHooks

ENDPOINT: Any = SimpleNamespace(name="chat", dialect=Dialect.OPENAI, is_free=False, usage=None)
MANY = CallerLimits(requests=Rate(1000, 60))
TWO = CallerLimits(requests=Rate(2, 60))


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    memory = SharedMemory(workers=1, records=64, leases=4)
    yield memory
    memory.close()


def caller(limits: CallerLimits | None, of_account: CallerLimits | None = None) -> Caller:
    account = Account("a", {}, of_account)
    return Caller("key", None, None, (), None, account, limits=limits)


def admitted(hooks: LimitHooks, who: Caller, model: str = "m") -> int:
    """How many of five requests are."""
    count = 0
    for _ in range(5):
        try:
            permit: Any = hooks.admit(who, ENDPOINT, model, None, 2)  # type: ignore[arg-type]  # no body is read
        except GatewayError as error:
            assert error.code == "rate_limited"
            continue
        assert permit.headers
        count += 1
    return count


@pytest.mark.parametrize(
    "who",
    [
        caller(TWO),
        caller(None, TWO),
        caller(MANY, TWO),
        caller(TWO, MANY),
        caller(CallerLimits(requests=Rate(1000, 60), models=(("m", TWO),))),
    ],
)
def test_all_that_limits_a_request_counts_it(who: Caller, memory: SharedMemory) -> None:
    hooks = LimitHooks(memory)
    assert admitted(hooks, who) == 2
    assert (hooks.allowed, hooks.refused) == ([2], [3])


def test_a_store_counts_and_not_the_memory_of_one_host(memory: SharedMemory) -> None:
    settings = LimitSettings(StoreServer.of("redis://127.0.0.1:1"), StorePolicy.REFUSE)
    hooks = LimitHooks(memory, settings, log=lambda _: None)
    shared: Any = hooks._shared
    assert isinstance(shared._local.reserve([("key", TWO)], (0, 0)), Grant)  # as it was known once
    with pytest.raises(GatewayError, match="cannot be used"):
        hooks.admit(caller(TWO), ENDPOINT, "m", None, 2)  # type: ignore[arg-type]


def test_a_rest_gives_back_no_more_than_all(memory: SharedMemory) -> None:
    now = 10**15
    table = Table(memory)
    table.use_part(0)
    ledger = Ledger(table, lambda: now)
    for expected in (Grant, Grant, Refused):
        assert isinstance(ledger.reserve([("key", TWO)], (0, 0)), expected)
    now += 1000 * NANOSECONDS
    for expected in (Grant, Grant, Refused):
        assert isinstance(ledger.reserve([("key", TWO)], (0, 0)), expected)


def test_a_write_that_was_cut_short_is_undone_first(memory: SharedMemory) -> None:
    table, scope = Table(memory), ("key", TWO)
    table.use_part(0)
    ledger = Ledger(table, lambda: 10**15)
    assert isinstance(ledger.reserve([scope], (0, 0)), Grant)
    with table.locked():
        place = table.find("key", 10**15, 0.0)
        table.begin_write([place])
        place[1][REQUESTS] = 0  # and the worker is killed
    assert isinstance(ledger.reserve([scope], (0, 0)), Grant)
    assert isinstance(ledger.reserve([scope], (0, 0)), Refused)
