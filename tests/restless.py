"""`engine`, with workers that are replaced as soon as they have served for a second.

python -m tests.restless serve FOLDER --worker-memory 100GiB
"""

import time

from engine.cli import main
from engine.server import memory, supervisor

SECONDS = 1.0

_seen: dict[int, float] = {}


def _too_much(pid: int) -> int:
    """Everything, of a process that was seen a second ago."""
    first = _seen.setdefault(pid, time.monotonic())
    return 1 << 60 if time.monotonic() - first > SECONDS else 0


if __name__ == "__main__":
    memory.memory_of = _too_much
    memory.CHECKS = 1
    supervisor.MEMORY_SECONDS = 0.2
    main()
