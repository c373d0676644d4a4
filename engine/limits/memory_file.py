"""Counters of limits in a file, so that a budget outlives a restart, a kill and a reboot.

The file is the memory that the workers share, mapped: nothing is written by us, and what the kernel
has not written yet, some 30 seconds, is lost with the power alone. One server uses it at a time.
"""

import fcntl
import os
import struct
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.limits.core import RATES, restored
from engine.limits.table import (
    BLOCK,
    IDENTITY,
    MAX_SCOPES,
    RECORD,
    RECORDS,
    WRITE_LEASE,
    SharedMemory,
    Table,
)

MAGIC = b"orqenlim"
BOOT = Path("/proc/sys/kernel/random/boot_id")
_IDENTITY = struct.Struct("=8s3qq16s")  # magic, sizes; wall clock minus monotonic clock; boot
_LOCKED = 15  # the byte that a server locks; those of workers follow
_EMPTY = bytes(BLOCK)


class ForeignError(Exception):
    """The file holds something else, which would be destroyed."""


class InUseError(Exception):
    """Another server uses the file."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """`monotonic` and `wall` are nanoseconds; `boot` says for how long the former goes on."""

    monotonic: Callable[[], int] = time.monotonic_ns
    wall: Callable[[], int] = time.time_ns
    boot: Callable[[], bytes] = lambda: uuid.UUID(BOOT.read_text().strip()).bytes


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """Memory in a file. `problem` says why counters of it began anew, if any did."""

    memory: SharedMemory
    problem: str | None


def open_memory_file(
    path: Path, workers: int, records: int = RECORDS, clocks: Clocks | None = None
) -> MemoryFile:
    """Memory with the counters in the file at `path`, which is made if there is none.

    A file of another version begins anew. Any other content stays as it is.

    Raises:
        ForeignError: it holds something else.
        InUseError: another server uses it.
        OSError: it cannot be opened, written or mapped.
    """
    clocks = clocks or Clocks()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor)
        found = os.pread(descriptor, _IDENTITY.size, IDENTITY)
        size = os.fstat(descriptor).st_size
        if size and not found.startswith(MAGIC):
            raise ForeignError
        is_ours = found[:32] == _sizes(records) and size >= IDENTITY + BLOCK * (1 + records)
        if not is_ours:
            _claim(descriptor)
        memory = SharedMemory(workers, records, descriptor=descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    problem = None if is_ours or not size else "it is damaged or of another version"
    if is_ours:
        damaged = _revive(memory, clocks, found)
        problem = f"{damaged} of its counters were damaged" if damaged else None
    _sign(memory, clocks)
    return MemoryFile(memory, problem)


def _lock(descriptor: int) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCKED)
    except BlockingIOError:
        raise InUseError from None


def _claim(descriptor: int) -> None:
    """Begin anew, known as ours at any time, after a power cut too."""
    os.pwrite(descriptor, MAGIC, IDENTITY)
    os.ftruncate(descriptor, IDENTITY + len(MAGIC))
    os.pwrite(descriptor, bytes(IDENTITY), 0)
    os.fsync(descriptor)


def _sizes(records: int) -> bytes:
    return _IDENTITY.pack(MAGIC, BLOCK, RATES, records, 0, b"")[:32]


def _sign(memory: SharedMemory, clocks: Clocks) -> None:
    apart = clocks.wall() - clocks.monotonic()
    sizes = (MAGIC, BLOCK, RATES, memory.records)
    _IDENTITY.pack_into(memory.map, IDENTITY, *sizes, apart, clocks.boot())


def _revive(memory: SharedMemory, clocks: Clocks, found: bytes) -> int:
    """Take over the counters of an earlier server; how many could not be."""
    damaged = _undo(memory)
    memory.clear_leases()
    *_, apart, boot = _IDENTITY.unpack(found)
    now, wall = clocks.monotonic(), clocks.wall()
    shift = 0 if boot == clocks.boot() else apart - (wall - now)
    first = BLOCK * memory.first_record
    for at in range(first, first + BLOCK * memory.records, BLOCK):
        if memory.map[at : at + BLOCK] == _EMPTY:
            continue
        digest, *state = RECORD.unpack_from(memory.map, at)
        alive = restored(state, shift, now, wall / 1e9)
        damaged += alive is None
        memory.map[at : at + BLOCK] = _EMPTY
        if alive is not None:
            RECORD.pack_into(memory.map, at, digest, *alive)
    return damaged


def _undo(memory: SharedMemory) -> int:
    """Undo a write that was cut short; 1 if what says so is damaged."""
    words = memoryview(memory.map).cast("q")
    words[WRITE_LEASE] = 0  # no reservation outlives its server
    blocks = words[1 : 1 + words[0]].tolist() if 0 <= words[0] <= MAX_SCOPES else [0]
    if any(not memory.first_record <= block < len(memory.map) // BLOCK for block in blocks):
        words[0] = 0
        return 1
    with Table(memory).locked():
        return 0
