"""What the kernel says of processes and of the machine."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
GATE, LOAD = 0, 1  # the core of what is measured, and the core of all that drives it


def pinned(core: int | None, command: list[str]) -> list[str]:
    """`command` on one core; None leaves it to the kernel."""
    return command if core is None else ["taskset", "-c", str(core), *command]


def tree(pid: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its descendants so far, ended threads included."""
    return sum(cpu_of_stat(Path(f"/proc/{p}/stat").read_text()) for p in tree(pid))


def cpu_of_stat(stat: str) -> float:
    """User and system time in one line of /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_nanoseconds(pid: int) -> int:
    """CPU time of the threads of a process and its descendants, without those that ended."""
    files = (f for p in tree(pid) for f in Path(f"/proc/{p}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in files)


def rss_kib(pid: int) -> int:
    """Resident memory of a process and its descendants that is not shared between them.

    Each page counts in proportion to how many processes map it.
    """
    total = 0
    for p in tree(pid):
        rollup = Path(f"/proc/{p}/smaps_rollup").read_text()
        total += int(rollup.partition("\nPss:")[2].split()[0])
    return total


def describe() -> dict[str, str]:
    """The machine, for the report."""
    info = Path("/proc/cpuinfo").read_text()
    model = info.partition("model name")[2].partition(":")[2].partition("\n")[0].strip()
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024 // 1024
    return {
        "cpu": f"{model or platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{memory} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
