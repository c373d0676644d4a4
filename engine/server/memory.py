"""How much memory a process takes, and keeps for later."""

import contextlib
import ctypes
import gc
import os
from collections.abc import Iterable
from pathlib import Path

MIB = 1024 * 1024
GC_THRESHOLD = 10_000
CHECKS = 3  # in a row above the limit, since a large body is freed soon
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def memory_of(pid: int) -> int:
    """Bytes of memory that a process takes (its resident set, proc(5)); 0 where it is not known."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def keep_freed_memory() -> None:
    """Let glibc keep what one large body gave back: it would fetch the pages of the next anew."""
    with contextlib.suppress(AttributeError):  # another libc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, 16 << 20)
        mallopt(M_MMAP_THRESHOLD, 8 << 20)


def freeze_objects() -> None:
    """Let no collection look at what there is now, neither here nor in processes that are forked from now on.

    A collection writes to each object that it looks at, so each process would have a copy of all of them.
    """
    gc.freeze()


def tune_garbage_collection() -> None:
    """Keep what was loaded out of every later collection, and collect the young less often.

    A request makes some sixty short-lived containers and hardly ever a cycle. What was loaded
    before, and what loading left over, is collected now or never.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)


def collect_garbage() -> None:
    """Collect what the previous Plan and Gateway have left, and not what was kept out at the start.

    To look at all of that would take 60 ms, in which no request goes on. A Plan has no cycle, so
    nearly all of the first one is freed without it.
    """
    gc.collect()


class MemoryLimit:
    """Finds processes that take more than `limit` bytes; None: there is no limit."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._counts: dict[int, int] = {}  # how often in a row each process was above it

    def exceeded_by(self, pids: Iterable[int]) -> list[int]:
        """Those of `pids` that were above the limit at CHECKS calls in a row; they start anew."""
        if self._limit is None:
            return []
        above = [pid for pid in pids if memory_of(pid) > self._limit]
        self._counts = {pid: self._counts.get(pid, 0) + 1 for pid in above}
        found = [pid for pid, count in self._counts.items() if count >= CHECKS]
        for pid in found:
            del self._counts[pid]
        return found
