"""Memory that the workers share: made by their parent, and inherited where they are forked."""

import sys
from dataclasses import dataclass

from engine.limits.table import SharedMemory
from engine.telemetry.memory import CounterMemory, Part
from engine.telemetry.server_counts import ServerCounts


@dataclass(frozen=True, slots=True)
class Shared:
    """What callers use, and what is counted for the metrics; None where workers are not forked."""

    limits: SharedMemory | None = None
    counters: CounterMemory | None = None

    def server_counts(self) -> ServerCounts:
        """The counters of this process, the parent."""
        counts = ServerCounts(Part(self.counters, 0) if self.counters is not None else None)
        counts.start()
        return counts


def shared_memory(workers: int) -> Shared:
    """Memory for `workers` and their parent.

    While one is replaced there is another one of it, and some may have just died.
    """
    if sys.platform != "linux":
        return Shared()
    most = 2 * workers + 2
    return Shared(SharedMemory(most), CounterMemory(1 + most))
