"""One JSON line a request: what was asked, which line of YAML decided, how it ended.

No bodies, no secrets, no raw paths. A log that cannot be written never fails a request; what is
lost is counted.
"""

import json
import sys
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import TextIO

from engine.gateway.match import Target


@dataclass(slots=True)
class Record:
    """What is known of a request so far. Times are `time.monotonic()` seconds."""

    request_id: str
    started: float = field(default_factory=monotonic)
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
    waited: float = 0.0
    called: float | None = None
    first_byte: float | None = None
    exception: str | None = None
    tried: list[str] = field(default_factory=list)

    def note_target(self, target: Target) -> None:
        """Note where the request goes and which rule sent it there."""
        self.sent_model = target.sent_model
        self.provider = target.provider.name
        self.rule = target.rule.where

    def note_bug(self) -> None:
        """Note where a bug was, without the exception's text, which may quote a secret."""
        kind, _, trace = sys.exc_info()
        frames = traceback.extract_tb(trace)[-4:]
        places = " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in reversed(frames))
        self.exception = f"{kind.__name__ if kind else 'Exception'} at {places}"

    def line(self, ended: float) -> str:
        """The record as JSON; absent values are null, times are milliseconds."""
        entry: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": self.request_id,
            "key": self.key,
            "endpoint": self.endpoint,
            "model": self.model,
            "sent_model": self.sent_model,
            "provider": self.provider,
            "rule": self.rule,
            "status": self.status,
            "outcome": self.outcome,
            "error": self.error,
            "attempts": self.attempts,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "ms_first_byte": self._since(self.first_byte),
            "ms_total": self._since(ended),
            "ms_engine": self._since(self.called, self.waited),
        }
        if self.tried:
            entry["tried"] = self.tried
        if self.exception:
            entry["exception"] = self.exception
        return json.dumps(entry) + "\n"

    def _since(self, moment: float | None, less: float = 0.0) -> float | None:
        return None if moment is None else round((moment - self.started - less) * 1000, 2)


class AccessLog:
    """Writes records to a stream; `dropped` counts those it could not write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.dropped = 0

    def write(self, record: Record) -> None:
        """Write one record now."""
        try:
            self._stream.write(record.line(monotonic()))
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += 1
