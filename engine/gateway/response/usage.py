"""Takes notice of a response on its way, and notes in the end what it says of its usage.

Of an event stream the bytes are searched for the name of an object with counts; the few events that
have it are kept, and decoded when the stream is over. Counts of later events replace those of
earlier ones, one by one, as providers report sums; zeros do not. Nothing here changes what is sent.
"""

import zlib
from collections import deque
from collections.abc import Mapping

from engine.gateway.inbound.payload import Upload
from engine.gateway.inbound.text_size import MAX_ENCODED
from engine.gateway.record import RecordBuilder, RequestUsage
from engine.gateway.response.service_tier import TierReader
from engine.gateway.response.usage_reader import Counts, UsageReader
from engine.plan.usage import UNITS

MAX_WHOLE = 1024 * 1024  # of a response that is decoded; of a longer one the end is searched
MAX_END = 64 * 1024
MAX_UNPACKED = 4 * 1024 * 1024  # of a compressed response; a longer one is not read
MAX_KEPT = 4  # chunks with usage, besides the first
MAX_RECENT = 16  # chunks of events from which the output of a stream is estimated
MAX_SAMPLE = 16 * 1024  # bytes of such a chunk
BYTES_A_TOKEN = 4  # where tokens are estimated
MAX_ESTIMATED = (
    256 * 1024
)  # bytes of output that are counted; what is beyond them are images and files
QUIET_SECONDS = 1.0  # without an event, after which a model is taken to work on what is not shown
_NOT_OK = 300
_NOTHING = RequestUsage({})
_NEVER_LONG = -(1 << 62)  # bytes
_NO_EVENTS = deque[bytes](maxlen=0)
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class UsageMeter:
    """The usage of one response: whole events, or chunks of another body. `sent` is the body of the request."""

    __slots__ = (
        "_chunks",
        "_end",
        "_is_packed",
        "_reader",
        "_recent",
        "_search",
        "_seen",
        "_sent",
        "_since",
        "_size",
        "event_chunks",
        "is_events",
        "silent",
    )

    def __init__(self, reader: UsageReader, sent: Upload | None = None) -> None:
        self._reader, self._sent = reader, sent
        self._search = reader.search.search
        self._chunks: deque[bytes] = deque()
        self._recent = _NO_EVENTS
        self._end = 0  # bytes that are kept
        self._size = 0
        self._is_packed = False
        self.is_events = False
        self.event_chunks = 0  # of whole events
        self._seen, self._since = -1, 0.0  # as of the last tick
        self.silent = 0.0  # seconds

    def start(self, status: int, fields: Mapping[bytes, bytes]) -> bool:
        """Whether the response with this head may say anything, so that the rest is worth keeping.

        `fields` are its headers by name.
        """
        if status >= _NOT_OK:
            return False
        encoding = fields.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            self._is_packed = encoding.lower() in _ENCODINGS
            if not self._is_packed:
                return self._skip()
        content_type = fields.get(b"content-type", b"")
        if content_type == b"application/json":  # most are, and this saves reading it
            return True
        content_type = content_type.lower()
        self.is_events = content_type.startswith(b"text/event-stream")
        if self.is_events:
            self._recent = deque(maxlen=MAX_RECENT)
        return self.is_events or b"json" in content_type or self._skip()

    def _skip(self) -> bool:
        """Keep nothing of a body that says nothing; whether what it has used is estimated by the request."""
        self._chunks = deque(maxlen=0)
        self._size = _NEVER_LONG
        return bool(self._reader.places.bytes_each)

    def observe(self, text: bytes) -> bool:
        """Take notice of whole events; whether one of them may have usage."""
        self.event_chunks += 1
        self._recent.append(text if len(text) <= MAX_SAMPLE else text[:MAX_SAMPLE])
        if self._search(text) is None:
            return False
        kept = self._chunks
        kept.append(text)
        if len(kept) > MAX_KEPT + 1:
            del kept[1]
        return True

    def tick(self, now: float, *, is_read: bool) -> None:
        """Several times a second: add up the time in which no event comes to a caller that reads all there is."""
        if self.event_chunks != self._seen or not is_read:
            self._seen, self._since = self.event_chunks, now
        elif now - self._since > QUIET_SECONDS:
            self.silent += now - self._since
            self._since = now

    def has_usage(self, text: bytes) -> bool:
        """Whether there may be usage in `text`."""
        return self._search(text) is not None

    def add(self, chunk: bytes) -> None:
        """Take notice of a chunk of a body that is no stream of events, or a compressed one."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._end += len(chunk)
        while self._size > MAX_WHOLE and self._end - len(self._chunks[0]) >= MAX_END:
            self._end -= len(self._chunks.popleft())

    def finish(self, record: RecordBuilder, *, is_priced: bool) -> None:
        """Set the usage in the record of a request that is over; of a bug in it, only where it is.

        `is_priced`: the service tier counts, too, since the cost depends on it.
        """
        try:
            record.state.metered = self.metered(record)
            record.set_silence(self.silent)
            if is_priced and self._reader.tier is not None:
                record.state.metered = record.state.metered.in_tier(self._tier(self._reader.tier))
        except Exception:  # noqa: BLE001 the caller has the response
            record.set_bug()

    def metered(self, record: RecordBuilder) -> RequestUsage:
        """The usage of a request that is over."""
        reader, counts, usage = self._reader, self.counts(), "reported"
        if (
            record.outcome != "ok"
            or not counts.get("input_tokens")
            or reader.last_needed not in counts
        ):
            counts, usage = self._completed(counts, record)
            if not counts:
                return _NOTHING
        if reader.has_units:
            return RequestUsage(counts, usage, {n: counts[n] for n in UNITS if n in counts})
        return RequestUsage(counts, usage)

    def _completed(self, counts: Counts, record: RecordBuilder) -> tuple[Counts, str]:
        """Counts that lack one, or of a response that broke off, and what they are then."""
        places = self._reader.places
        usage = "reported" if record.outcome == "ok" else "partial"
        if not counts and places.bytes_each and record.bytes_in:
            usage = "estimated" if usage == "reported" else usage
            return places.units_of(record.bytes_in), usage
        if not places.estimates:
            return counts, usage
        if not counts.get("input_tokens"):  # which every request has, so zeros were not counted
            counts = {name: count for name, count in counts.items() if count}
        if usage == "reported" and self._reader.needed <= counts.keys():
            return counts, usage
        usage = "estimated" if usage == "reported" else usage
        return self._estimated(counts, record.bytes_in, record.bytes_out), usage

    def _estimated(self, counts: Counts, input_bytes: int, output_bytes: int) -> Counts:
        """`counts` completed: four bytes a token, of output MAX_ESTIMATED at most, and at least a token an event.

        Of a stream that broke off, the output that was reported first is a placeholder.
        """
        if input_bytes > 0:
            if input_bytes > MAX_ENCODED:
                input_bytes = MAX_ENCODED if self._sent is None else self._sent.text_size()
            counts = {"input_tokens": estimated_input(input_bytes)} | counts
        if self.event_chunks:
            counts["output_tokens"] = max(
                counts.get("output_tokens", 0), self.event_chunks, self._estimated_output()
            )
        elif self._reader.has_output:
            counts.setdefault("output_tokens", min(output_bytes, MAX_ESTIMATED) // BYTES_A_TOKEN)
        return counts

    def _estimated_output(self) -> int:
        """Tokens of the text in all events, as far as the latest ones show how much they have."""
        found = sum(map(self._reader.output_bytes, self._recent))
        size = found * self.event_chunks // len(self._recent)
        return min(size, MAX_ESTIMATED) // BYTES_A_TOKEN

    def counts(self) -> Counts:
        """What the response has said."""
        if self.is_events:
            return self._reader.events([self._unpacked()] if self._is_packed else self._chunks)
        if self._is_packed:
            return self._reader.body(self._unpacked())
        text = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if self._size > MAX_WHOLE:
            return self._reader.end_of_body(text[-MAX_END:])
        return self._reader.body(text)

    def _tier(self, reader: TierReader) -> str | None:
        """The service tier that the response names. Of one that broke off, its latest events may name it."""
        if self.is_events:
            kept = self._chunks or self._recent
            return reader.events([self._unpacked()] if self._is_packed else kept)
        return reader.body(self._unpacked() if self._is_packed else b"".join(self._chunks))

    def _unpacked(self) -> bytes:
        """The text of a compressed response; empty where it is too long or damaged."""
        if self._size > MAX_WHOLE:
            return b""
        unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            return unpacking.decompress(b"".join(self._chunks), MAX_UNPACKED)
        except zlib.error:
            return b""


def estimated_input(size: int) -> int:
    """Input tokens of a request whose body has `size` bytes of text."""
    return size // BYTES_A_TOKEN + 1


_ENCODINGS = {b"gzip", b"x-gzip", b"deflate"}
