"""What of an event stream may leave, so that it can be ended well at any byte (WHATWG, HTML 9.2).

What arrives leaves at once, but for the beginning of an event of which nothing can be dispatched
yet: an unfinished line, and lines such as `event:` before it. They are held back, up to MAX_HELD
bytes, until the line is complete, and dropped if the provider breaks off. So a stream is nearly
always at the boundary of two events, where an error event can follow. Where it is not, because a
line was longer or the rest of its event is missing, the body has to be cut.
"""

import re

import msgspec

MAX_HELD = 64 * 1024
MAX_FIRST = 2048  # of the first event, which says what the stream is about

# How most events end. Line ends are LF, CRLF or CR, and may be mixed.
_ENDS = (b"\n\n", b"\r\n\r\n")
# Comments and blank lines, which belong to no event, and the lines that dispatch nothing. They
# are few: more than that leaves as it comes.
_OUTSIDE = re.compile(rb"(?:(?::[^\r\n]*+)?(?:\r\n?|\n))*+")
_NAMES = re.compile(rb"(?:\xef\xbb\xbf)?(?:(?:event|id|retry)(?::[^\r\n]*+)?(?:\r\n?|\n)){0,8}+")
_LONGEST_WORD = 64


class _Typed(msgspec.Struct):
    """The data of an event that tells its name."""

    type: str | None = None


_typed = msgspec.json.Decoder(_Typed)


class EventStream:
    """The events of one answer on their way to the caller.

    `last` are the names or data of events after which the answer is whole: `is_done` then.
    `is_open`: part of an event has left. `first` and `latest` are the start of the first piece
    with an event that has left, and the newest one.
    """

    __slots__ = ("_edge", "_held", "_is_last", "_last", "first", "is_done", "is_open", "latest")

    def __init__(self, last: tuple[bytes, ...]) -> None:
        self._last = last
        self._held = b""
        self._edge = b""  # the last byte that has left, while an event is open
        self._is_last = False  # the open event is one of `last`
        self.is_open = False
        self.is_done = False
        self.first = b""
        self.latest = b""

    def feed(self, piece: bytes) -> bytes:
        """What may leave now that `piece` has arrived."""
        is_inside = False  # whether what leaves begins in the middle of a line
        if not self.is_open and piece.endswith(_ENDS):
            if self._held:
                piece, self._held = self._held + piece, b""
        else:
            is_inside = self.is_open and self._edge not in (b"\n", b"\r")
            piece = self._divide(piece)
            if not piece:
                return piece
        for word in self._last:
            if word in piece:
                self._look(piece, is_inside=is_inside)
                break
        if not piece.startswith(b":"):
            self.latest = piece
            if not self.first:
                self.first = piece[:MAX_FIRST]
        return piece

    def rest(self) -> bytes:
        """What is held back, for a stream that has ended as it should."""
        held, self._held = self._held, b""
        return held

    def _divide(self, piece: bytes) -> bytes:
        """What leaves of a piece that does not just end an event."""
        if self.is_open:
            end = _after_blank(self._edge + piece, 0) - 1
            if end < 0:
                self._edge = piece[-1:] or self._edge
                return piece
            self.is_done |= self._is_last
            self.is_open = self._is_last = False
            return piece[:end] + self._begin(piece[end:])
        known, data = len(self._held), self._held + piece
        if b"\n" not in piece and b"\r" not in piece and not self._may_flow(data):
            self._held = data
            return b""
        end = _after_blank(data, max(0, known - 1))
        self._held = b""
        return data[:end] + self._begin(data[end:])

    def _begin(self, data: bytes) -> bytes:
        """What leaves of `data`, which begins between two events and has no whole one."""
        start = _end(_OUTSIDE, data, 0)
        names = _end(_NAMES, data, start)
        is_further = max(data.rfind(b"\n"), data.rfind(b"\r")) >= names
        if is_further or self._may_flow(data[start:]) or self._may_flow(data[names:]):
            self.is_open = True
            self._edge = data[-1:]
            return data
        self._held = data[start:]
        return data[:start]

    def _may_flow(self, line: bytes) -> bool:
        """Whether an unfinished line leaves: it is too long, or all there is to come."""
        return len(line) > MAX_HELD or (len(line) < _LONGEST_WORD and _data(line) in self._last)

    def _look(self, piece: bytes, *, is_inside: bool) -> None:
        """Find the end of the answer in what leaves."""
        is_last = self._is_last
        for line in piece.splitlines()[is_inside:]:
            if not line:
                self.is_done |= is_last
                is_last = False
            elif _data(line) in self._last:
                self.is_done = True
            elif _name(line) in self._last:
                is_last = True
        self._is_last = is_last


def _end(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    found = pattern.match(data, start)
    return found.end() if found else start


def _after_blank(data: bytes, start: int) -> int:
    """Where the last blank line from `start` on ends; 0 if there is none.

    Two line ends meet in it: all pairs of their bytes but CR LF, which is a single one.
    """
    end = data.rfind(b"\n\n", start) + 2
    if data.find(b"\r", start) >= 0:
        end = max(end, data.rfind(b"\n\r", start) + 2, data.rfind(b"\r\r", start) + 2)
    if end < 2:
        return 0
    return end + (data[end - 1 : end + 1] == b"\r\n")


def _data(line: bytes) -> bytes:
    field, _, value = line.partition(b":")
    return value.strip() if field == b"data" else b""


def _name(line: bytes) -> bytes:
    """The name of an event, where `line` tells it: by its field, or by the type in its data."""
    field, _, value = line.partition(b":")
    if field == b"event":
        return value.strip()
    if field != b"data" or b'"type"' not in value:
        return b""
    try:
        return (_typed.decode(value).type or "").encode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return b""
