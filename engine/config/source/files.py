"""Reading files that an operator names: regular files only, up to a limit, without blocking.

A named pipe, a socket or a device in place of a file would hang the reader or never end.
"""

import errno
import os
import stat
from pathlib import Path

MAX_READ = 8 * 1024 * 1024

_KINDS = {
    stat.S_IFDIR: "a directory", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_CAUSES = {
    errno.ELOOP: "it is a link that leads back to itself",
    errno.EACCES: "this user has no permission to read it",
    errno.EPERM: "this user has no permission to read it",
    errno.ENOTDIR: "a part of its path is not a directory",
    errno.ENAMETOOLONG: "its name is too long",
}


class NotRegularError(OSError):
    """Not a regular file."""


def read_file(path: Path | str, limit: int = MAX_READ) -> bytes:
    """The bytes of a regular file; `limit` + 1 of them when it has more than `limit`.

    Raises:
        NotRegularError: it is a directory, a pipe, a socket or a device.
        OSError: it is not there or cannot be read.
    """
    _refuse_other(os.stat(path))  # before it is opened: that alone may have an effect on a device
    descriptor = os.open(path, _OPEN)
    with open(descriptor, "rb") as file:
        _refuse_other(os.fstat(descriptor))
        return file.read(limit + 1)


def _refuse_other(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise NotRegularError(errno.EINVAL, f"it is {kind}, not a regular file")


def unreadable_reason(path: Path, error: OSError) -> str:
    """Why `path` could not be read, as text that follows "cannot be read: "."""
    if isinstance(error, FileNotFoundError):
        return (
            "it is a link to a file that is not there" if path.is_symlink() else "it is not there"
        )
    if isinstance(error, NotRegularError):
        return error.strerror or ""
    words = error.strerror or "the system refused"
    cause = _CAUSES.get(error.errno or 0)
    return f"{cause} ({words})" if cause else words
