"""Memory that the workers share: made by their parent, and inherited where they are forked."""

import sys
from dataclasses import dataclass
from pathlib import Path

from engine.limits.memory_file import ForeignError, InUseError, MemoryFile, open_memory_file
from engine.limits.table import SharedMemory
from engine.server.ports import ServeError
from engine.telemetry.memory import CounterMemory, ProcessCounters
from engine.telemetry.server_counts import ServerCounts


@dataclass(frozen=True, slots=True)
class Shared:
    """What callers use, and what is counted for the metrics; None where workers are not forked."""

    limits: SharedMemory | None = None
    counters: CounterMemory | None = None

    def server_counts(self) -> ServerCounts:
        """The counters of this process, the parent."""
        counts = ServerCounts(
            ProcessCounters(self.counters, 0) if self.counters is not None else None
        )
        counts.start()
        return counts


def shared_memory(workers: int, file: Path | None) -> tuple[Shared, str]:
    """Memory for `workers` and their parent, and what to say of `file`, which keeps what callers use.

    While one is replaced there is another one of it, and some may have just died.

    Raises:
        ServeError: the file cannot be used.
    """
    if sys.platform != "linux":
        return Shared(), ""
    most = 2 * workers + 2
    counters = CounterMemory(1 + most)
    if file is None:
        return Shared(SharedMemory(most), counters), ""
    kept = _kept(file, most)
    said = f"limits: counters in {file} start at zero: {kept.problem}\n" if kept.problem else ""
    return Shared(kept.memory, counters), said


def _kept(file: Path, workers: int) -> MemoryFile:
    try:
        return open_memory_file(file, workers)
    except InUseError:
        raise ServeError(f"another server counts limits in {file}") from None
    except ForeignError:
        raise ServeError(
            f"{file} holds something else than limits, and stays as it is: name another file as `limits.file`, or move it away"
        ) from None
    except OSError as error:
        raise ServeError(f"limits cannot be counted in {file}: {error.strerror}") from None
