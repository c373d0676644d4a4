"""Finds fields of a multipart form while it streams past, and changes them in the original bytes.

A strict parser only looks; what goes upstream is what came, part for part. The head of a form is
all that comes before its first file, or up to `model` when that stands later. It is kept (in
memory, then in an unlinked temporary file), and the rest is passed on as it arrives.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from tempfile import SpooledTemporaryFile
from typing import IO

from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
)

from engine.gateway.body import Intake
from engine.gateway.errors import GatewayError

SPOOL_MEMORY = 1024 * 1024
BLOCK = 64 * 1024
MAX_PARTS = 1000
MAX_FIELD = 8 * 1024
_PLAIN_ENCODINGS = {"7bit", "8bit", "binary"}
_BLANK_LINE = b"\r\n\r\n"
# `filename*` too: a parser that knows only the plain one takes such a file for a text field.
_FILENAME = re.compile(r";\s*filename\s*\*?\s*=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Field:
    """A watched text field: its value and which part it is, counted from 0.

    `is_late`: a file stands before it.
    """

    value: str
    part: int
    is_late: bool


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes `start` to `end` of the head become `text`."""

    start: int
    end: int
    text: bytes


class _Parser(PushMultipartParser):  # type: ignore[misc]
    """The library's parser, which passes over a lone CR or LF when the line end came with it."""

    def _on_segment_headerline(self, line: bytes) -> None:
        if b"\n" in line or b"\r" in line:
            raise MultipartError("invalid line break in segment header")
        super()._on_segment_headerline(line)


