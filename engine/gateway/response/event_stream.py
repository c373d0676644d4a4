"""Which bytes of an event stream can be sent now, so that it can be ended at any byte.

The format is that of WHATWG, HTML 9.2.

What arrives leaves at once, but for the beginning of an event of which nothing can be dispatched
yet: an unfinished line, and lines such as `event:` before it. They are held back, up to MAX_HELD
bytes, until the line is complete, and dropped if the provider breaks off. So a stream is nearly
always at the boundary of two events, where an error event can follow. Where it is not, because a
line was longer or the rest of its event is missing, the body has to be cut.
"""

import re
from time import monotonic

from engine.gateway.response.event_text import (
    MAX_EVENT,
    Members,
    beginning_of,
    events_in,
    fields_of,
    is_error,
    text_of,
    without_event,
)
from engine.gateway.response.facts import ResponseFacts
from engine.gateway.response.usage import UsageMeter

MAX_HELD = 64 * 1024
MAX_SHORT = 512  # of an event that may be known before its end

# Comments and blank lines, which belong to no event, and the lines that dispatch nothing. At
# most 8 of the latter are held back; further ones are sent immediately.
_OUTSIDE = re.compile(rb"(?>(?:(?::[^\r\n]*+)?(?:\r\n?|\n))*)")
_NAMES = re.compile(rb"(?:\xef\xbb\xbf)?(?>(?:(?:event|id|retry)(?::[^\r\n]*+)?(?:\r\n?|\n)){0,8})")
_BLANK = (b"\n\n", b"\n\r", b"\r\r")  # two line ends meet: all pairs of their bytes but CR LF
_DATA = (b"\ndata:", b"\rdata:")
_LONGEST_WORD = 64


