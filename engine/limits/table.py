"""Counters of scopes, and what requests under way hold, in memory that the workers share.

    header      whether a write is under way, and what it writes over
    scopes      a hash table: an id of 16 bytes, and the counters of `core`
    workers     a part for each: the reservations of its requests under way

Everything is a block of 192 bytes. One lock protects all of it, which ends with the process that has it
(see `mutex`). A write first copies the counters that it will change into the header, and then changes
them where they are. A process that is killed in the middle of that leaves the copies, and the next one
to lock puts them back, so a write happens as a whole or not at all.

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
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

from engine.limits.core import AMOUNTS, FIELDS, Amounts, is_idle, release
from engine.limits.mutex import Mutex
from engine.limits.store import FullError

BLOCK = 192
_WORDS = BLOCK // 8
MAX_SCOPES = 4  # of a request: key, account, and the model of each
_HEADER = 1 + MAX_SCOPES + 2  # blocks: words of the header, copies, one unused, and one for `kept`
IDENTITY = BLOCK * (_HEADER - 1)  # where that one is
LEASES = 16_384  # requests under way in one worker
RECORDS = 131_072  # scopes with counters that say anything: 24 MiB, if all are in use
PROBED = 32  # places where a scope can be
_FIRST_BYTE = 16  # of the locks of workers
RECORD = struct.Struct(f"=16s{FIELDS}q")
_STATE_AT = 2  # words of a record before its counters
_DIGEST = 16  # bytes of an id
_NOBODY = bytes(_DIGEST)
# Words of the header: how many copies there are, their blocks, the reservation of the write, and how many scopes it had.
_COPIES, WRITE_LEASE, _WAS = 0, MAX_SCOPES + 1, MAX_SCOPES + 2
MAX_KNOWN = 16_384  # scopes whose places a worker knows without a search
Place = tuple[int, memoryview]  # the block of a scope, and its counters
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
        self.mutex = Mutex()

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
        self.trylock, self._wait = memory.mutex.trylock, memory.mutex.wait
        self.unlock = memory.mutex.unlock
        self._descriptor = memory.descriptor
        self._bytes = memoryview(memory.map)
        self._words = self._bytes.cast("q")
        self.header = self._words[:_WORDS]  # its first word says that a write was cut short
        self._copies = [self._counters(1 + number) for number in range(MAX_SCOPES)]
        # Where scopes were found, and the ids that are there as long as that holds.
        self.places: dict[str, tuple[Place, memoryview, bytes]] = {}
        self.worker = -1
        self._free: list[int] = []

    # -- the lock ----------------------------------------------------------------------------------

    def lock(self) -> None:
        """Wait for the memory; undo a write whose process was killed in the middle of it."""
        code = self.trylock()
        if code or self.header[0]:
            self.finish_lock(code)

    def finish_lock(self, code: int) -> None:
        """The rest of `lock`, where `trylock` returned an error `code` or the header says something."""
        if code:
            self._wait(code)
        if self._words[0]:
            self._undo()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The lock, where speed does not count."""
        self.lock()
        try:
            yield
        finally:
            self.unlock()

    def _undo(self) -> None:
        words = self._words
        for number in range(words[_COPIES]):
            self._counters(words[1 + number])[:] = self._copies[number]
        if words[WRITE_LEASE]:
            words[_WORDS * words[WRITE_LEASE]] = words[_WAS]
        words[_COPIES] = 0

    def _counters(self, block: int) -> memoryview:
        first = _WORDS * block + _STATE_AT
        return self._words[first : first + FIELDS]

    # -- scopes ------------------------------------------------------------------------------------

    def find(self, scope: str, now: int, wall: float, taken: Sequence[Place] = ()) -> Place:
        """The place of a scope, which gets one outside `taken` if it has none.

        Raises:
            FullError: all places where it could be are in use.
        """
        if known := self.known(scope):
            return known
        digest = blake2b(scope.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()
        if len(self.places) >= MAX_KNOWN:
            self.places.clear()
        block = self._locate(digest, now, wall, {block for block, _ in taken})
        place = block, self._counters(block)
        own_id = self._bytes[BLOCK * block : BLOCK * block + _DIGEST]
        self.places[scope] = place, own_id, digest
        return place

    def known(self, scope: str) -> Place | None:
        """The place of a scope, if this worker knows it, and no other has given it to another scope."""
        found = self.places.get(scope)
        return found[0] if found and found[1].tobytes() == found[2] else None

    def _locate(self, digest: bytes, now: int, wall: float, taken: Container[int]) -> int:
        """The block of an id by a search, in a place of its own or in that of a scope that is idle."""
        free = None
        first = int.from_bytes(digest[:8], "little")
        for step in range(PROBED):
            block = self._memory.first_record + (first + step) % self._memory.records
            found, *state = RECORD.unpack_from(self._bytes, BLOCK * block)
            if found == digest:
                return block
            if free is None and block not in taken:
                free = block if found == _NOBODY or is_idle(state, now, wall) else None
        if free is None:
            raise FullError
        # Cut short, this leaves counters of nobody that say nothing, or those of a scope that was idle.
        RECORD.pack_into(self._bytes, BLOCK * free, _NOBODY, *[0] * FIELDS)
        self._bytes[BLOCK * free : BLOCK * free + _DIGEST] = digest
        return free

    # -- writes ------------------------------------------------------------------------------------

    def begin_hold(self, places: Sequence[Place], held: Amounts) -> int:
        """Begin a write to the counters in `places`, and a reservation of what one request holds there.

        Returns the number of the reservation, which the write ends with.

        Raises:
            FullError: too many requests are under way.
        """
        if not self._free:
            raise FullError
        lease = self._free.pop()
        self._begin(places, lease, 0)
        words, at = self._words, _WORDS * lease
        words[at + 1], words[at + 2] = held[0], held[1]
        words[at + 3] = held[2] if len(held) == AMOUNTS else 0
        at += AMOUNTS
        for block, _ in places:
            at += 1
            words[at] = block
        return lease

    def begin_settle(self, lease: int, places: Sequence[Place]) -> None:
        """Begin a write to the counters in `places` that ends a reservation."""
        self._begin(places, lease, len(places))

    def _begin(self, places: Sequence[Place], lease: int, scopes: int) -> None:
        """Keep copies of counters that are about to be changed, and how many `scopes` a reservation has before."""
        words, number = self._words, 0
        for block, state in places:
            self._copies[number][:] = state
            number += 1
            words[number] = block
        words[WRITE_LEASE], words[_WAS] = lease, scopes
        words[_COPIES] = number

    def begin_write(self, places: Sequence[Place]) -> None:
        """Begin a write to the counters in `places` without a reservation."""
        self._begin(places, 0, 0)

    def end_write(self) -> None:
        """End that."""
        self._words[_COPIES] = 0

    def end_hold(self, lease: int, scopes: int) -> None:
        """End the write of a reservation in so many scopes."""
        self._end(lease, scopes)

    def end_settle(self, lease: int) -> None:
        """End the write that ends a reservation."""
        self._end(lease, 0)
        self._free.append(lease)

    def _end(self, lease: int, scopes: int) -> None:
        self._words[_WORDS * lease] = scopes
        self._words[_COPIES] = 0

    # -- workers -----------------------------------------------------------------------------------

    def claim_part(self) -> None:
        """Take the part of a worker that is free or whose worker is dead.

        Raises:
            FullError: there is none.
        """
        for worker in range(self._memory.workers):
            if self._claim(worker):
                self.use_part(worker)
                return
        raise FullError

    def use_part(self, worker: int) -> None:
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
            scopes, *of_lease = self._words[_WORDS * lease : _WORDS * (lease + 1)].tolist()
            held, blocks = tuple(of_lease[:AMOUNTS]), of_lease[AMOUNTS : AMOUNTS + scopes]
            places = [(block, self._counters(block)) for block in blocks]
            self.begin_settle(lease, places)
            for _, state in places:
                release(state, held)
            self._end(lease, 0)
        return len(held_by)

    def _claim(self, worker: int) -> bool:
        """Take the byte of a worker, if it is dead or was never there."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _FIRST_BYTE + worker)
        except OSError:
            return False
        return True