class FormBody:
    """A form being received.

    `watched` are the fields whose values are wanted, each once; `noted` those of which only the
    parts are, in `parts`.
    """

    def __init__(
        self,
        intake: Intake,
        boundary: bytes,
        watched: frozenset[str],
        noted: frozenset[str] = frozenset(),
    ) -> None:
        self._intake = intake
        self._delimiter = b"\r\n--" + boundary
        self._parser = _Parser(
            boundary, max_segment_count=MAX_PARTS, max_header_size=BLOCK // 8, strict=True
        )
        self._watched = watched
        self._noted = noted
        self._head: IO[bytes] = SpooledTemporaryFile(max_size=SPOOL_MEMORY)  # noqa: SIM115 closed in close()
        self._closing = self._delimiter + b"--"
        self._begin = b""  # the first bytes, up to the length of a delimiter
        self._tail = b"\r\n"
        self._is_over = False
        self._part = -1
        self._name: str | None = None  # of the watched part being read
        self._value = bytearray()
        self._file_seen = False
        self._forbidden: frozenset[str] = frozenset()
        self.fields: dict[str, Field] = {}
        self.parts: dict[str, list[int]] = {}
        self.head_size = 0

    def close(self) -> None:
        """Give the head's memory or file back."""
        self._head.close()

    @property
    def complete(self) -> bool:
        """Whether the head is the whole form."""
        return self._intake.complete

    async def read_head(self) -> None:
        """Read until `model` and every field before the first file are known, or to the end.

        Raises:
            CallerGone: the caller left.
            GatewayError: `invalid_form`, `invalid_model`, `duplicate_field` or a limit.
        """
        while not (self._file_seen and "model" in self.fields):
            piece = await self._intake.piece()
            if not piece:
                self._finish()
                return
            self._look_at(piece)
            self._head.write(piece)
            self.head_size += len(piece)
        if self._intake.complete:
            self._finish()

    def edits(self, changes: Mapping[str, str | None]) -> list[Edit]:
        """What to change in the head: each field's new text, or None to remove its part."""
        if not changes:
            return []
        opened = self.delimiters()
        edits = []
        for name, text in changes.items():
            field = self.fields[name]
            begin, end = opened[field.part], opened[field.part + 1]
            if text is None:
                edits.append(Edit(begin + 2, end + 2, b""))
            else:
                edits.append(Edit(end - len(field.value.encode()), end, text.encode()))
        return sorted(edits, key=lambda edit: edit.start)

    def delimiters(self) -> list[int]:
        """Where each delimiter of the head starts, its CRLF included; the first may have none: -2."""
        return list(self._delimiters())

    def part_head(self, start: int) -> bytes:
        """The header of the part behind the delimiter that starts at `start`."""
        self._head.seek(max(start, 0))
        return self._head.read(BLOCK // 4).partition(_BLANK_LINE)[0]

    @property
    def delimiter(self) -> bytes:
        """What stands between two parts, without the CRLF around it."""
        return self._delimiter[2:]

    def edited(self, edits: list[Edit]) -> bytes:
        """The whole edited head at once; for a small form that is complete."""
        return b"".join(self._edited_head(edits))

    async def stream(self, edits: list[Edit], forbidden: frozenset[str]) -> AsyncIterator[bytes]:
        """The edited head, then the rest as it comes; the caller is still checked while it does.

        `forbidden` are fields that may not appear after the head. A piece is held until the next
        one is known to be fine, so that a broken form never gets to its end upstream.
        """
        self._forbidden = forbidden
        held = b""
        for block in self._edited_head(edits):
            if held:
                yield held
            held = block
        while True:
            piece = await self._intake.piece()
            if piece:
                self._look_at(piece)
            else:
                self._finish()
            if held:
                yield held
            if not piece:
                return
            held = piece

    def _edited_head(self, edits: list[Edit]) -> Iterator[bytes]:
        position = 0
        self._head.seek(0)
        for edit in edits:
            yield from self._blocks(edit.start - position)
            if edit.text:
                yield edit.text
            self._head.seek(edit.end)
            position = edit.end
        yield from self._blocks(self.head_size - position)

    def _blocks(self, size: int) -> Iterator[bytes]:
        while size > 0:
            block = self._head.read(min(size, BLOCK))
            size -= len(block)
            yield block

    def _delimiters(self) -> Iterator[int]:
        """Where each delimiter starts, its CRLF included; the first one may have none: -2.

        Behind a delimiter comes the header of a part, up to a blank line. What looks like a
        delimiter right there is content, and is found to be so by the parser too.
        """
        self._head.seek(0)
        base, buffer = -2, b"\r\n"
        marks = cycle((self._delimiter, _BLANK_LINE))
        mark = next(marks)
        while block := self._head.read(BLOCK):
            buffer += block
            begin = 0
            while (index := buffer.find(mark, begin)) >= 0:
                if mark is self._delimiter:
                    yield base + index
                begin = index + len(mark)
                mark = next(marks)
            keep = max(begin, len(buffer) - len(mark) + 1)
            base, buffer = base + keep, buffer[keep:]

    def _look_at(self, piece: bytes) -> None:
        self._check_begin(piece)
        piece, after = self._until_closing(piece)
        if after.strip(b"\r\n"):
            raise _invalid("the form goes on behind its closing boundary")
        if not piece:
            return
        try:
            for event in self._parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    self._open_part(event)
                elif event is None:
                    self._close_part()
                elif self._name is not None:
                    self._collect(event)
        except MultipartError as error:
            raise _invalid(f"the form cannot be read: {str(error)[:100].lower()}") from None

    def _check_begin(self, piece: bytes) -> None:
        """Nothing may precede the first delimiter: others may find a part in it."""
        if len(self._begin) >= len(self._delimiter):
            return
        self._begin += piece[: len(self._delimiter)]
        start = self._delimiter if self._begin.startswith(b"\r") else self._delimiter[2:]
        if not self._begin.startswith(start[: len(self._begin)]):
            raise _invalid("the form does not begin with its boundary")

    def _until_closing(self, piece: bytes) -> tuple[bytes, bytes]:
        """What of `piece` belongs to the form, and what comes behind its closing delimiter."""
        if self._is_over:
            return b"", piece
        window = self._tail + piece
        at = window.find(self._closing)
        self._tail = window[1 - len(self._closing) :]
        if at < 0:
            return piece, b""
        self._is_over = True
        end = at + len(self._closing) - (len(window) - len(piece))
        return piece[:end], piece[end:]

    def _finish(self) -> None:
        try:
            self._parser.close()
        except MultipartError:
            raise _invalid("the form ends before its closing boundary") from None

    def _open_part(self, segment: MultipartSegment) -> None:
        self._part += 1
        names = [name for name, _ in segment.headerlist]
        if len(set(names)) != len(names):
            raise _invalid("a part of the form has the same header twice")
        disposition = segment.header("Content-Disposition", "")
        if len(re.findall(r";\s*name\*?\s*\*?=", disposition, re.IGNORECASE)) != 1 or re.search(
            r";\s*name\s*\*", disposition, re.IGNORECASE
        ):
            raise _invalid("a part of the form needs exactly one plain `name`")
        name = segment.name
        is_file = bool(_FILENAME.search(disposition))
        self._file_seen = self._file_seen or is_file
        if name in self._noted:
            self.parts.setdefault(name, []).append(self._part)
            if name in self._forbidden:
                raise too_late(name)
        is_watched = name.lower() in self._watched
        self._name = self._watch(name, segment, is_file=is_file) if is_watched else None
        self._value.clear()

    def _watch(self, name: str, segment: MultipartSegment, *, is_file: bool) -> str:
        lower = name.lower()
        if name != lower:
            words = f"`{name}` may be read as `{lower}` by others; write it once, as `{lower}`"
            raise GatewayError("duplicate_field", words, param=lower)
        if name in self.fields:
            words = f"the form has more than one field `{name}`"
            raise GatewayError("duplicate_field", words, param=name)
        if name in self._forbidden:
            raise too_late(name)
        encoding = segment.header("Content-Transfer-Encoding", "binary").lower()
        if is_file or encoding not in _PLAIN_ENCODINGS:
            raise _invalid(f"`{name}` must be a plain text field")
        return name

    def _collect(self, data: bytes) -> None:
        self._value += data
        if len(self._value) > MAX_FIELD:
            raise _invalid(f"`{self._name}` is longer than {MAX_FIELD} bytes")

    def _close_part(self) -> None:
        if self._name is None:
            return
        try:
            text = self._value.decode("utf-8")
        except UnicodeDecodeError:
            raise _invalid(f"`{self._name}` is not UTF-8 text") from None
        self.fields[self._name] = Field(text, self._part, self._file_seen)
        self._name = None


def too_late(name: str) -> GatewayError:
    """What is told of a field that was needed before the upload began."""
    return _invalid(f"`{name}` must stand before the first file of the form")


def _invalid(message: str) -> GatewayError:
    return GatewayError("invalid_form", message)
