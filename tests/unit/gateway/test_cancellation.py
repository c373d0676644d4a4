"""The deadline of a task: when it cancels, that it does so once, and what is raised then."""

import asyncio
from functools import partial
from typing import Any, cast

import pytest

from engine.gateway.cancellation import Cancellation, Cause, Deadline

SLOW, LATE = partial(Exception, "slow"), partial(Exception, "late")


class Cancelled:
    """A task that counts how often it was cancelled without having been told that it was handled."""

    count = 0

    def cancel(self) -> None:
        self.count += 1

    def uncancel(self) -> None:
        self.count -= 1


@pytest.fixture
def task() -> Cancelled:
    return Cancelled()


@pytest.fixture
def deadline(task: Cancelled) -> Deadline:
    return Deadline(cast("asyncio.Task[Any]", task))


def ticked(deadline: Deadline, task: Cancelled, *times: float) -> list[int]:
    """How often the task has been cancelled after each tick."""
    counts = []
    for now in times:
        deadline.tick(now)
        counts.append(task.count)
    return counts


def test_a_phase_lasts_from_the_first_tick_that_sees_it_and_is_cancelled_once(
    deadline: Deadline, task: Cancelled
) -> None:
    deadline.allow(5, SLOW)
    assert ticked(deadline, task, 100, 105, 105.1, 106, 200) == [0, 0, 1, 1, 1]
    with pytest.raises(Exception, match="slow"):
        deadline.end(asyncio.CancelledError())
    assert task.count == 0


def test_a_phase_begins_anew_when_it_is_allowed_or_unseen(
    deadline: Deadline, task: Cancelled
) -> None:
    deadline.allow(5, SLOW)
    assert ticked(deadline, task, 100, 104) == [0, 0]
    deadline.allow(5, SLOW)
    assert ticked(deadline, task, 106, 110) == [0, 0]
    deadline.seen = None
    assert ticked(deadline, task, 112, 116, 118) == [0, 0, 1]


@pytest.mark.parametrize("is_late", [False, True])
def test_nothing_is_cancelled_between_phases(
    deadline: Deadline, task: Cancelled, *, is_late: bool
) -> None:
    deadline.limit(110, LATE)
    deadline.allow(5, SLOW)
    assert ticked(deadline, task, 100, 106 if is_late else 101)[-1] is int(is_late)
    deadline.end()  # the phase was over all the same
    assert ticked(deadline, task, 107, 1000) == [0, 0]
    deadline.limit(2000, LATE)
    assert ticked(deadline, task, 1999, 2001) == [0, 1]


def test_a_limit_knows_nothing_of_the_phase_before(deadline: Deadline, task: Cancelled) -> None:
    deadline.allow(5, SLOW)
    assert ticked(deadline, task, 100) == [0]
    deadline.end()
    deadline.limit(120, LATE)
    assert ticked(deadline, task, 119, 121) == [0, 1]


def test_the_limit_is_named_where_it_passes_in_the_middle_of_a_phase(
    deadline: Deadline, task: Cancelled
) -> None:
    deadline.limit(103, LATE)
    deadline.allow(5, SLOW)
    assert ticked(deadline, task, 100, 104) == [0, 1]
    with pytest.raises(Exception, match="late"), deadline:
        raise asyncio.CancelledError


def test_a_phase_that_failed_when_it_was_late_has_failed(
    deadline: Deadline, task: Cancelled
) -> None:
    deadline.allow(5, SLOW)
    assert ticked(deadline, task, 100, 106) == [0, 1]
    deadline.end(ValueError("of the phase"))
    assert task.count == 0
    deadline.end(asyncio.CancelledError())
    assert task.count == 0, "which somebody else has cancelled"


def test_a_server_that_stops_does_not_cancel_for_a_caller_who_has_left(task: Cancelled) -> None:
    async def leave() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def run() -> None:
        cancellation = Cancellation(cast("asyncio.Task[Any]", task), leave)
        cancellation.watch_caller()
        while not task.count:  # noqa: ASYNC110 there is no event for it
            await asyncio.sleep(0)
        cancellation.abort()
        assert task.count == 1
        assert cancellation.cause() is Cause.CALLER_LEFT
        assert task.count == 0

    asyncio.run(run())
