"""How long each phase of a request may take, without a timer for each.

A phase only sets a time; the gateway looks at the times of all requests several times a second.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any

NEVER = float("inf")


class Deadline:
    """`with` it around phases of `task`; what `allow` named comes out of a late one."""

    __slots__ = ("_end", "_is_over", "_late", "_task", "when")

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self._task = task
        self._end: tuple[float, Callable[[], Exception]] | None = None
        self._is_over = False
        self._late: Callable[[], Exception] = TimeoutError
        self.when = NEVER

    def limit(self, end: float, late: Callable[[], Exception]) -> None:
        """Whatever the phases are, the last of them ends before `end`."""
        self._end = (end, late)
        self.when, self._late = end, late

    def allow(self, seconds: float, late: Callable[[], Exception]) -> None:
        """Start a phase of at most `seconds`; `late` makes what is raised when it takes longer."""
        self.when, self._late = monotonic() + seconds, late
        if self._end is not None and self._end[0] <= self.when:
            self.when, self._late = self._end

    def tick(self, now: float) -> None:
        """Interrupt the task if its phase has taken too long."""
        if now > self.when and self._task is not None:
            self.when, self._is_over = NEVER, True
            self._task.cancel()

    def __enter__(self) -> None:
        """Nothing is allowed or forbidden before the first `allow`."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.when, self._end = NEVER, None
        if self._is_over and self._task is not None:
            self._is_over = False
            self._task.uncancel()
            if kind is not None and issubclass(kind, asyncio.CancelledError):
                raise self._late() from None
