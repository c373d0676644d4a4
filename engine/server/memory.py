"""How much memory a process takes, and keeps for later."""

import contextlib
import ctypes
import os
from pathlib import Path

MIB = 1024 * 1024
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
