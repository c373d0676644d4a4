"""Changes of a body as one list of edits, which is applied once; every other byte stays as it is."""

from collections.abc import Iterable
from typing import NamedTuple


class Edit(NamedTuple):
    """Bytes `start` to `end` become `text`."""

    start: int
    end: int
    text: bytes


def apply_edits(raw: bytes, edits: Iterable[Edit]) -> bytes:
    """`raw` with `edits`, which are in order and do not overlap."""
    parts: list[bytes] = []
    position = 0
    for edit in edits:
        parts += (raw[position : edit.start], edit.text)
        position = edit.end
    return b"".join((*parts, raw[position:]))
