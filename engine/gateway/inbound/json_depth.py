"""Whether JSON is nested too deeply, without a step of Python for each of its bytes.

Other parsers stop at anything from 64 levels (.NET) to 10,000 (Go), and msgspec at what the version
of Python allows. This bound is the same everywhere.
"""

from array import array
from collections.abc import Iterable
from itertools import accumulate

import msgspec

MAX_DEPTH = 512
_MAX_COMMAS = 200_000  # of a list that is taken apart, which bounds what its parts may cost
# Brackets, and a letter for a quote: the letters of all escapes are such that Python's own decoder
# takes each escape for one other character.
_MARKS = bytes(
    dict(zip(b'"[{]}\\/bfnrtu', b"a[[]]\\nnnnnnn", strict=True)).get(byte, b" "[0])
    for byte in range(256)
)
_OTHERS = bytes(set(range(256)) - set(b"a[]"))
_STEPS = bytes.maketrans(b"[]", b"\x01\xff")  # as signed bytes: one in, one out
_PARTS = msgspec.json.Decoder(list[msgspec.Raw])


def is_too_deep(raw: bytes, values: Iterable[msgspec.Raw]) -> bool:
    """Whether more than `MAX_DEPTH` arrays and objects of an object hold each other.

    `values` are those of all its members.
    """
    if not _may_be_deeper(raw, MAX_DEPTH):
        return False
    return any(_is_deeper(bytes(value), MAX_DEPTH - 1) for value in values)


def _may_be_deeper(raw: bytes, levels: int) -> bool:
    """Whether there are enough brackets for it, those in strings included."""
    if len(raw) <= 2 * levels:
        return False
    half = levels // 2
    return b"{" in raw.replace(b"{", b" ", half) or b"[" in raw.replace(b"[", b" ", half)


def _is_deeper(raw: bytes, levels: int) -> bool:
    """Most lists hold many parts, as of a conversation, none of which has many brackets itself."""
    if not _may_be_deeper(raw, levels):
        return False
    most = min(len(raw) // 16, _MAX_COMMAS)
    if raw.startswith(b"[") and b"," not in raw.replace(b",", b" ", most):
        parts = map(bytes, _PARTS.decode(raw))
        return any(_may_be_deeper(part, levels - 1) and _rises(part, levels - 1) for part in parts)
    return _rises(raw, levels)


def _rises(raw: bytes, levels: int) -> bool:
    """Whether more than `levels` brackets are open somewhere; the innermost ones go first."""
    marks = raw.translate(_MARKS)
    if b"\\" in marks:
        marks = marks.decode("unicode_escape").encode("latin-1")
    outside = marks.translate(None, _OTHERS).replace(b"aa", b"").split(b"a")[::2]
    rest = b"".join(outside).replace(b"[]", b"")
    return levels in accumulate(array("b", rest.translate(_STEPS)))
