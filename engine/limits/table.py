"""Counters of scopes, and what requests under way hold, in memory that the workers share.

    header      whether a write is under way, and what it writes over
    scopes      a hash table: an id of 16 bytes, and the counters of `core`
    workers     a part for each: the reservations of its requests under way

Everything is a block of 192 bytes. One lock protects all of it: a record lock of the kernel (fcntl),
which ends with the process that has it, unlike a lock in shared memory. A write first copies the
blocks that it will change into the header. A process that is killed in the middle of a write leaves
these copies, and the next one to lock puts them back, so a write happens as a whole or not at all.

Each worker has a record lock on a byte of its own while it lives. Whoever gets the byte of another
one knows that it is dead, and gives back what its requests held.

Where processes are not forked (not on Linux), each worker has memory of its own, and counts alone.
"""

import fcntl
import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

from engine.limits.core import AMOUNTS, FIELDS, Amounts, is_idle, release
from engine.limits.store import FullError

BLOCK = 192
_WORDS = BLOCK // 8
MAX_SCOPES = 4  # of a request: key, account, and the model of each
_HEADER = 1 + MAX_SCOPES + 1 + 1  # blocks: words of the header, copies, and one for `kept`
IDENTITY = BLOCK * (_HEADER - 1)  # where that one is
LEASES = 16_384  # requests under way in one worker
RECORDS = 131_072  # scopes with counters that say anything: 24 MiB, if all are in use
PROBED = 32  # places where a scope can be
_FIRST_BYTE = 16  # of the locks of workers; byte 0 is the lock of the memory
RECORD = struct.Struct(f"=16s{FIELDS}q")
_STATE = struct.Struct(f"={FIELDS}q")
_STATE_AT = RECORD.size - _STATE.size
# By how many scopes there are: that number, what is held, and their blocks.
_LEASE = tuple(struct.Struct(f"={1 + AMOUNTS + count}q") for count in range(MAX_SCOPES + 1))
_NOBODY = bytes(16)
_USED = _WORDS - 1  # the word of a worker's first block that says that there was one


class SharedMemory:
    """The memory of all workers; made by their parent, and inherited by them."""

    def __init__(
        self,
        workers: int,
        records: int = RECORDS,
        leases: int = LEASES,
        descriptor: int | None = None,  # of a file to keep the counters in
    ) -> None:
        self.workers, self.records, self.leases = workers, records, leases
        self.first_record = _HEADER
        self.first_lease = _HEADER + records
        self._size = BLOCK * (self.first_lease + workers * leases)
        self.descriptor = _new_file() if descriptor is None else descriptor
        os.ftruncate(self.descriptor, self._size)
        self.map = mmap.mmap(self.descriptor, self._size)

    def clear_leases(self) -> None:
        """Forget all reservations of all workers; only while there are none."""
        os.ftruncate(self.descriptor, BLOCK * self.first_lease)
        os.ftruncate(self.descriptor, self._size)

    def close(self) -> None:
        """Give the memory back, for this process."""
        os.close(self.descriptor)


def _new_file() -> int:
    if sys.platform == "linux":
        return os.memfd_create("limits")
    else:  # noqa: RET505 mypy reads one of them alone
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())


