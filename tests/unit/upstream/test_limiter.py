"""Slots are given in order of arrival, never lost, and never more than there are."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from engine.plan.plan import Limits
from engine.upstream import Failure, UpstreamError
from engine.upstream.limiter import Limiter
from tests.tables import each

Scenario = Callable[[], Awaitable[None]]


def limiter(in_flight: int = 1, queue: int = 10, wait: float = 5.0) -> Limiter:
    return Limiter(Limits(in_flight, queue, wait))


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def run(scenario: Scenario) -> None:
    async def main() -> None:
        await scenario()

    asyncio.run(main())


async def refused(slots: Limiter) -> Failure:
    with pytest.raises(UpstreamError) as caught:
        await slots.acquire()
    return caught.value.failure


def test_first_come_first_served() -> None:
    async def scenario() -> None:
        slots, order = limiter(), list[int]()

        async def visit(number: int) -> None:
            await slots.acquire()
            order.append(number)
            await settle()
            slots.release()

        await asyncio.gather(*(visit(number) for number in range(8)))
        assert order == list(range(8))
        assert slots.in_flight == 0

    run(scenario)


def test_a_newcomer_does_not_overtake() -> None:
    async def scenario() -> None:
        slots = limiter()
        await slots.acquire()
        waiting = asyncio.ensure_future(slots.acquire())
        await settle()
        slots.release()
        late = asyncio.ensure_future(slots.acquire())
        await settle()
        assert (waiting.done(), late.done()) == (True, False)
        slots.release()
        await late

    run(scenario)


def test_a_full_queue_refuses_at_once() -> None:
    async def scenario() -> None:
        slots = limiter(queue=1)
        await slots.acquire()
        waiting = asyncio.ensure_future(slots.acquire())
        await settle()
        assert await refused(slots) is Failure.OVERLOADED
        slots.release()
        await waiting

    run(scenario)


def test_no_queue_at_all() -> None:
    async def scenario() -> None:
        slots = limiter(queue=0)
        await slots.acquire()
        assert await refused(slots) is Failure.OVERLOADED
        slots.release()
        await slots.acquire()

    run(scenario)


def test_a_wait_too_long_leaves_the_queue() -> None:
    async def scenario() -> None:
        slots = limiter(queue=1, wait=0.01)
        await slots.acquire()
        assert await refused(slots) is Failure.OVERLOADED
        assert await refused(slots) is Failure.OVERLOADED  # its place was free again
        slots.release()
        assert slots.in_flight == 0

    run(scenario)


def test_leaving_the_queue_frees_the_place() -> None:
    async def scenario() -> None:
        slots = limiter(queue=1)
        await slots.acquire()
        leaving = asyncio.ensure_future(slots.acquire())
        await settle()
        leaving.cancel()
        await settle()
        staying = asyncio.ensure_future(slots.acquire())
        await settle()
        slots.release()
        await staying
        assert slots.in_flight == 1

    run(scenario)


def test_a_slot_handed_to_one_who_leaves_is_passed_on() -> None:
    async def scenario() -> None:
        slots = limiter()
        await slots.acquire()
        leaving = asyncio.ensure_future(slots.acquire())
        next_one = asyncio.ensure_future(slots.acquire())
        await settle()
        slots.release()  # the slot is given to `leaving`, which has not run yet
        leaving.cancel()
        await asyncio.wait({leaving, next_one}, timeout=1)
        assert leaving.cancelled()
        assert next_one.done()
        slots.release()
        assert slots.in_flight == 0

    run(scenario)


@each("seed", range(20))
def test_no_slot_is_lost_or_made_up(seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        slots, inside, most = limiter(in_flight=3, queue=50, wait=0.02), [0], [0]

        async def visit() -> None:
            await slots.acquire()
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            try:
                await asyncio.sleep(chance.random() / 500)
            finally:
                inside[0] -= 1
                slots.release()

        tasks = [asyncio.ensure_future(visit()) for _ in range(40)]
        for task in chance.sample(tasks, 15):
            await asyncio.sleep(chance.random() / 2000)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (slots.in_flight, most[0]) == (0, 3)
        for _ in range(3):
            await slots.acquire()

    run(scenario)
