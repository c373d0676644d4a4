"""How many exchanges with one provider run at once, and how many may wait, in order of arrival."""

import asyncio
from collections import deque

from engine.plan.plan import Limits
from engine.upstream import Failure, UpstreamError


class Limiter:
    """The slots of one provider in one worker."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.in_flight = 0

    @property
    def queued(self) -> int:
        """How many wait for a slot."""
        return len(self._waiting)

    def take(self) -> bool:
        """Take a slot if one is free and nobody waits for it."""
        if self.in_flight < self._limits.in_flight and not self._waiting:
            self.in_flight += 1
            return True
        return False

    async def acquire(self) -> None:
        """Take a slot, waiting for one if the queue has room.

        Raises:
            UpstreamError: OVERLOADED when the queue is full or the wait too long.
        """
        if self.take():
            return
        if len(self._waiting) >= self._limits.queue:
            raise UpstreamError(Failure.OVERLOADED)
        slot = asyncio.get_running_loop().create_future()
        self._waiting.append(slot)
        try:
            async with asyncio.timeout(self._limits.wait):
                await slot
        except BaseException as error:
            self._give_up(slot)
            if isinstance(error, TimeoutError):
                raise UpstreamError(Failure.OVERLOADED) from None
            raise

    def release(self) -> None:
        """Give the slot to the request that has waited longest."""
        while self._waiting:
            slot = self._waiting.popleft()
            if not slot.done():
                slot.set_result(None)
                return
        self.in_flight -= 1

    def _give_up(self, slot: asyncio.Future[None]) -> None:
        """Leave the queue; a slot that was given in the same moment is passed on."""
        if slot.done() and not slot.cancelled():
            self.release()
        elif slot in self._waiting:
            self._waiting.remove(slot)
