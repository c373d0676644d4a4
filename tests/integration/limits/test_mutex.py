"""The lock of limits among processes: one at a time, and no owner that dies keeps it."""

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

from engine.limits.mutex import Mutex
from tests.processes import in_a_small_process

ROUNDS = 5000
PROCESSES = 4


def lock(mutex: Mutex) -> None:
    """As a Table does."""
    code = mutex.trylock()
    if code:
        mutex.wait(code)


def forked(work: Callable[[], None]) -> int:
    """The pid of a process that does `work` and ends."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def test_one_process_at_a_time_has_it() -> None:
    mutex, shared = Mutex(), memoryview(mmap.mmap(-1, 8)).cast("q")

    def count() -> None:
        for _ in range(ROUNDS):
            lock(mutex)
            before = shared[0]
            os.sched_yield()
            shared[0] = before + 1
            mutex.unlock()

    for pid in [forked(count) for _ in range(PROCESSES)]:
        os.waitpid(pid, 0)
    assert shared[0] == PROCESSES * ROUNDS


def holder(mutex: Mutex, until: int) -> int:
    """The pid of a process that has it, until something can be read."""
    reading, writing = os.pipe()

    def hold() -> None:
        lock(mutex)
        os.write(writing, b"x")
        os.read(until, 1)

    pid = forked(hold)
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    return pid


def test_it_outlives_each_owner_that_dies() -> None:
    in_a_small_process(_kill_owners)


def _kill_owners() -> None:
    mutex, (reading, writing) = Mutex(), os.pipe()

    def kill(victim: int) -> None:
        time.sleep(0.01)
        os.kill(victim, signal.SIGKILL)

    for _ in range(10):
        pid = holder(mutex, reading)
        killer = forked(partial(kill, pid))
        for _ in range(3):
            lock(mutex)  # the first waits for the end of the other one
            mutex.unlock()
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        os.waitpid(killer, 0)
        pid = holder(mutex, reading)  # and this one is dead before anybody waits
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)


def test_other_threads_go_on_while_one_waits() -> None:
    mutex, (reading, writing) = Mutex(), os.pipe()
    pid = holder(mutex, reading)
    threading.Timer(0.1, os.write, (writing, b"x")).start()
    lock(mutex)  # the holder ends with it
    mutex.unlock()
    os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)
