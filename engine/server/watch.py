"""Whether the files of a configuration have changed and are stable since.

What decides is what `stat` says of each file, symlinks followed, which also holds for a `..data`
link that is swapped elsewhere and on file systems without events. A few calls of `stat` four times
a second cost less than a thread, and the parent forks.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

if sys.platform != "win32":
    import fcntl

POLL_SECONDS = 0.25

FileStates = tuple[tuple[int, ...] | None, ...]


class FolderWatch:
    """Compares the files that `paths` returns with what they were at the last change."""

    def __init__(self, paths: Callable[[], Sequence[Path]]) -> None:
        self._paths = paths
        self._seen = file_states(paths())
        self._is_due = False

    def has_changed(self) -> bool:
        """Whether to load the files now: they changed, and did not change since the last call."""
        current = file_states(self._paths())
        if current != self._seen:
            self._seen, self._is_due = current, True
            return False
        if not self._is_due or any(_is_being_written(path) for path in self._paths()):
            return False
        self._is_due = False
        return True


def file_states(paths: Iterable[Path]) -> FileStates:
    """What `stat` says of every file."""
    return tuple(_stat(path) for path in paths)


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns


def _is_being_written(path: Path) -> bool:
    """Whether a process has `path` open for writing, as far as the system reports it.

    Linux gives no read lease on such a file (fcntl(2), F_SETLEASE), and one to its owner otherwise.
    The lease is given back at once; `SIGIO` of a writer who comes in between is ignored.
    """
    if sys.platform != "linux":
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:  # not our file, or a file system without leases
        return False
    finally:
        os.close(file)
    return False
