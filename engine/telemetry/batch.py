"""Counts of a moment in lists of Python, added to the shared memory together.

A number in shared memory is changed through a memoryview, at 80 ns for each; in a list it takes 10.
"""

from collections.abc import Callable
from typing import TypeAlias

from engine.telemetry.families import Group
from engine.telemetry.memory import Part

SECONDS = 0.01  # from the first count of a batch until it is added
MOST = (1 << 63) - 1  # of a word; more than that would keep every other count of its batch out

Counts: TypeAlias = list[int]
Block: TypeAlias = tuple[int, Counts]  # where its words begin, and what is to be added to each


class Batch:
    """What is to be added to the blocks of `part`. `later` calls what it is given, SECONDS later."""

    def __init__(self, part: Part, later: Callable[[Callable[[], None]], object]) -> None:
        self._part = part
        self._later = later
        self._blocks: dict[int, Block] = {}
        self._always: list[Block] = []
        self._waiting: list[Block] = []

    def block(self, at: int, group: Group) -> Block:
        """The block of `group` that begins at word `at`; its counts may be changed after `note`."""
        found = self._blocks.get(at)
        if found is None:
            found = self._blocks[at] = at, [0] * group.width
        return found

    def always(self, at: int, group: Group) -> Counts:
        """The counts of such a block that may be changed without `note`; each `add` looks at them."""
        block = self.block(at, group)
        self._always.append(block)
        return block[1]

    def note(self, *blocks: Block) -> None:
        """These blocks are about to have counts."""
        is_first = not self._waiting
        self._waiting += blocks
        if is_first:
            self._later(self.add)

    def add(self) -> None:
        """Add to the shared memory what waits for that."""
        words = self._part.words
        waiting, self._waiting = self._waiting, []
        for at, counts in (*self._always, *waiting):
            for place, count in enumerate(counts):
                if count:
                    words[at + place] = min(words[at + place] + count, MOST)
                    counts[place] = 0
