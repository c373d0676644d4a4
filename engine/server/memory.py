"""How much memory a process takes."""

import os
from pathlib import Path

MIB = 1024 * 1024


def memory_of(pid: int) -> int:
    """Bytes of memory that a process takes (its resident set, proc(5)); 0 where it is not known."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
