"""Memory in which each process of the server counts in a part of its own, without a lock.

    header       the owner's pid; how many bytes of the directory are in use
    directory    which blocks there are: group, labels, and where the words of the block are
    words        the blocks

Only its owner writes to a part, whole 64-bit words; anybody reads. An entry of the directory is written
before the header says that it is there, and never changed. While its owner lives, it has a record lock
of the kernel (fcntl) on a byte of its own. A process that takes the place of a dead one takes a part
whose byte is free, and counts on from what it finds there, so sums never go down.
"""

import fcntl
import json
import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Iterator

from engine.telemetry.families import GROUPS, OTHER, WORKERS, Group

_HEADER = 64  # bytes
_PID, _USED = 0, 1  # words of the header
DIRECTORY = 1536 * 1024
_RESERVE = 16 * 1024  # of the directory, for the blocks of what has no room
MAX_LABEL = 120  # characters
_WORDS = sum(group.width * (group.max_combinations + 1) for group in GROUPS)
_FIRST_WORD = (_HEADER + DIRECTORY) // 8
PART = -(-(_HEADER + DIRECTORY + 8 * _WORDS) // mmap.PAGESIZE) * mmap.PAGESIZE
MAX_COUNT = (1 << 63) - 1  # of a word; more than that would keep the counts after it out
_ENTRY = struct.Struct("=HHI")  # number of the group, bytes of the labels, first word

Labels = tuple[str, ...]


class NoPartError(Exception):
    """All parts have an owner that lives."""


class CounterMemory:
    """Memory of `parts` processes; made by their parent, and inherited by them. Untouched pages take nothing."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        if sys.platform == "linux":
            self.descriptor = os.memfd_create("metrics")
        else:
            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
        os.ftruncate(self.descriptor, PART * parts)
        self.map = mmap.mmap(self.descriptor, PART * parts)

    def close(self) -> None:
        """Give the memory back, for this process."""
        os.close(self.descriptor)

    def pid(self, part: int) -> int:
        """Who owns a part, or did; 0 for nobody yet."""
        return int.from_bytes(self.map[PART * part : PART * part + 8], sys.byteorder)

    def entries(self, part: int, after: int = 0) -> Iterator[tuple[int, int, Labels, int]]:
        """The blocks of a part from byte `after` of its directory on: end of the entry, group, labels, first word."""
        start = PART * part
        used = int.from_bytes(self.map[start + 8 : start + 16], sys.byteorder)
        while after < used:
            at = start + _HEADER + after
            group, size, word = _ENTRY.unpack_from(self.map, at)
            at += _ENTRY.size
            after += _ENTRY.size + size
            yield after, group, tuple(json.loads(self.map[at : at + size])), word

    def words(self, part: int, count: int) -> memoryview:
        """A copy of the first words of a part's blocks."""
        start = PART * part + 8 * _FIRST_WORD
        return memoryview(self.map[start : start + 8 * count]).cast("q")


class ProcessCounters:
    """The part of this process. `words` are its counters, and `block` says which of them to use."""

    def __init__(self, memory: CounterMemory, number: int | None = None) -> None:
        """Take part `number`, or the first but 0 that is free.

        Raises:
            NoPartError: there is none.
        """
        self._memory = memory
        self.number = self._claim_any() if number is None else number
        view = memoryview(memory.map)[PART * self.number : PART * (self.number + 1)]
        self._bytes = view[_HEADER : _HEADER + DIRECTORY]
        self._header = view[:_HEADER].cast("q")
        self.words = view[8 * _FIRST_WORD :].cast("q")
        self._blocks: dict[tuple[int, Labels], int] = {}
        self._counts = [0] * len(GROUPS)
        self._used_bytes = self._used_words = 0
        for end, group, labels, word in memory.entries(self.number):
            self._blocks[group, labels] = word
            self._counts[group] += 1
            self._used_bytes, self._used_words = end, word + GROUPS[group].width
        self._clear_gauges()
        self._header[_PID] = os.getpid()
        self._overflow = self.block(WORKERS) + WORKERS.places["orqen_series_overflow_total"]

    def add(self, at: int, count: int) -> None:
        """Add to the word at `at`; the most it can hold is where it stays."""
        if count:
            self.words[at] = min(self.words[at] + count, MAX_COUNT)

    def _claim_any(self) -> int:
        for number in range(1, self._memory.parts):
            try:
                fcntl.lockf(self._memory.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:
                continue
            return number
        raise NoPartError

    def _clear_gauges(self) -> None:
        """A dead process has left what it saw last."""
        for (group, _), word in self._blocks.items():
            for place in GROUPS[group].gauges:
                self.words[word + place] = 0

    def block(self, group: Group, *labels: str) -> int:
        """Where in `words` the block of `labels` begins; that of `other` when there are too many."""
        number = GROUPS.index(group)
        labels = tuple(label[:MAX_LABEL] for label in labels)
        found = self._blocks.get((number, labels))
        if found is not None:
            return found
        is_full = (
            self._used_bytes > DIRECTORY - _RESERVE
            or self._counts[number] >= group.max_combinations
        )
        return self.other(group) if is_full else self._add(number, labels)

    def other(self, group: Group) -> int:
        """The block of what has no room, which is counted."""
        self.words[self._overflow] += 1
        number, labels = GROUPS.index(group), (OTHER,) * len(group.labels)
        found = self._blocks.get((number, labels))
        return self._add(number, labels) if found is None else found

    def labels(self, group: Group) -> list[Labels]:
        """The labels of the blocks of a group."""
        number = GROUPS.index(group)
        return [labels for of, labels in self._blocks if of == number]

    def blocks(self, group: Group) -> list[int]:
        """Where the blocks of a group begin."""
        number = GROUPS.index(group)
        return [word for (of, _), word in self._blocks.items() if of == number]

    def _add(self, number: int, labels: Labels) -> int:
        text = json.dumps(labels).encode()
        word = self._used_words
        entry = _ENTRY.pack(number, len(text), word) + text
        end = self._used_bytes + len(entry)
        self._bytes[self._used_bytes : end] = entry
        self._blocks[number, labels] = word
        self._counts[number] += 1
        self._used_bytes, self._used_words = end, word + GROUPS[number].width
        self._header[_USED] = end
        return word
