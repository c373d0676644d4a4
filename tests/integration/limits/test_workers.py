"""Several processes share the counters: nothing is admitted twice, and the killed hold nothing."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from engine.limits.core import BUDGETS, RATES, Refused
from engine.limits.ledger import Ledger
from engine.limits.memory_file import InUseError, open_memory_file
from engine.limits.store import Grant
from engine.limits.table import SharedMemory, Table
from engine.plan.limits import Budget, CallerLimits, Period, Rate
from tests.processes import in_a_small_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
PACKAGE = Path(Table.lock.__code__.co_filename).parent


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    made = SharedMemory(workers=4, records=4096, leases=1024)
    yield made
    made.close()


def joined(memory: SharedMemory) -> Ledger:
    table = Table(memory)
    table.claim_part()
    return Ledger(table)


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a process, which ends with 0 if it did; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def test_of_four_workers_that_race_for_the_last_unit_exactly_one_gets_it(
    memory: SharedMemory,
) -> None:
    kinds = (
        CallerLimits(requests=Rate(5, 3600)),
        CallerLimits(budgets=(Budget(5, Period.MONTH),)),
        CallerLimits(concurrent=5),
    )
    keys = [[(f"key {number}", kinds[number % 3])] for number in range(150)]
    reading, writing = os.pipe()

    def slow() -> int:
        time.sleep(0.0001)  # with the lock, so that the others wait for it wherever it is given up
        return time.monotonic_ns()

    def race() -> None:
        table = Table(memory)
        table.claim_part()
        ledger = Ledger(table, monotonic=slow)
        admitted = bytearray()
        for _ in range(4):
            for number, key in enumerate(keys):
                grant = ledger.reserve(key, (1, 0))
                if isinstance(grant, Grant):
                    admitted.append(number)
                    if number % 3 == 1:
                        ledger.settle(grant, (1, 0))
        os.write(writing, bytes(admitted))
        time.sleep(30)  # what it holds is given back when it ends

    children = [fork(race) for _ in range(4)]
    admitted = b""
    while len(admitted) < 5 * len(keys):
        admitted += os.read(reading, 4096)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.close(writing)
    admitted += os.read(reading, 4096)
    os.close(reading)
    assert [admitted.count(number) for number in range(len(keys))] == [5] * len(keys)


def test_what_a_killed_worker_held_is_given_back() -> None:
    memory = SharedMemory(workers=2, records=64, leases=8)
    key = [("key", CallerLimits(concurrent=2, budgets=(Budget(100, Period.DAY),)))]

    def hold() -> None:
        ledger = joined(memory)
        ledger.reserve(key, (30, 30))
        ledger.reserve(key, (30, 30))
        os.kill(os.getpid(), signal.SIGKILL)

    ledger = joined(memory)
    os.waitpid(fork(hold), 0)
    assert isinstance(ledger.reserve(key, (1, 1)), Refused)
    assert ledger.recover_dead() == 2
    assert ledger.recover_dead() == 0

    def succeed() -> None:
        joined(memory)

    assert os.waitpid(fork(succeed), 0)[1] == 0, "its place is free again"
    grant = ledger.reserve(key, (99, 99))
    assert isinstance(grant, Grant)
    assert grant.held == (99, 1)
    memory.close()


def test_a_successor_gives_back_what_the_worker_before_it_held(memory: SharedMemory) -> None:
    key = [("key", CallerLimits(concurrent=1))]

    def hold() -> None:
        joined(memory).reserve(key, (1, 1))
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(fork(hold), 0)
    assert isinstance(joined(memory).reserve(key, (1, 1)), Grant)


def test_a_worker_that_lives_keeps_what_it_holds(memory: SharedMemory) -> None:
    key = [("key", CallerLimits(concurrent=1))]
    reading, writing = os.pipe()

    def hold() -> None:
        joined(memory).reserve(key, (1, 1))
        os.write(writing, b"x")
        time.sleep(30)

    child = fork(hold)
    os.read(reading, 1)
    other = joined(memory)
    assert other.recover_dead() == 0
    assert isinstance(other.reserve(key, (1, 1)), Refused)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)


def killed_at(line: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that kills the process at the line of the package that is run as this number."""
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if Path(frame.f_code.co_filename).parent == PACKAGE and event == "line":
            seen += 1
            if seen == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def killed_at_each_line(limits: CallerLimits) -> list[tuple[int, list[int], list[int]]]:
    """What two scopes hold after a worker was killed at a line: the line, and one and the other."""
    scopes = [("key", limits), ("account", limits)]
    found: list[tuple[int, list[int], list[int]]] = []
    code = 1
    while code:
        line = 7 * len(found) + 7  # not each, for the time that it takes
        memory = SharedMemory(workers=2, records=64, leases=8)

        def work(memory: SharedMemory = memory, line: int = line) -> None:
            table = Table(memory)
            table.claim_part()
            ledger = Ledger(table)
            sys.settrace(killed_at(line))
            grant = ledger.reserve(scopes, (5, 5))
            assert isinstance(grant, Grant)
            ledger.settle(grant, (3, 4))
            sys.settrace(None)

        code = os.waitpid(fork(work), 0)[1]
        table = Table(memory)
        table.claim_part()
        with table.locked():
            states = (table.find(name, 0, 0.0)[1].tolist() for name, _ in scopes)
            one, other = (state[:RATES] for state in states)
        memory.close()
        found.append((line, one, other))
    return found


@pytest.mark.parametrize(
    "limits",
    [
        CallerLimits(requests=Rate(50, 3600), concurrent=9, budgets=(Budget(99, Period.DAY),)),
        CallerLimits(requests=Rate(50, 3600)),
    ],
    ids=["held", "counted"],
)
def test_a_worker_killed_at_any_line_leaves_a_whole_write_or_none(limits: CallerLimits) -> None:
    found = in_a_small_process(killed_at_each_line, limits)
    for line, one, other in found:
        assert one == other, f"killed at line {line}"
        assert one[4:8] == [0, 0, 0, 0], f"killed at line {line}"
        assert one[BUDGETS + 1] in (0, 7), f"killed at line {line}"
    assert len(found) > 6


def test_two_servers_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "limits.state"
    reading, writing = os.pipe()

    def serve() -> None:
        kept = open_memory_file(path, 1, 64)
        os.write(writing, b"x")
        time.sleep(30)
        kept.memory.close()

    child = fork(serve)
    try:
        os.read(reading, 1)
        with pytest.raises(InUseError):
            open_memory_file(path, 1, 64)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    open_memory_file(path, 1, 64)
    assert path.stat().st_mode & 0o777 == 0o600
    os.close(reading)
    os.close(writing)
