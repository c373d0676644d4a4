"""What the kernel knows of a process: CPU time, memory, open files, start. Linux only."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat after the name in brackets, which is field 2 (proc_pid_stat(5)).
_UTIME, _STIME, _START, _RSS = (number - 3 for number in (14, 15, 22, 24))


def process_values(pid: int) -> list[float] | None:
    """CPU seconds, resident bytes, open files and start (Unix time); None for one that is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
    cpu = (int(stat[_UTIME]) + int(stat[_STIME])) / _TICKS
    return [cpu, int(stat[_RSS]) * _PAGE, files, _boot_time() + int(stat[_START]) / _TICKS]


def _boot_time() -> int:
    """When the machine was started, as Unix time."""
    for line in Path("/proc/stat").read_bytes().splitlines():
        if line.startswith(b"btime "):
            return int(line.split()[1])
    return 0
