"""One JSON line a request: what was asked, which line of YAML decided, how it ended.

No bodies, no secrets, no raw paths. A log that cannot be written never fails a request; what is
lost is counted.
"""

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from time import monotonic, time_ns
from typing import TextIO

import msgspec
from msgspec import UNSET, UnsetType

from engine.gateway.routing.match import Target

FLUSH_SECONDS = 0.05
CLOSE_SECONDS = 1.0
MAX_WAITING = 20_000  # lines; about 10 MB
PIPE_BYTES = 4096  # what a pipe takes at once and in one piece (POSIX, PIPE_BUF)

_encode = msgspec.json.Encoder().encode


_random: list[str] = []


def new_id() -> str:
    """An id for a request that nobody can guess; randomness is fetched for many at a time."""
    if not _random:
        block = os.urandom(12 * 256).hex()
        _random.extend(block[start : start + 24] for start in range(0, len(block), 24))
    return "req_" + _random.pop()


class Record(msgspec.Struct):
    """What is known of a request; its fields are those of the line, in this order.

    Times are milliseconds; what is not known is null, but the last three are left out.
    """

    time: str = ""
    request_id: str = ""
    key: str | None = None
    endpoint: str | None = None
    model: str | None = None
    sent_model: str | None = None
    provider: str | None = None
    rule: str | None = None
    status: int | None = None
    outcome: str = "refused"
    error: str | None = None
    attempts: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    ms_first_byte: float | None = None
    ms_total: float | None = None
    ms_engine: float | None = None
    tried: Sequence[str] | UnsetType = UNSET
    exception: str | UnsetType = UNSET
    credential: str | UnsetType = UNSET

    def note_target(self, target: Target) -> None:
        """Note where the request goes and which rule sent it there."""
        self.sent_model = target.sent_model
        self.provider = target.provider.name
        self.rule = target.rule.where

    def note_attempt(self, *, uses_caller_credentials: bool) -> None:
        """Note one more attempt, and whether it goes with a credential of the caller's."""
        self.attempts += 1
        if uses_caller_credentials:
            self.credential = "caller"

    def note_bug(self) -> None:
        """Note where a bug was, without the exception's text, which may quote a secret."""
        self.exception = place_of(sys.exc_info()[1] or Exception())

    def note_times(self, started: float, called: float | None, waited: float) -> None:
        """Note how long it took since `started`, `waited` seconds of which were not the gateway's."""
        self.ms_total = round((monotonic() - started) * 1000, 2)
        if called is not None:
            self.ms_engine = round((called - started - waited) * 1000, 2)

    def line(self) -> bytes:
        """The record as one line of JSON."""
        return _encode(self) + b"\n"


def place_of(error: BaseException) -> str:
    """The kind of an exception and where it happened; its text may quote a secret."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in reversed(frames))
    return f"{type(error).__name__} at {places}"


class AccessLog:
    """Writes records to a stream, in batches and from a thread of its own.

    A request only adds its line; a reader of the log that is slow, or stops, costs lines and no
    request. `dropped` counts the lines that were lost.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._batch: list[bytes] = []
        self._filled = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._second = 0
        self._second_text = ""
        self._thread_runs = False
        self._reported = 0
        self.dropped = 0

    def write(self, record: Record) -> None:
        """Take a finished record; it is written within FLUSH_SECONDS, or lost if too many wait."""
        if len(self._lines) >= MAX_WAITING:
            self.dropped += 1
            return
        record.time = self._now()
        self._add(record.line())

    def say(self, words: str) -> None:
        """A message of the worker to the operator, among the records."""
        self._add(f"engine: {words}\n".encode())

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self._flush)

    def close(self) -> None:
        """Write what waits, for a moment at most."""
        if self._timer is not None:
            self._timer.cancel()
        if self._idle.wait(CLOSE_SECONDS) and self._lines:
            self._hand_over()
            self._idle.wait(CLOSE_SECONDS)

    def _now(self) -> str:
        second, rest = divmod(time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).isoformat()[:19]
        return f"{self._second_text}.{rest // 1_000_000:03}+00:00"

    def _flush(self) -> None:
        """Hand over what waits, unless the last batch is still being written."""
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
            words = f"engine: {self.dropped - self._reported} access records were lost\n"
            self._lines.append(words.encode())
            self._reported = self.dropped
        self._batch, self._lines = self._lines, []
        self._idle.clear()
        self._filled.set()

    def _write_batches(self) -> None:
        while self._filled.wait():
            self._filled.clear()
            for chunk in _chunks(self._batch):
                self._write(chunk)
            self._idle.set()

    def _write(self, chunk: bytes) -> None:
        """Write past the text layer, whose lock the rest of the process may want."""
        try:
            fd = self._stream.fileno()
            while chunk:
                chunk = chunk[os.write(fd, chunk) :]
        except (OSError, ValueError):
            self.dropped += chunk.count(b"\n")


def _chunks(lines: list[bytes]) -> Iterator[bytes]:
    """Whole lines together, each piece small enough that a pipe keeps it in one."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if chunk and size + len(line) > PIPE_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
        chunk.append(line)
        size += len(line)
    yield b"".join(chunk)
