"""Adds up what the processes have counted."""

import os
from operator import add

from engine.telemetry.families import GROUPS
from engine.telemetry.memory import CounterMemory, Labels

Totals = list[dict[Labels, list[int]]]  # for each of GROUPS: labels -> the words of their block


class TotalsReader:
    """Reads the sums over all parts; it keeps what it has read of their directories, which only grow."""

    def __init__(self, memory: CounterMemory) -> None:
        self._memory = memory
        self._blocks: list[list[tuple[int, Labels, int]]] = [[] for _ in range(memory.parts)]
        self._read = [0] * memory.parts
        self._words = [0] * memory.parts

    def read(self) -> Totals:
        """The sums now. The gauges of a process that is dead do not count."""
        totals: Totals = [{} for _ in GROUPS]
        for part in range(self._memory.parts):
            if self._memory.pid(part):
                self._add_part(totals, part)
        return totals

    def live_parts(self) -> dict[int, int]:
        """The pids of the processes that run, by the number of their part."""
        pids = ((part, self._memory.pid(part)) for part in range(self._memory.parts))
        return {part: pid for part, pid in pids if pid and _is_alive(pid)}

    def _add_part(self, totals: Totals, part: int) -> None:
        blocks = self._follow(part)
        words = self._memory.words(part, self._words[part])
        is_alive = _is_alive(self._memory.pid(part))
        for number, labels, first in blocks:
            group, block_totals = GROUPS[number], totals[number]
            block = words[first : first + group.width].tolist()
            if group.gauges and not is_alive:
                for place in group.gauges:
                    block[place] = 0
            known = block_totals.get(labels)
            block_totals[labels] = block if known is None else list(map(add, known, block))

    def _follow(self, part: int) -> list[tuple[int, Labels, int]]:
        """All blocks of a part, of whose directory only what is new is read."""
        blocks = self._blocks[part]
        for end, number, labels, first in self._memory.entries(part, self._read[part]):
            blocks.append((number, labels, first))
            self._read[part] = end
            self._words[part] = first + GROUPS[number].width
        return blocks


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
