"""What a worker notes once a second, and of the limits of callers."""

import asyncio
import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.gateway.access_log import AccessLog
from engine.gateway.app import ProviderState
from engine.gateway.errors import GatewayError
from engine.gateway.outbound.health import Health
from engine.gateway.record import Record
from engine.plan.limit_store import NO_STORE
from engine.plan.limits import CallerLimits, Rate
from engine.plan.plan import Breaker, Caller, Dialect, Limits, Retry
from engine.server.hooks.limits import LimitHooks
from engine.server.hooks.metrics import WorkerMetrics
from engine.server.hooks.worker import WorkerHooks
from engine.telemetry.families import GROUPS, KEYS, LIMITS, PROVIDERS, WORKERS, Group
from engine.telemetry.memory import CounterMemory
from engine.telemetry.totals import TotalsReader
from engine.upstream.limiter import Limiter
from tests.unit.gateway.plans import shipped_plan

RETRY = Retry(1, frozenset(), 0.0, 0.0)


@pytest.fixture
def memory() -> Iterator[CounterMemory]:
    made = CounterMemory(2)
    yield made
    made.close()


def values(memory: CounterMemory, group: Group, *labels: str) -> dict[str, int]:
    words = TotalsReader(memory).read()[GROUPS.index(group)][labels]
    return {f.name.removeprefix("orqen_"): words[group.places[f.name]] for f in group.families}


def lag_of(memory: CounterMemory) -> list[int]:
    """The buckets of the lag of the event loop, and its sum in microseconds."""
    at = WORKERS.places["orqen_event_loop_lag_seconds"]
    return TotalsReader(memory).read()[GROUPS.index(WORKERS)][()][at : at + 14]


def test_the_state_of_providers_is_noted_over_all_plans_in_use(memory: CounterMemory) -> None:
    breaker = Health(Breaker(1, None, 0, 60.0), RETRY)
    limiter, other = Limiter(Limits(1, 5, 9.0)), Limiter(Limits(1, 5, 9.0))
    state = ProviderState("p", limiter, breaker)
    changed = ProviderState("p", other, Health(None, RETRY))
    idle = ProviderState("idle", Limiter(Limits(1, 5, 9.0)), Health(None, RETRY))
    plans: Any = [
        SimpleNamespace(requests={1: 1, 2: 2}, provider_states=lambda: [state, idle]),
        SimpleNamespace(requests={3: 3}, provider_states=lambda: [state, changed, idle]),
    ]
    log = AccessLog(io.StringIO())
    metrics = WorkerMetrics(memory)

    async def run() -> None:
        assert limiter.take()
        assert other.take()
        waiting = asyncio.ensure_future(limiter.acquire())
        await asyncio.sleep(0)
        breaker.record(0.0, is_good=False, is_probe=False)
        log.dropped = 7
        metrics.tick(3600.0, plans, log)
        metrics.count_store_errors(2)
        metrics.count_store_errors(5)
        assert values(memory, PROVIDERS, "p") == {
            "provider_in_flight_requests": 2,
            "provider_queued_requests": 1,
            "breaker_open": 1,
            "breaker_opened_total": 1,
        }
        assert values(memory, WORKERS)["in_flight_requests"] == 3
        limiter.release()
        await waiting
        limiter.release()
        other.release()
        breaker.record(70.0, is_good=True, is_probe=True)
        metrics.tick(3600.0, [], log)
        breaker.record(80.0, is_good=False, is_probe=False)
        breaker.record(150.0, is_good=True, is_probe=True)
        metrics.tick(3600.0, plans, log)

    asyncio.run(run())
    assert set(values(memory, PROVIDERS, "p").values()) == {0, 2}
    assert values(memory, PROVIDERS, "p")["breaker_opened_total"] == 2
    assert values(memory, WORKERS)["log_lines_lost_total"] == 7
    assert values(memory, WORKERS)["limit_store_errors_total"] == 5
    assert ("idle",) not in TotalsReader(memory).read()[GROUPS.index(PROVIDERS)]
    assert lag_of(memory) == [2, *[0] * 13], "none of the ticks was late"
    metrics.tick(-3600.0, plans, log)  # as if an hour late
    assert lag_of(memory)[:-1] == [2, *[0] * 11, 1]
    assert lag_of(memory)[-1] >= 3600 * 10**6


def test_decisions_about_limits_are_counted(memory: CounterMemory) -> None:
    metrics, hooks = WorkerMetrics(memory), LimitHooks(None)
    hooks.allowed, hooks.refused = metrics.limit_counts()
    endpoint: Any = SimpleNamespace(dialect=Dialect.OPENAI, is_free=False)

    def admit(limits: CallerLimits | None) -> object:
        caller = Caller("k", None, None, (), None, limits=limits)
        return hooks.admit(caller, endpoint, "m", cast(Any, None), 1)

    async def run() -> None:
        assert admit(None) is None
        for _ in range(3):
            assert admit(CallerLimits(requests=Rate(3, 3600))) is not None
        with pytest.raises(GatewayError):
            admit(CallerLimits(requests=Rate(3, 3600)))
        metrics.add()

    asyncio.run(run())
    assert values(memory, LIMITS, "allowed") == {"limit_checks_total": 3}
    assert values(memory, LIMITS, "refused") == {"limit_checks_total": 1}


def test_a_decision_is_counted_at_the_next_tick_while_its_request_is_under_way(
    memory: CounterMemory,
) -> None:
    metrics = WorkerMetrics(memory)
    allowed, refused = metrics.limit_counts()

    async def run() -> None:
        for ticks in range(1, 3):
            allowed[0] += 2
            refused[0] += 1
            metrics.tick(1.0, [], AccessLog(io.StringIO()))
            assert values(memory, LIMITS, "allowed") == {"limit_checks_total": 2 * ticks}
            assert values(memory, LIMITS, "refused") == {"limit_checks_total": ticks}

    asyncio.run(run())


def test_a_tick_notes_what_traces_and_the_limit_store_have_counted(memory: CounterMemory) -> None:
    hooks: Any = WorkerHooks(None, None, memory, AccessLog(io.StringIO()), lambda: None, NO_STORE)
    hooks._traces = SimpleNamespace(queue=SimpleNamespace(exported=3, dropped=2))
    hooks._limits._shared = SimpleNamespace(errors=4)
    hooks.tick(1.0, [])
    hooks._traces.queue.exported = 5
    hooks.tick(1.0, [])
    found = values(memory, WORKERS)
    assert found["traces_exported_total"] == 5
    assert found["traces_lost_total"] == 2
    assert found["limit_store_errors_total"] == 4


def test_the_requests_of_each_plan_are_counted(memory: CounterMemory) -> None:
    hooks = WorkerHooks(None, None, memory, AccessLog(io.StringIO()), lambda: None, NO_STORE)
    for _ in range(2):
        (sink,) = hooks.of(shipped_plan()).sinks
        sink.write([Record(endpoint="e", key="k")] * 2)
    assert TotalsReader(memory).read()[GROUPS.index(KEYS)]["k",][0] == 4
