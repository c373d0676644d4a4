"""Counters in a file outlive their server, and a reboot, and say when they could not."""

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.limits.core import ACTIVE, HELD_INPUT, Refused
from engine.limits.ledger import Ledger
from engine.limits.memory_file import MAGIC, Clocks, ForeignError, _claim, open_memory_file
from engine.limits.store import Grant
from engine.limits.table import BLOCK, IDENTITY, WRITE_LEASE, Table
from engine.plan.limits import NANOSECONDS, Budget, CallerLimits, Period, Rate

RECORDS = 64
KEY = [
    (
        "key",
        CallerLimits(requests=Rate(2, 60), concurrent=5, budgets=(Budget(100, Period.MONTH),)),
    )
]


@dataclass
class Machine:
    """A machine that can be booted again: its monotonic clock begins anew then."""

    path: Path
    monotonic: int = 10**15
    wall: int = 1_766_000_000 * NANOSECONDS
    boot: bytes = b"1" * 16
    problem: str | None = field(default=None, init=False)

    def started(self, workers: int = 2) -> Ledger:
        """A ledger of a server that has just been started. The one before it is gone."""
        clocks = Clocks(lambda: self.monotonic, lambda: self.wall, lambda: self.boot)
        kept = open_memory_file(self.path, workers, RECORDS, clocks)
        self.problem = kept.problem
        table = Table(kept.memory)
        table.use_part(0)
        os.close(os.dup(kept.memory.descriptor))  # ends the locks of this process, as a kill does
        return Ledger(table, lambda: self.monotonic, lambda: self.wall / NANOSECONDS)

    def reboot(self, seconds: int) -> None:
        self.wall += seconds * NANOSECONDS
        self.monotonic, self.boot = 5 * NANOSECONDS, b"2" * 16

    def wait(self, seconds: int) -> None:
        self.wall += seconds * NANOSECONDS
        self.monotonic += seconds * NANOSECONDS


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "limits.state")


def granted(ledger: Ledger) -> Grant:
    made = ledger.reserve(KEY, (1, 1))
    assert isinstance(made, Grant)
    return made


def refused(ledger: Ledger) -> Refused:
    made = ledger.reserve(KEY, (1, 1))
    assert isinstance(made, Refused)
    return made


def test_a_spent_budget_is_spent_after_a_restart_with_more_workers(machine: Machine) -> None:
    first = machine.started()
    first.settle(granted(first), (60, 40))
    machine.wait(3600)
    second = machine.started(workers=5)
    assert refused(second).is_spent
    assert machine.problem is None


def test_what_requests_held_is_given_back(machine: Machine) -> None:
    granted(machine.started())
    machine.wait(60)
    assert granted(machine.started()).held == (1, 1)
    machine.wait(60)
    again = machine.started()
    assert isinstance(again.reserve(KEY, (200, 0)), Grant)


@pytest.mark.parametrize("lease", [None, 1 << 60])  # the latter is damage
def test_a_write_that_was_cut_short_is_undone_and_its_request_gone(
    machine: Machine, lease: int | None
) -> None:
    first = machine.started()
    grant = granted(first)
    assert isinstance(grant.lease, int)
    first._table.begin_settle(grant.lease, grant.places)
    if lease is not None:
        first._table._words[WRITE_LEASE] = lease
    grant.places[0][1][ACTIVE] = 99
    second = machine.started()
    state = second._table.find("key", 0, 0.0)[1]
    assert state[ACTIVE] == state[HELD_INPUT] == 0
    assert machine.problem is None


@pytest.mark.parametrize("is_booted", [False, True])
def test_a_rate_goes_on_by_the_time_that_has_passed(machine: Machine, is_booted: bool) -> None:
    first = machine.started()
    for _ in range(2):
        first.settle(granted(first), (0, 0))
    machine.reboot(29) if is_booted else machine.wait(29)
    second = machine.started()
    assert refused(second).wait == 1
    machine.wait(1)
    granted(second)
    assert refused(second).wait == 30


def test_counters_of_a_version_that_did_not_keep_the_rates_go_on(machine: Machine) -> None:
    """Their times are taken for those of the present rates."""
    first = machine.started()
    for _ in range(2):
        first.settle(granted(first), (50, 0))
    content = bytearray(machine.path.read_bytes())
    for at in range(IDENTITY + 2 * BLOCK, IDENTITY + BLOCK * (1 + RECORDS) + 1, BLOCK):
        content[at - 16 : at] = bytes(16)
    machine.path.write_bytes(content)
    second = machine.started()
    assert machine.problem is None
    assert refused(second).is_spent
    of_rate = second.reserve([("key", CallerLimits(requests=Rate(2, 60)))], (0, 0))
    assert isinstance(of_rate, Refused)
    assert of_rate.wait == 30


def test_a_rate_is_another_one_after_a_restart_as_without_one(machine: Machine) -> None:
    first = machine.started()
    for _ in range(2):
        first.settle(granted(first), (0, 0))
    made = machine.started().reserve([("key", CallerLimits(requests=Rate(4, 3600)))], (0, 0))
    assert isinstance(made, Grant)
    assert made.left["requests"][:2] == (4, 1)


def test_a_damaged_counter_begins_anew_and_is_reported(machine: Machine) -> None:
    first = machine.started()
    first.settle(granted(first), (60, 40))
    content = bytearray(machine.path.read_bytes())
    for at in range(IDENTITY + BLOCK, IDENTITY + BLOCK * (1 + RECORDS), BLOCK):
        if content[at]:
            content[at + 16 : at + BLOCK] = b"\x7f" * (BLOCK - 16)
    machine.path.write_bytes(content)
    granted(machine.started())
    assert machine.problem == "1 of its counters were damaged"


@pytest.mark.parametrize("seed", range(8))
def test_no_content_of_the_file_stops_a_start(machine: Machine, seed: int) -> None:
    first = machine.started()
    first.settle(granted(first), (60, 40))
    drawn = random.Random(seed)
    content = bytearray(machine.path.read_bytes())
    if seed % 2:
        del content[drawn.randrange(len(content)) :]
    for _ in range(200):
        if content:
            content[drawn.randrange(min(len(content), IDENTITY + 64 * BLOCK))] = drawn.randrange(
                256
            )
    if len(content) < IDENTITY + len(MAGIC):
        content.clear()
    else:  # without it, it would not be ours
        content[IDENTITY : IDENTITY + len(MAGIC)] = MAGIC
    machine.path.write_bytes(content)
    made = machine.started().reserve([("other", KEY[0][1])], (1, 1))
    assert isinstance(made, Grant)


@pytest.mark.parametrize(
    "content", [b"x" * 100_000, b"# notes\n", bytes(IDENTITY + 5), b"\0" * 100_000]
)
def test_a_file_of_something_else_is_not_touched(machine: Machine, content: bytes) -> None:
    machine.path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(ForeignError):
            machine.started()
    assert machine.path.read_bytes() == content


def test_a_file_of_another_version_begins_anew(machine: Machine) -> None:
    first = machine.started()
    first.settle(granted(first), (60, 40))
    content = bytearray(machine.path.read_bytes())
    content[IDENTITY + len(MAGIC)] += 1
    content[:BLOCK] = b"\x05" * BLOCK  # what an undo would read
    machine.path.write_bytes(content)
    granted(machine.started())
    assert machine.problem == "it is damaged or of another version"


def test_a_start_that_was_cut_short_is_no_foreign_file(machine: Machine) -> None:
    descriptor = os.open(machine.path, os.O_RDWR | os.O_CREAT)
    _claim(descriptor)
    os.close(descriptor)
    granted(machine.started())