class Table:
    """The part of one worker in the shared memory. Nothing but `locked` may be called without the lock."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._descriptor = memory.descriptor
        self._map = memory.map
        self._bytes = memoryview(memory.map)
        self._words = self._bytes.cast("q")
        self._places: dict[str, tuple[bytes, int]] = {}
        self.worker = -1
        self._free: list[int] = []

    # -- the lock ----------------------------------------------------------------------------------

    def lock(self) -> None:
        """Wait for the memory; undo a write whose process was killed in the middle of it."""
        os.lockf(self._descriptor, os.F_LOCK, 1)
        if self._words[0]:
            self._undo()

    def unlock(self) -> None:
        os.lockf(self._descriptor, os.F_ULOCK, 1)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The lock, where speed does not count."""
        self.lock()
        try:
            yield
        finally:
            self.unlock()

    def _undo(self) -> None:
        for number in range(self._words[0]):
            start = BLOCK * (1 + number)
            at = BLOCK * self._words[1 + number]
            self._bytes[at : at + BLOCK] = self._bytes[start : start + BLOCK]
        self._words[0] = 0

    def _begin(self, blocks: Sequence[int]) -> None:
        """Keep copies of `blocks`, which are about to be changed."""
        memory, start = self._map, BLOCK
        for number, block in enumerate(blocks, 1):
            at = BLOCK * block
            self._words[number] = block
            memory[start : start + BLOCK] = memory[at : at + BLOCK]
            start += BLOCK
        self._words[0] = len(blocks)

    # -- scopes ------------------------------------------------------------------------------------

    def find(
        self, scope: str, now: int, wall: float, taken: Sequence[int] = ()
    ) -> tuple[int, list[int]]:
        """The block of a scope, which gets one outside `taken` if it has none, and its counters.

        Raises:
            FullError: all places where it could be are in use.
        """
        known = self._places.get(scope)
        if known is None:
            digest = blake2b(scope.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            return self._locate(scope, digest, now, wall, taken)
        digest, block = known
        found, *state = RECORD.unpack_from(self._map, BLOCK * block)
        if found == digest:
            return block, state
        return self._locate(scope, digest, now, wall, taken)

    def _locate(
        self, scope: str, digest: bytes, now: int, wall: float, taken: Sequence[int]
    ) -> tuple[int, list[int]]:
        """The same by a search, in a place of its own or in that of a scope that is idle."""
        free = None
        first = int.from_bytes(digest[:8], "little")
        for step in range(PROBED):
            block = self._memory.first_record + (first + step) % self._memory.records
            found, *state = RECORD.unpack_from(self._map, BLOCK * block)
            if found == digest:
                return self._keep(scope, digest, block), state
            if free is None and block not in taken:
                free = block if found == _NOBODY or is_idle(state, now, wall) else None
        if free is None:
            raise FullError
        state = [0] * FIELDS
        self._begin((free,))
        RECORD.pack_into(self._map, BLOCK * free, digest, *state)
        self._words[0] = 0
        return self._keep(scope, digest, free), state

    def _keep(self, scope: str, digest: bytes, block: int) -> int:
        if len(self._places) >= self._memory.records:
            self._places.clear()
        self._places[scope] = digest, block
        return block

    def write_word(self, block: int, field: int, value: int) -> None:
        """Change one counter, at once."""
        self._words[_WORDS * block + 2 + field] = value

    # -- reservations ------------------------------------------------------------------------------

    def hold(self, blocks: Sequence[int], states: Sequence[list[int]], held: Amounts) -> int:
        """Write the counters of scopes, and what one request of this worker holds in each of them.

        Returns the number of the reservation.

        Raises:
            FullError: too many requests are under way.
        """
        if not self._free:
            raise FullError
        lease = self._free.pop()
        self._begin((*blocks, lease))
        self._write(blocks, states)
        count = len(blocks)
        unused = (0,) * (AMOUNTS - len(held))
        _LEASE[count].pack_into(self._map, BLOCK * lease, count, *held, *unused, *blocks)
        self._words[0] = 0
        return lease

    def settle(self, lease: int, blocks: Sequence[int], states: Sequence[list[int]]) -> None:
        """Write the counters of scopes, and end a reservation."""
        self._begin((*blocks, lease))
        self._write(blocks, states)
        self._words[_WORDS * lease] = 0
        self._words[0] = 0
        self._free.append(lease)

    def held_blocks(self, lease: int) -> list[int]:
        """The blocks in which a reservation holds something."""
        at = _WORDS * lease
        first = at + 1 + AMOUNTS
        return self._words[first : first + self._words[at]].tolist()

    def held(self, lease: int) -> list[int]:
        """What a reservation holds."""
        at = _WORDS * lease + 1
        return self._words[at : at + AMOUNTS].tolist()

    def states(self, blocks: Sequence[int]) -> list[list[int]]:
        """The counters in `blocks`."""
        return [list(RECORD.unpack_from(self._map, BLOCK * block)[1:]) for block in blocks]

    def _write(self, blocks: Sequence[int], states: Sequence[list[int]]) -> None:
        for block, state in zip(blocks, states, strict=True):
            _STATE.pack_into(self._map, BLOCK * block + _STATE_AT, *state)

    # -- workers -----------------------------------------------------------------------------------

    def join(self) -> None:
        """Take the part of a worker that is free or whose worker is dead.

        Raises:
            FullError: there is none.
        """
        for worker in range(self._memory.workers):
            if self._claim(worker):
                self.take_part(worker)
                return
        raise FullError

    def take_part(self, worker: int) -> None:
        """Be this worker, with all of its reservations free."""
        self.worker = worker
        first = self._memory.first_lease + worker * self._memory.leases
        with self.locked():
            self.recover(worker)
            self._words[_WORDS * first + _USED] = 1
        self._free = list(range(first + self._memory.leases - 1, first - 1, -1))

    def recover_dead(self) -> int:
        """Give back what requests of dead workers held; how many there were. Takes the lock itself."""
        found = 0
        for worker in range(self._memory.workers):
            first = self._memory.first_lease + worker * self._memory.leases
            used = _WORDS * first + _USED
            if worker != self.worker and self._words[used] and self._claim(worker):
                with self.locked():
                    found += self.recover(worker)
                    self._words[used] = 0
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _FIRST_BYTE + worker)
        return found

    def recover(self, worker: int) -> int:
        """Give back what requests of a worker hold, with the lock; how many there were."""
        first = self._memory.first_lease + worker * self._memory.leases
        after = first + self._memory.leases
        counts = self._words[_WORDS * first : _WORDS * after : _WORDS].tolist()
        held_by = [lease for lease, count in enumerate(counts, first) if count]
        for lease in held_by:
            at = _WORDS * lease
            blocks, held = self.held_blocks(lease), tuple(self.held(lease))
            states = self.states(blocks)
            for state in states:
                release(state, held)
            self._begin((*blocks, lease))
            self._write(blocks, states)
            self._words[at] = 0
            self._words[0] = 0
        return len(held_by)

    def _claim(self, worker: int) -> bool:
        """Take the byte of a worker, if it is dead or was never there."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _FIRST_BYTE + worker)
        except OSError:
            return False
        return True
