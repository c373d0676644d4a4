"""Finds fields of a multipart form while it streams past, and changes them in the original bytes.

A strict parser only reads; what goes upstream is what came, part for part. The head of a form is
all that comes before its first file, or up to `model` when that stands later. It is kept (in
memory, then in an unlinked temporary file), and the rest is passed on as it arrives.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.body import RequestBodyReader
from engine.gateway.inbound.edits import Edit
from engine.gateway.inbound.form_parser import FormParser, PartHead, invalid
from engine.gateway.inbound.form_part import FormPart, read_part
from engine.gateway.inbound.json_text import number
from engine.gateway.inbound.spelling import fold_in_form, folded, other_spelling
from engine.plan.spelling import fold

SPOOL_MEMORY = 1024 * 1024
BLOCK = 64 * 1024
MAX_FIELD = 8 * 1024
MAX_NUMBER = 32  # bytes of a field that is counted; what follows is not read
_CHARSET = "_charset_"


@dataclass(frozen=True, slots=True)
class FormField:
    """A watched text field: its value and which part it is, counted from 0.

    `is_late`: a file stands before it.
    """

    value: str
    part: int
    is_late: bool


class FormBody:
    """A form being received.

    `watched`: fields whose values are recorded; each may occur once. `located`: fields whose part
    numbers only are recorded (in `parts`). `refused`: fields that the caller may not send.
    """

    def __init__(  # noqa: PLR0913, PLR0917 fields by what is done with them
        self,
        body_reader: RequestBodyReader,
        boundary: bytes,
        watched: frozenset[str],
        located: frozenset[str] = frozenset(),
        refused: frozenset[str] = frozenset(),
        counted: frozenset[str] = frozenset(),
    ) -> None:
        self._body_reader = body_reader
        self._boundary = boundary
        self._parser = FormParser(boundary)
        self._watched = watched
        self._located = located
        self._refused = refused
        self._counted = {fold_in_form(name): name for name in counted}
        self._head: IO[bytes] = SpooledTemporaryFile(max_size=SPOOL_MEMORY)  # noqa: SIM115 closed in close()
        self._part = -1
        self._name: str | None = None  # of the watched part being read
        self._number: str | None = None  # of the counted one
        self._size = 0  # of the part being read, and what it declares
        self._declared: int | None = None
        self._value = bytearray()
        self._file_seen = False
        self._forbidden: frozenset[str] = frozenset()
        self.fields: dict[str, FormField] = {}
        self.numbers: dict[str, int] = {}
        self.parts: dict[str, list[int]] = {}
        self.names_at: dict[int, tuple[int, int]] = {}  # of the located parts
        self.head_size = 0

    def close(self) -> None:
        """Give the head's memory or file back."""
        self._head.close()

    @property
    def complete(self) -> bool:
        """Whether the head is the whole form."""
        return self._body_reader.complete

    async def read_head(self) -> None:
        """Read until `model` and every field before the first file are known, or to the end.

        Raises:
            CallerGone: the caller left.
            GatewayError: `invalid_form`, `invalid_model`, `duplicate_field` or a limit.
        """
        while not (self._file_seen and "model" in self.fields):
            chunk = await self._body_reader.chunk()
            if not chunk:
                self._finish()
                return
            self._inspect(chunk)
            self._head.write(chunk)
            self.head_size += len(chunk)
        if self._body_reader.complete:
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
        return self._parser.opened

    @property
    def delimiter(self) -> bytes:
        """What stands between two parts, without the CRLF around it."""
        return b"--" + self._boundary

    def edited(self, edits: list[Edit]) -> bytes:
        """The whole edited head at once; for a small form that is complete."""
        return b"".join(self._edited_head(edits))

    async def stream(self, edits: list[Edit], forbidden: frozenset[str]) -> AsyncIterator[bytes]:
        """The edited head, then the rest as it comes; the caller is still checked while it does.

        `forbidden` are fields that may not appear after the head. A chunk is held until the next
        one is known to be fine, so that a broken form never gets to its end upstream.
        """
        self._forbidden = forbidden
        held = b""
        for block in self._edited_head(edits):
            if held:
                yield held
            held = block
        while True:
            chunk = await self._body_reader.chunk()
            if chunk:
                self._inspect(chunk)
            else:
                self._finish()
            if held:
                yield held
            if not chunk:
                return
            held = chunk

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

    def _inspect(self, chunk: bytes) -> None:
        for event in self._parser.feed(chunk):
            if event is None:
                self._close_part()
            elif isinstance(event, PartHead):
                self._open_part(read_part(event))
            else:
                self._collect(event)

    def _finish(self) -> None:
        if not self._parser.is_over:
            raise invalid("the form ends before its closing boundary")

    def _open_part(self, part: FormPart) -> None:
        self._part += 1
        self._size, self._declared = 0, part.length
        self._file_seen = self._file_seen or part.is_file
        name = part.name
        read_as = self._refuse_variants(name)
        self._number = self._counted.get(read_as)
        if name in self._located:
            self.parts.setdefault(name, []).append(self._part)
            at = self._parser.head_at
            self.names_at[self._part] = (at + part.start, at + part.end)
            if name in self._forbidden:
                raise too_late(name)
        self._name = self._watch(part) if name in self._watched else None
        self._value.clear()

    def _refuse_variants(self, name: str) -> str:
        """Refuse a field name that another parser could read as a routing field. Returns the name it could be read as."""
        read_as = fold_in_form(name)
        meant = folded(self._watched).get(read_as) or folded(self._located).get(fold(name))
        if meant is not None and name != meant and name not in self._located:
            raise other_spelling(name, meant)
        if read_as in self._refused:
            raise further_models(read_as)
        if read_as == _CHARSET:
            raise invalid(f"`{_CHARSET}` may change how other fields are read; a form is UTF-8")
        return read_as

    def _watch(self, part: FormPart) -> str:
        name = part.name
        if name in self.fields:
            words = f"the form has more than one field `{name}`"
            raise GatewayError("duplicate_field", words, param=name)
        if name in self._forbidden:
            raise too_late(name)
        part.check_text()
        return name

    def _collect(self, data: bytes) -> None:
        self._size += len(data)
        if self._name is None:
            if self._number is not None:
                self._value += data[: MAX_NUMBER - len(self._value)]
            return
        self._value += data
        if len(self._value) > MAX_FIELD:
            raise invalid(f"`{self._name}` is longer than {MAX_FIELD} bytes")

    def _close_part(self) -> None:
        if self._declared is not None and self._declared != self._size:
            raise invalid("a part's length does not match its Content-Length")
        if self._number is not None:
            found = int(number(bytes(self._value)) or 0)
            self.numbers[self._number] = max(found, self.numbers.get(self._number, 0))
        if self._name is None:
            return
        try:
            text = self._value.decode("utf-8")
        except UnicodeDecodeError:
            raise invalid(f"`{self._name}` is not UTF-8 text") from None
        self.fields[self._name] = FormField(text, self._part, self._file_seen)
        self._name = None


def further_models(name: str) -> GatewayError:
    """The refusal of a field with models in addition to the routed one, when the key allows only certain models."""
    words = f"this API key allows only certain models, so `{name}` cannot list additional models"
    return GatewayError("not_allowed", words, param=name)


def too_late(name: str) -> GatewayError:
    """The refusal of a field that was needed before the upload began."""
    return invalid(f"`{name}` must come before the first file of the form")
