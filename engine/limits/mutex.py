"""A lock that processes share, which ends with the process that has it.

A robust mutex of POSIX (pthread_mutexattr_setrobust(3)): the kernel marks it when its owner dies, and the
next one to lock gets to know. As long as nobody else has it, locking and unlocking are no system calls: 0.2 us,
where a record lock (fcntl(2)) takes 1.2 in a loop and 5 in a busy server. `ctypes.PyDLL` does not give the
interpreter to other threads meanwhile, which this one had to wait for.
"""

import ctypes
import errno
import mmap
import os
import sys
from collections.abc import Callable
from functools import partial

_BYTES = 64  # more than a mutex or its attributes take (glibc and musl: 48 at the most)


def _nothing(_at: object) -> int:
    return 0


if sys.platform == "linux":
    _libc = ctypes.PyDLL(None)
    _trylock, _unlock = _libc.pthread_mutex_trylock, _libc.pthread_mutex_unlock
    _unlock.restype = None  # nothing to convert
    _lock = ctypes.CDLL(None).pthread_mutex_lock  # may wait, and lets other threads run
else:  # every process has memory of its own there
    _trylock = _unlock = _lock = _nothing


class Mutex:
    """Made by the parent of the processes, and inherited by them; for one thread of each."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _BYTES)
        self._at = ctypes.byref(ctypes.c_char.from_buffer(self._map))
        # Locks, if no other process has it; an error is for `wait`. One function for both is one call more.
        self.trylock: Callable[[], int] = partial(_trylock, self._at)
        self.unlock: Callable[[], object] = partial(_unlock, self._at)  # let others have it
        if sys.platform == "linux":
            attributes = ctypes.create_string_buffer(_BYTES)
            _check(_libc.pthread_mutexattr_init(attributes))
            _check(_libc.pthread_mutexattr_setpshared(attributes, 1))
            _check(_libc.pthread_mutexattr_setrobust(attributes, 1))
            _check(_libc.pthread_mutex_init(self._at, attributes))

    def wait(self, code: int) -> None:
        """Lock after `trylock` has returned the error `code`, as soon as no other process has it.

        What a dead one was doing is for the caller to look after.
        """
        if code == errno.EBUSY:
            code = _lock(self._at)
        if code == errno.EOWNERDEAD:  # and it is ours now
            code = _libc.pthread_mutex_consistent(self._at)
        _check(code)


def _check(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))
