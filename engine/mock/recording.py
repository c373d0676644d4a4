"""What came in: reads a request body once, hashing it, and keeps the record that tests ask for.

A file inside a form is hashed and counted but never kept, whatever its size; a form's text fields
and a JSON body are. Never responds to anything.
"""

import hashlib
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from time import monotonic, time
from typing import Any, TypeAlias

Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Fields: TypeAlias = dict[str, object]

_HEAD_BYTES = 2048
_FIELD_BYTES = 65536
_JSON_BYTES = 64 * 1024 * 1024
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_NAME = re.compile(rb';\s*name="?([^";\r\n]*)"?', re.IGNORECASE)
_FILE = re.compile(rb";\s*filename\*?=", re.IGNORECASE)


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


@dataclass(slots=True)
class RecordedExchange:
    """One exchange as seen from the upstream side; ``_at`` is wall clock time."""

    id: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    time: float = field(default_factory=time)
    monotonic: float = field(default_factory=monotonic)
    body_sha256: str | None = None
    body_bytes: int = 0
    body: str = ""
    model: str | None = None
    status: int | None = None
    disconnected_at: float | None = None
    disconnected_monotonic: float | None = None
    finished: bool = False

    def header(self, name: str) -> str:
        """Give the first value of a header, or nothing."""
        return next((value for key, value in self.headers if key == name), "")

    def add_chunk(self, data: bytes) -> None:
        """Add a chunk of the body, of which the start is kept."""
        self.body += _text(data[: _HEAD_BYTES - len(self.body)])
        self.body_bytes += len(data)

    def client_left(self) -> None:
        """Record that the client went away, unless it had all it asked for."""
        if not self.finished:
            self.disconnected_at, self.disconnected_monotonic = time(), monotonic()


class RecordedExchanges:
    """The last records, and how many exchanges are still open."""

    def __init__(self, max_records: int = 1000) -> None:
        self.records: deque[RecordedExchange] = deque(maxlen=max_records)
        self.open = 0
        self._ids = count(1)

    @contextmanager
    def record(self, scope: Scope) -> Iterator[RecordedExchange]:
        """Keep a record of an exchange, open as long as the block runs."""
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        target = _text((scope.get("raw_path") or scope["path"].encode()) + query)
        headers = [(_text(name), _text(value)) for name, value in scope["headers"]]
        entry = RecordedExchange(next(self._ids), scope["method"], target, headers)
        self.records.append(entry)
        self.open += 1
        try:
            yield entry
        finally:
            self.open -= 1

    def find(self, number: str) -> RecordedExchange | None:
        """Give the record of that id, if it is still kept."""
        return next((record for record in self.records if str(record.id) == number), None)


class JsonBuffer:
    """Keeps a body to read it as a JSON object once it is whole."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next chunk of the body."""
        self._kept += data[: _JSON_BYTES - len(self._kept)]

    def fields(self) -> Fields | None:
        """Give the members of the object, none for an empty body; None if it is no object."""
        try:
            found = json.loads(bytes(self._kept) or b"{}")
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


class FormScanner:
    """Finds the text fields of a multipart body fed in chunks; the bytes of files are dropped."""

    def __init__(self, boundary: str) -> None:
        self._fields: Fields = {}
        self._delimiter = b"\r\n--" + boundary.encode("latin-1")
        self._rest = b"\r\n"
        self._name: str | None = None
        self._value = b""
        self._in_head = False

    def feed(self, data: bytes) -> None:
        """Take the next chunk of the body."""
        self._rest += data
        while self._read_head() if self._in_head else self._read_content():
            pass

    def fields(self) -> Fields:
        """Give the text fields found; of two with one name, the last."""
        return self._fields

    def _read_content(self) -> bool:
        content, mark, rest = self._rest.partition(self._delimiter)
        if not mark:
            keep = 1 - len(self._delimiter)
            content, rest = content[:keep], content[keep:]
        if self._name is not None:
            self._value += content[: _FIELD_BYTES - len(self._value)]
            if mark:
                self._fields[self._name] = self._value.decode("utf-8", "replace")
        self._rest, self._in_head = rest, bool(mark)
        return self._in_head

    def _read_head(self) -> bool:
        head, mark, rest = self._rest.partition(b"\r\n\r\n")
        if not mark:
            self._rest = self._rest[-_FIELD_BYTES:]
            return False
        name = None if _FILE.search(head) else _NAME.search(head)
        self._name = name[1].decode("utf-8", "replace") if name else None
        self._value, self._rest, self._in_head = b"", rest, False
        return True


async def read_body(receive: Receive, record: RecordedExchange) -> Fields | None:
    """Read a body to its end, or until the client leaves; None if it cannot be understood."""
    boundary = _BOUNDARY.search(record.header("content-type"))
    sink = FormScanner(boundary[1]) if boundary else JsonBuffer()
    digest = hashlib.sha256()
    async for chunk in _chunks(receive, record):
        record.add_chunk(chunk)
        digest.update(chunk)
        sink.feed(chunk)
    record.body_sha256 = digest.hexdigest()
    return sink.fields()


async def _chunks(receive: Receive, record: RecordedExchange) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            record.client_left()
            return
        yield message.get("body", b"")
        more = message.get("more_body", False)
