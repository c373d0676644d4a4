"""Messages of the server to the operator, beside the access records: text or JSON, by level.

How they are written is set once, before the first process is forked, and again in processes that are not.
"""

import contextlib
import json
import os
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

LEVELS = ("info", "warning", "error")
FORMATS = ("text", "json")
PIPE_BYTES = 4096  # what a pipe that has room takes at once (POSIX, PIPE_BUF)
WRITE_SECONDS = 0.5  # for a pipe to have room


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`level` is the lowest that is written, `file` takes what would go to stderr, records included."""

    format: str = "text"
    level: str = "info"
    file: Path | None = None


_current = LogOptions()


@dataclass(slots=True)
class _Lost:
    """How many messages of this process were lost since the last one, and whether a line was begun."""

    count: int = 0
    is_torn: bool = False


_lost = _Lost()


def open_streams() -> None:
    """Open /dev/null in place of each standard stream that was closed by whoever started this process.

    Otherwise the next file or socket takes its number, and messages are written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 as long as the process


def set_up(options: LogOptions) -> None:
    """Write messages as `options` say from now on."""
    global _current  # noqa: PLW0603 one for a process, set at its start
    _current = options


@contextlib.contextmanager
def to_log_file(path: Path | None) -> Iterator[None]:
    """Meanwhile, what this process and its children write to stderr goes to the end of a file, if there is one.

    Raises:
        OSError: it cannot be written.
    """
    if path is None:
        yield
        return
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    stderr = sys.stderr.fileno()
    saved = os.dup(stderr)
    os.dup2(opened, stderr)
    os.close(opened)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, stderr)
        os.close(saved)


def message_line(message: str, level: str, text: str | None = None) -> str:
    """The line of a message, "" if its level is too low; `text` is the line in text if that is another."""
    if LEVELS.index(level) < LEVELS.index(_current.level):
        return ""
    if _current.format == "text":
        return f"engine: {message}\n" if text is None else f"{text}\n"
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "level": level, "pid": os.getpid(), "message": message}) + "\n"


def log(message: str, level: str = "info", text: str | None = None) -> None:
    """Write a message of this process, and how many were lost before it."""
    line = message_line(message, level, text)
    if not line:
        return
    if _lost.count:
        words = "1 message was lost" if _lost.count == 1 else f"{_lost.count} messages were lost"
        line = "\n" * _lost.is_torn + message_line(words, "warning") + line
    given = _encoded(line)
    rest = _write(sys.stderr, given)
    _lost.count = _lost.count + 1 if rest else 0
    _lost.is_torn = bool(rest) and (_lost.is_torn or rest != given)


def announce(text: str) -> None:
    """Write `text` to stdout, whose reader may be gone."""
    _write(sys.stdout, _encoded(text))


def _encoded(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def _write(stream: TextIO, rest: bytes) -> bytes:
    """Write `rest` past the buffer of `stream`, which would be written again at the end; what is left of it.

    What a full pipe does not take in WRITE_SECONDS is lost: whoever waited for a reader that has
    stopped would neither see a worker die nor handle SIGTERM.
    """
    with contextlib.suppress(OSError, ValueError):
        file = stream.fileno()
        while rest and has_room(file, WRITE_SECONDS):
            rest = rest[os.write(file, rest[:PIPE_BYTES]) :]
    return rest


def has_room(file: int, seconds: float) -> bool:
    """Whether a pipe or a socket takes some bytes within `seconds`."""
    if sys.platform == "win32":  # it can wait for sockets alone
        return True
    polled = select.poll()  # `select` takes no file above 1023
    polled.register(file, select.POLLOUT)
    return bool(polled.poll(seconds * 1000))
