"""What the parent knows of one worker process."""

import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from engine.server.channel import WorkerChannel


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """A worker process. `replaces` is the worker that stops once this one listens, and `why`.

    `renewals` are those of the TLS files before it started.
    """

    number: int
    process: BaseProcess
    channel: WorkerChannel
    is_restart: bool = False
    replaces: "WorkerProcess | None" = None
    why: str = ""
    renewals: int = 0
    is_stopping: bool = False
    started: float = field(default_factory=time.monotonic)
