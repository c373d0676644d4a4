"""What the parent knows of one worker process."""

import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from engine.server.channel import WorkerChannel

RETRY_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """A worker process. `replaces` is the worker that stops once this one listens, and `why`.

    `renewals` are those of the TLS files before it started, `tried` those for which a successor was.
    """

    number: int
    process: BaseProcess
    channel: WorkerChannel
    is_restart: bool = False
    replaces: "WorkerProcess | None" = None
    why: str = ""
    renewals: int = 0
    tried: int = 0
    retry_at: float = 0.0
    is_listening: bool = False
    is_stopping: bool = False
    started: float = field(default_factory=time.monotonic)

    def record_try(self, renewals: int, now: float) -> None:
        """A successor with the files of so many renewals is started."""
        self.tried, self.retry_at = renewals, now + RETRY_SECONDS

    def is_behind(self, renewals: int, now: float) -> bool:
        """Whether to replace it for its TLS files: a successor that failed is tried again in a minute."""
        return self.renewals < renewals and (self.tried < renewals or now >= self.retry_at)
