"""Processes take parts of the shared memory; what the killed have counted stays."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from engine.telemetry.families import KEYS, WORKERS
from engine.telemetry.memory import CounterMemory, NoPartError, ProcessCounters
from engine.telemetry.totals import TotalsReader
from tests.unit.telemetry.test_metrics import total


@pytest.fixture
def memory() -> Iterator[CounterMemory]:
    made = CounterMemory(4)
    yield made
    made.close()


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_a_killed_process_leaves_its_counts_and_its_part(memory: CounterMemory) -> None:
    readers, writers = zip(os.pipe(), os.pipe(), strict=True)

    def work(written: int) -> None:
        part = ProcessCounters(memory)
        part.words[part.block(KEYS, "k")] += 1
        part.words[part.block(WORKERS)] = 1
        os.write(written, bytes([part.number]))
        signal.pause()

    def start(written: int) -> int:
        child = os.fork()
        if child == 0:
            try:
                work(written)
            finally:
                os._exit(1)
        return child

    children = [start(writers[0]) for _ in range(3)]
    try:
        taken = [os.read(readers[0], 1)[0] for _ in children]
        assert sorted(taken) == [1, 2, 3]
        with pytest.raises(NoPartError):
            ProcessCounters(memory)
        assert total(TotalsReader(memory).read(), WORKERS)[0] == 3
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children.pop(0), 0)
        totals = TotalsReader(memory).read()
        assert total(totals, KEYS, "k")[0] == 3
        assert total(totals, WORKERS)[0] == 2
        children.append(start(writers[1]))
        assert os.read(readers[1], 1)[0] in taken
        totals = TotalsReader(memory).read()
        assert total(totals, KEYS, "k")[0] == 4
        assert total(totals, WORKERS)[0] == 3
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for pipe in (*readers, *writers):
            os.close(pipe)
