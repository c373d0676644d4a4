"""Counts the requests of one worker and adds them to the store, from a thread of its own.

A request changes numbers in memory. Once a second they are handed to the thread. While the database
cannot be used they are kept, MAX_ROWS of them; what does not fit is lost, and counted in `lost`.
"""

import asyncio
import contextlib
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable

from engine.accounts.database import Database
from engine.accounts.errors import StoreError
from engine.accounts.tables import LATENCY_BOUNDS, LATENCY_COLUMNS
from engine.accounts.usage import HOUR, UsageRow, add_usage

FLUSH_SECONDS = 1.0
MAX_ROWS = 20_000
MAX_ROWS_PER_SECOND = 2_000  # further models count as OTHER
OTHER = "(other models)"
JOIN_SECONDS = 2.0
_INPUT = 3 + len(LATENCY_COLUMNS)  # places in the numbers of a group, after the latencies
_INPUT_KNOWN, _OUTPUT, _OUTPUT_KNOWN, _COST, _COST_KNOWN, _UNPRICED, _NUMBERS = range(
    _INPUT + 1, _INPUT + 8
)

ID = 36  # characters of an id

Group = tuple[str, str | None, str | None, str]  # caller, model, provider, version of the prices


class UsageWriter:
    """`add` is for the event loop; `lost` is called there with a number of requests."""

    def __init__(self, database: Database, lost: Callable[[int], None]) -> None:
        self._database = database
        self._lost = lost
        self._counts: dict[Group, list[int]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._full: deque[list[UsageRow]] = deque()
        self._kept: list[UsageRow] = []
        self._wake = threading.Event()
        self._stops = False
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)

    def add(  # noqa: PLR0913, PLR0917 as below
        self,
        group: Group,
        is_error: bool,  # noqa: FBT001 a keyword costs more
        milliseconds: float,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_nano_usd: int | None = None,
    ) -> None:
        """Count one request. Tokens that are not known add nothing, and a cost that is not known is counted as such."""
        counts = self._counts.get(group)
        if counts is None:
            counts = self._new(group)
        counts[0] += 1
        counts[1] += is_error
        counts[2] += int(milliseconds)
        counts[3 + bisect_left(LATENCY_BOUNDS, milliseconds)] += 1
        if input_tokens is not None:
            counts[_INPUT] += input_tokens
            counts[_INPUT_KNOWN] = 1
        if output_tokens is not None:
            counts[_OUTPUT] += output_tokens
            counts[_OUTPUT_KNOWN] = 1
        if cost_nano_usd is not None:
            counts[_COST] += cost_nano_usd
            counts[_COST_KNOWN] = 1
        elif group[3]:
            counts[_UNPRICED] += 1

    def stop(self) -> None:
        """Write what was counted, and end the thread; waits for it for a moment."""
        if self._timer is not None:
            self._timer.cancel()
        self._hand_over()
        self._stops = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def _new(self, group: Group) -> list[int]:
        if len(self._counts) >= MAX_ROWS_PER_SECOND:
            group = (group[0], OTHER, *group[2:])
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._hand_over)
        return self._counts.setdefault(group, [0] * _NUMBERS)

    def _hand_over(self) -> None:
        counts, self._counts, self._timer = self._counts, {}, None
        hour = int(time.time()) // HOUR * HOUR
        rows = [
            UsageRow(
                hour,
                *_labels(group),
                counted[0],
                counted[1],
                counted[2],
                tuple(counted[3:_INPUT]),
                counted[_INPUT] if counted[_INPUT_KNOWN] else None,
                counted[_OUTPUT] if counted[_OUTPUT_KNOWN] else None,
                counted[_COST] if counted[_COST_KNOWN] else None,
                counted[_UNPRICED],
                group[3],
            )
            for group, counted in counts.items()
        ]
        if not rows:
            return
        if sum(map(len, self._full)) + len(self._kept) + len(rows) > MAX_ROWS:
            self._lost(sum(row.requests for row in rows))
            return
        self._full.append(rows)
        self._wake.set()
        if not self._thread.is_alive() and not self._stops:
            with contextlib.suppress(RuntimeError):  # it was started before
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait(FLUSH_SECONDS if self._kept else None)
            self._wake.clear()
            while self._full:
                self._kept.extend(self._full.popleft())
            self._write()
            if self._stops and not self._full:
                return

    def _write(self) -> None:
        if not self._kept:
            return
        try:
            with self._database.write() as connection:
                add_usage(connection, self._kept)
        except StoreError:
            return  # the next time
        self._kept = []


def _labels(group: Group) -> tuple[str, str, str, str]:
    """Account, key, model and provider; "" for what there is not.

    A model that leads to no provider may be any text, so it is left out.
    """
    caller, model, provider, _ = group
    account_id, key_id = (caller[1 : ID + 1], caller[ID + 2 :]) if caller[:1] == "@" else ("", "")
    return account_id, key_id, (model or "") if provider else "", provider or ""
