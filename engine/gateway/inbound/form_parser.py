"""Parses a multipart form as it arrives, with the strictest rules.

A boundary ends a part, or the form is refused: some readers take a lone CR or LF for the end of a
line, some find it in the middle of one, some allow blanks after it, and some expect one right
behind the head of a part. So no reader finds a part here that this one does not.
"""

from collections.abc import Iterator
from enum import Enum, auto
from typing import TypeAlias

from engine.gateway.errors import GatewayError

MAX_PARTS = 1000
MAX_HEAD = 8 * 1024
_CRLF = b"\r\n"
_BLANK_LINE = b"\r\n\r\n"


class _State(Enum):
    BEGIN = auto()
    DELIMITER = auto()
    HEAD = auto()
    CONTENT = auto()
    OVER = auto()


class PartHead(bytes):
    """The header lines of a part, without the blank line behind them."""

    __slots__ = ()


# The head of a part, a chunk of its content, and None once the delimiter after it has come.
Event: TypeAlias = PartHead | bytes | None


class FormParser:
    """`opened` has where each delimiter begins, its CRLF included; the first may have none: -2.

    `head_at` is where the head of the latest part begins.
    """

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"--" + boundary
        self._state = _State.BEGIN
        self._buffer = b""
        self._at = 0  # where the buffer begins
        self._lead = 0  # bytes of the buffer that belong to no content
        self.opened: list[int] = []
        self.head_at = 0

    @property
    def is_over(self) -> bool:
        """Whether the closing delimiter has come."""
        return self._state is _State.OVER

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events of `chunk`.

        Raises:
            GatewayError: `invalid_form`.
        """
        self._buffer += chunk
        steps = {
            _State.BEGIN: self._begin,
            _State.DELIMITER: self._delimiter,
            _State.HEAD: self._head,
            _State.CONTENT: self._content,
            _State.OVER: self._over,
        }
        state = None
        while state is not self._state:
            state = self._state
            yield from steps[state]()

    def _drop(self, size: int) -> None:
        self._buffer = self._buffer[size:]
        self._at += size

    def _begin(self) -> Iterator[Event]:
        if len(self._buffer) >= len(_CRLF):
            if not self._buffer.startswith(_CRLF):
                self._buffer, self._at = _CRLF + self._buffer, -len(_CRLF)
            self._state = _State.DELIMITER
        yield from ()

    def _delimiter(self) -> Iterator[Event]:
        expected = _CRLF + self._mark
        if not self._buffer.startswith(expected[: len(self._buffer)]):
            raise invalid("the form does not begin with its boundary")
        after = self._buffer[len(expected) : len(expected) + 2]
        if len(after) < 2:
            return
        if after not in (_CRLF, b"--"):
            raise _inside()
        if len(self.opened) > MAX_PARTS:
            raise invalid(f"the form has more than {MAX_PARTS} parts")
        self.opened.append(self._at)
        self._drop(len(expected) + 2)
        self.head_at = self._at
        self._state = _State.HEAD if after == _CRLF else _State.OVER
        if len(self.opened) > 1:
            yield None

    def _head(self) -> Iterator[Event]:
        end = self._buffer.find(_BLANK_LINE, 0, MAX_HEAD + len(_BLANK_LINE))
        if end < 0 and len(self._buffer) > MAX_HEAD:
            raise invalid(f"the header of a part is longer than {MAX_HEAD} bytes")
        if end >= 0:
            head = self._buffer[:end]
            if self._mark in head:
                raise _inside()
            yield PartHead(head)
            self._drop(end + len(_CRLF))
            self._lead = len(_CRLF)
            self._state = _State.CONTENT

    def _content(self) -> Iterator[Event]:
        """A line end that might begin a delimiter stays in the buffer, as that of the head does."""
        buffer, mark = self._buffer, self._mark
        at = buffer.find(mark)
        end = max(0, len(buffer) - len(mark) - 1) if at < 0 else at - len(_CRLF)
        if at >= 0 and (end < self._lead or buffer[end:at] != _CRLF):
            raise _inside()
        if end > self._lead:
            yield buffer[self._lead : end]
        self._lead = max(0, self._lead - end)
        self._drop(end)
        if at >= 0:
            self._state = _State.DELIMITER

    def _over(self) -> Iterator[Event]:
        if self._buffer.strip(_CRLF):
            raise invalid("there is data after the closing boundary of the form")
        self._drop(len(self._buffer))
        yield from ()


def invalid(message: str) -> GatewayError:
    """A form that is refused."""
    return GatewayError("invalid_form", message)


def _inside() -> GatewayError:
    return invalid(
        "the boundary of the form occurs inside one of its parts: choose one that none of them has"
    )
