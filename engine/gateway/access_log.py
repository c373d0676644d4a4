"""The access log: one JSON line for each request, written in batches by a thread.

A log that cannot be written never fails a request; lines that are lost are counted.
"""

import asyncio
import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from engine.gateway.record import Record, lines

FLUSH_SECONDS = 0.05
CLOSE_SECONDS = 1.0
MAX_WAITING = 20_000  # lines; about 10 MB
_LINE_END = 10
PIPE_BYTES = 4096  # what a pipe takes at once without splitting it (POSIX, PIPE_BUF)
FILE_BYTES = 1024 * 1024  # a file takes any number; each write waits for the interpreter once


MessageLine = Callable[[str, str], str]  # message and level -> line, "" for none


def _text_line(message: str, _level: str) -> str:
    return f"engine: {message}\n"


class AccessLog:
    """Writes records to a stream, in batches and from a thread of its own.

    A request only adds its record. When the reader of the log is slow or stops, lines are lost, and
    no request waits; `dropped` counts them. `message_line` makes the lines of messages.
    """

    def __init__(self, stream: TextIO, message_line: MessageLine = _text_line) -> None:
        self._stream = stream
        self._message_line = message_line
        self._lines: list[bytes] = []  # one or more in each
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batch: list[bytes] = []
        self._filled = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread_runs = False
        self._reported = 0
        self._reporting: int | None = None  # what the last line of a batch says
        self._is_torn = False  # the last line that was written has no end
        self.dropped = 0

    @property
    def is_idle(self) -> bool:
        """Whether no batch is being written."""
        return self._idle.is_set()

    def write(self, records: Sequence[Record]) -> None:
        """Add the lines of finished requests; those are lost for which MAX_WAITING lines leave no room."""
        kept = records[: max(0, MAX_WAITING - self._waiting)]
        self.dropped += len(records) - len(kept)
        if kept:  # else nothing would bound the empty texts
            self._add(lines(kept), len(kept))

    def write_message(self, message: str, level: str = "warning") -> None:
        """Add a message of the worker to the operator, between the records; lost as they are."""
        line = self._message_line(message, level)
        if line and self._waiting < MAX_WAITING:
            self._add(line.encode(), 1)
        elif line:
            self.dropped += 1

    def _add(self, text: bytes, count: int) -> None:
        self._lines.append(text)
        self._waiting += count
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self._flush)

    def close(self) -> None:
        """Write the lines that wait, for CLOSE_SECONDS at most."""
        if self._timer is not None:
            self._timer.cancel()
        if self._idle.wait(CLOSE_SECONDS) and self._lines:
            self._hand_over()
            self._idle.wait(CLOSE_SECONDS)

    def _flush(self) -> None:
        """Give the lines that wait to the thread, unless it still writes the last batch."""
        self._timer = None
        if self._idle.is_set():
            self._hand_over()
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self._flush)

    def _hand_over(self) -> None:
        if not self._thread_runs:
            self._thread_runs = True
            threading.Thread(target=self._write_batches, daemon=True).start()
        if self.dropped != self._reported:
            count = self.dropped - self._reported
            lost = f"{count} lines were lost" if count > 1 else "1 line was lost"
            line = self._message_line(lost, "warning").encode()
            self._lines.append(line)
            self._reporting = self.dropped if line else None
        self._batch, self._lines, self._waiting = self._lines, [], 0
        self._idle.clear()
        self._filled.set()

    def _write_batches(self) -> None:
        while self._filled.wait():
            self._filled.clear()
            lost = [self._write(chunk) for chunk in _chunks(b"".join(self._batch), self._size())]
            if self._reporting is not None:
                if lost[-1]:  # the report comes again: it is no line of the log
                    lost[-1] -= 1
                else:
                    self._reported = self._reporting
            self._reporting = None
            self.dropped += sum(lost)
            self._idle.set()

    def _size(self) -> int:
        """How many bytes are written at once, so that lines of several workers do not mix."""
        with contextlib.suppress(OSError, ValueError):
            if stat.S_ISREG(os.fstat(self._stream.fileno()).st_mode):
                return FILE_BYTES
        return PIPE_BYTES

    def _write(self, chunk: bytes) -> int:
        """Write lines, and give the number of those that could not be written.

        To the file descriptor, since the text layer has a lock that others may hold.
        A disk that is full may have taken part of a line, which is ended before the next one.
        """
        given = chunk  # its lines are counted on failure alone: that takes 0.5 us for each
        chunk = b"\n" + chunk if self._is_torn and chunk else chunk
        try:
            fd = self._stream.fileno()
            while chunk:
                size = os.write(fd, chunk)
                self._is_torn = size > 0 and chunk[size - 1] != _LINE_END
                chunk = chunk[size:]
        except (OSError, ValueError):
            return min(chunk.count(b"\n"), given.count(b"\n"))
        return 0


def _chunks(text: bytes, size: int) -> Iterator[bytes]:
    """Whole lines together, of no more than `size` bytes but for a longer line."""
    start = 0
    while len(text) - start > size:
        end = text.rfind(b"\n", start, start + size) + 1 or text.find(b"\n", start) + 1
        yield text[start:end]
        start = end
    yield text[start:]
