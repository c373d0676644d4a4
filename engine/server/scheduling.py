"""How the threads of a busy worker take turns on its cores. Linux only; elsewhere nothing happens.

A worker's threads wake each other several times a request. For one caller who waits for the
response, the one that is woken should run at once, for the lowest latency. With several requests
under way it should wait until the other has finished (sched(7), SCHED_BATCH): the two then
hand over many requests, or events of streams, at a time, with a third less CPU for each.
"""

import contextlib
import os
import time
from pathlib import Path

# CPU seconds a second. With SCHED_BATCH the same load uses less, hence the lower threshold.
BUSY, NOT_BUSY = 0.3, 0.2
MIN_REQUESTS = 2  # requests under way

_THREADS = Path("/proc/self/task")


class ThreadScheduler:
    """Measures at each tick how much of a core this process has used since the last one.

    A scheduling policy set by the operator is left unchanged.
    """

    def __init__(self) -> None:
        self._is_batch = False
        self._is_free = hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) == os.SCHED_OTHER
        self._ticked_at = time.monotonic()
        self._used = time.process_time()

    def tick(self, requests: int) -> None:
        """Choose the policy of the threads until the next tick, with `requests` in flight now."""
        used, now = time.process_time(), time.monotonic()
        share = (used - self._used) / max(now - self._ticked_at, 0.001)
        self._used, self._ticked_at = used, now
        wanted = requests >= MIN_REQUESTS and share > (NOT_BUSY if self._is_batch else BUSY)
        if wanted != self._is_batch and self._is_free:
            self._is_batch = wanted
            _take(os.SCHED_BATCH if wanted else os.SCHED_OTHER)


def _take(policy: int) -> None:
    """Give every thread this policy; one that has just ended, or a refusing kernel, changes nothing."""
    for thread in _THREADS.iterdir():
        with contextlib.suppress(OSError):
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(0))