class EventStream:
    """The events of one response on their way to the caller.

    `last`: names or data of final events; `is_done` becomes true after one of them. `is_open`: part
    of an event was sent. `facts` and `meter`, if given, see every event. `first_at`: when the first
    event with data was complete, monotonic seconds. `extra`: the event that the gateway requested
    (`UsageField`); it is not sent to the caller.
    """

    __slots__ = (
        "_edge",
        "_extra",
        "_held",
        "_last",
        "_latest",
        "_meter",
        "_part",
        "facts",
        "first_at",
        "is_done",
        "is_open",
    )

    def __init__(
        self,
        last: tuple[bytes, ...],
        facts: ResponseFacts | None = None,
        meter: UsageMeter | None = None,
        extra: Members | None = None,
    ) -> None:
        self._last = last
        self._meter = meter
        self._extra = extra
        self._held = b""
        self._part = bytearray()  # what has left of the open event, up to MAX_EVENT
        self._edge = b""  # the last byte of it
        self._latest = b""  # the newest chunk with the data of an event
        self.is_done = False
        self.facts = facts
        self.first_at: float | None = None
        self.is_open = False

    def is_complete(self) -> bool:
        """Whether the last event has passed. The newest is read again, however it is written."""
        return self.is_done or self._has_last(self._latest)

    def has_failed(self) -> bool:
        """Whether the newest event reports an error of the provider's own."""
        return any(is_error(event) for event in [*events_in(self._latest)][-1:])

    def feed(  # a keyword costs 150 instructions, a call of the rest 300, an event 28,000
        self,
        chunk: bytes,
        is_whole: bool = False,  # noqa: FBT001, FBT002
    ) -> bytes:
        """What may leave now that `chunk` has arrived; `is_whole`: whole events, however they end."""
        # Most events end so. Line ends are LF, CRLF or CR, and may be mixed. A slice takes less
        # than `endswith`.
        if not is_whole and (
            self.is_open or self._held or (chunk[-2:] != b"\n\n" and chunk[-4:] != b"\r\n\r\n")
        ):
            return self._split(chunk)
        # It begins with data: a comparison makes no copy, as a slice does.
        if (
            b"data:" <= chunk < b"data;"
            or chunk.find(_DATA[0]) >= 0  # in half the time of `in`
            or chunk.find(_DATA[1]) >= 0
        ):
            if not self._latest:
                self.first_at = monotonic()
            self._latest = chunk
        for word in self._last:
            if chunk.partition(word)[1]:  # in two thirds of the time of `find`
                self.is_done = self.is_done or self._has_last(chunk)
        if self.facts is not None:
            self.facts.observe(chunk)
        meter = self._meter
        if meter is not None and meter.observe(chunk) and self._extra is not None:
            return without_event(chunk, self._extra, meter.has_usage)
        return chunk

    def take_held(self) -> bytes:
        """What is held back, for a stream that has ended as it should."""
        held, self._held = self._held, b""
        if held:
            return self.feed(held, is_whole=True)
        if self._part:
            self.feed(bytes(self._part), is_whole=True)
        return b""

    def _split(self, chunk: bytes) -> bytes:
        """What leaves of a chunk that does not just end an event."""
        if self.is_open:
            return self._continue_event(chunk)
        known, data = len(self._held), self._held + chunk
        if b"\n" not in chunk and b"\r" not in chunk and not self._may_forward(data):
            self._held = data
            return b""
        end = _after_blank(data, max(0, known - 1))
        self._held = b""
        leaving = self.feed(data[:end], is_whole=True) if end else b""
        return leaving + self._begin(data[end:])

    def _begin(self, data: bytes) -> bytes:
        """What leaves of `data`, which begins between two events and has no whole one."""
        start = _end(_OUTSIDE, data, 0)
        names = _end(_NAMES, data, start)
        is_further = max(data.rfind(b"\n"), data.rfind(b"\r")) >= names
        may_be_extra = self._extra is not None and self._may_be_extra(data)
        if not may_be_extra and (
            is_further or self._may_forward(data[start:]) or self._may_forward(data[names:])
        ):
            self.is_open = True
            self._keep(data[start:])
            return data
        self._held = data[start:]
        return data[:start]

    def _continue_event(self, chunk: bytes) -> bytes:
        """What leaves of `chunk` while an event is open: all of it, but for a next one's beginning."""
        end = _after_first_blank(self._edge + chunk) - 1
        self._keep(chunk[:end] if end >= 0 else chunk)
        if end < 0:
            return chunk
        text, self._part = bytes(self._part), bytearray()
        if len(text) == MAX_EVENT:
            text = beginning_of(text)
        self.is_open = False
        self.feed(text, is_whole=True)
        rest = chunk[end:]
        return chunk[:end] + self.feed(rest) if rest else chunk

    def _keep(self, chunk: bytes) -> None:
        """Remember what was sent of the open event. No more bytes may arrive after its data."""
        self._part += chunk[: MAX_EVENT - len(self._part)]
        self._edge = chunk[-1:] or self._edge
        if len(self._part) < MAX_SHORT:
            self.is_done |= any(event.data in self._last for event in events_in(bytes(self._part)))

    def _may_forward(self, line: bytes) -> bool:
        """Whether to send an unfinished line: it is too long, or no more bytes may arrive."""
        return len(line) > MAX_HELD or (len(line) < _LONGEST_WORD and _data(line) in self._last)

    def _may_be_extra(self, data: bytes) -> bool:
        """Whether the event that begins in `data` may be the usage event that the gateway requested."""
        return self._meter is not None and len(data) <= MAX_HELD and self._meter.has_usage(data)

    def _has_last(self, text: bytes) -> bool:
        last = self._last
        return any(
            event.name in last
            or event.data in last
            or text_of(fields_of(event.data).type).encode() in last
            for event in events_in(text)
        )


def _end(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    found = pattern.match(data, start)
    return found.end() if found else start


def _after_blank(data: bytes, start: int) -> int:
    """Where the last blank line from `start` on ends; 0 if there is none."""
    end = data.rfind(b"\n\n", start) + 2
    if data.find(b"\r", start) >= 0:
        end = max(end, *(data.rfind(pair, start) + 2 for pair in _BLANK[1:]))
    return _with_lf(data, end) if end >= 2 else 0


def _after_first_blank(data: bytes) -> int:
    """Where the first blank line ends; 0 if there is none."""
    found = [at + 2 for pair in _BLANK if (at := data.find(pair)) >= 0]
    return _with_lf(data, min(found)) if found else 0


def _with_lf(data: bytes, end: int) -> int:
    return end + (data[end - 1 : end + 1] == b"\r\n")


def _data(line: bytes) -> bytes:
    field, _, value = line.partition(b":")
    return value.strip() if field == b"data" else b""
