"""How much memory a process takes, and keeps for later."""

import contextlib
import ctypes
import gc
import os
from pathlib import Path

MIB = 1024 * 1024
YOUNG_OBJECTS = 10_000
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


def settle_garbage() -> None:
    """Keep what was loaded out of every later collection, and collect the young less often.

    A request makes some sixty short-lived containers and hardly ever a cycle. What was loaded
    before, and what loading left over, is collected now or never.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
