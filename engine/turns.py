"""How the threads of a busy worker take turns on its cores. Linux only; elsewhere nothing happens.

A worker's threads wake each other several times a request. At rest the one that is woken should
run at once, which is the shortest way to an answer. In a worker that keeps a core busy it had
better wait until the other has finished (sched(7), SCHED_BATCH): the two then hand over many
requests at a time, with a third less CPU for each. A worker that shares its core with another
busy process gets too little of it to count as busy, so it does not wait for that one.
"""

import contextlib
import os
import time
from pathlib import Path

BUSY, CALM = 0.8, 0.5  # CPU seconds a second; the same load takes less in turns, hence the gap

_THREADS = Path("/proc/self/task")


class Turns:
    """Looks, now and then, at how much of a core this process has used since the last look.

    A process that an operator has given a policy keeps it.
    """

    def __init__(self) -> None:
        self._is_batch = False
        self._is_free = hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) == os.SCHED_OTHER
        self._looked_at = time.monotonic()
        self._used = time.process_time()

    def look(self) -> None:
        """Choose how threads take turns until the next look."""
        used, now = time.process_time(), time.monotonic()
        share = (used - self._used) / max(now - self._looked_at, 0.001)
        self._used, self._looked_at = used, now
        wanted = share > (CALM if self._is_batch else BUSY)
        if wanted != self._is_batch and self._is_free:
            self._is_batch = wanted
            _take(os.SCHED_BATCH if wanted else os.SCHED_OTHER)


def _take(policy: int) -> None:
    """Give every thread this policy; one that has just ended, or a refusing kernel, changes nothing."""
    for thread in _THREADS.iterdir():
        with contextlib.suppress(OSError):
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(0))
