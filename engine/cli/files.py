"""Changing an operator's file: atomically, one writer at a time, keeping its mode and owner."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_ACCESS = "system.posix_acl_access"


@contextlib.contextmanager
def only_writer(file: Path) -> Iterator[None]:
    """Wait until no other command changes `file`, also by another link to it.

    The folder is what is locked, since the file itself is replaced. Where a folder cannot be
    locked, nothing is.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(file.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace_file(file: Path, raw: bytes) -> None:
    """Write beside and rename, so that no reader ever sees half a file.

    A link stays one; mode, owner, group and extended attributes are those of the file before. A
    new file is for its owner alone.

    Raises:
        OSError: it cannot be written, or not as it was; the file is untouched.
    """
    target = file.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as written:
            written.write(raw)
            _keep(target, descriptor)
            written.flush()
            os.fsync(descriptor)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _keep(target: Path, descriptor: int) -> None:
    """Give the draft the owner and mode of the file: the owner first, since chown clears bits of the mode."""
    try:
        old = target.stat()
    except FileNotFoundError:
        return
    new = os.fstat(descriptor)
    if sys.platform != "win32":
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            _give(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, old.st_mode & 0o7777)
    if sys.platform == "linux":
        for name in os.listxattr(target):
            _copy(target, descriptor, name)


def _give(descriptor: int, owner: int, group: int) -> None:
    try:
        os.fchown(descriptor, owner, group)
    except PermissionError as error:
        words = f"it would lose its owner {owner}:{group}; run this as that user or as root"
        raise PermissionError(error.errno, words) from error


def _copy(target: Path, descriptor: int, name: str) -> None:
    try:
        os.setxattr(descriptor, name, os.getxattr(target, name))
    except OSError:  # security labels, which only the system may set
        if name == _ACCESS:
            raise
