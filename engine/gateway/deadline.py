"""One timer for a whole exchange: each phase sets how long it may take and what a timeout means."""

import asyncio
from types import TracebackType

from engine.upstream import Failure


class Deadline:
    """`async with` it around an exchange; TimeoutError comes out when a phase takes too long.

    `failure` then says which phase it was; None stands for a caller who stopped reading.
    """

    def __init__(self, total: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + total
        self._timer = asyncio.timeout_at(self._end)
        self.failure: Failure | None = Failure.TOTAL_TIMEOUT

    async def __aenter__(self) -> "Deadline":
        await self._timer.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._timer.__aexit__(kind, error, traceback)

    def allow(self, seconds: float, failure: Failure | None) -> None:
        """Start a phase of at most `seconds`, within the total."""
        when = self._loop.time() + seconds
        if when < self._end:
            self.failure = failure
            self._timer.reschedule(when)
        else:
            self.failure = Failure.TOTAL_TIMEOUT
            self._timer.reschedule(self._end)
