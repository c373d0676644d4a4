r"""Divides the top level of a JSON object at C speed, and says what is wrong with one that is invalid.

Every member of the object is kept, those with the same key included: a key is equal to itself
alone, so that none takes the place of another in the dict that msgspec makes. The members come in
the order of the text, each value as its exact bytes. So the text between two values is the key of
the second one, and where each of them stands follows from the lengths alone (`spans`).

What an object may cost: `MAX_FIELDS` members, `MAX_DEPTH` levels, and the time of one pass over the
text, in which nothing below the top level is built; of a few more where it has many brackets.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.json_depth import MAX_DEPTH, is_too_deep

MAX_FIELDS = 1024
MAX_LIST = 1024 * 1024  # bytes of a list of which each item is read
SMALL = 16 * 1024  # bytes; what is no longer cannot have many more fields than `MAX_FIELDS`
LONG = 64 * 1024  # bytes of a string; more need not be read, and twice as many are not
LARGE = 2 * LONG  # bytes of a body that has such strings, perhaps
_NEVER_DEEP = 2 * MAX_DEPTH  # bytes
_GAP = re.compile(
    rb'[ \t\r\n]*+,?+[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL
)
_END = re.compile(rb"[ \t\r\n]*+\}[ \t\r\n]*+")
_PLACE = re.compile(r"\(byte (\d+)\)")
# From messages of msgspec to ours; the first that fits.
_TROUBLES = (
    ("truncated", "it ends too early"),
    ("trailing characters", "there is text after the object"),
    ("trailing comma", "there is an extra comma"),
    ("keys must be strings", "a key is not a string"),
    ("escape", "a string has an invalid escape"),
    ("", "there is a syntax error"),
)


class ObjectKey(str):
    """A key of an object, equal to itself alone."""

    __slots__ = ()
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__  # a slot of C, which a method would not be


Members = Mapping[str, msgspec.Raw]
Span = tuple[int, int, int, int]

_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_NUMBER = msgspec.json.Decoder(float)
_TEXT = msgspec.json.Decoder(str)
_MEMBERS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    dict[ObjectKey, msgspec.Raw], dec_hook=str.__new__
)
_UNIQUE = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ShortenedText(msgspec.Struct, frozen=True):
    """A JSON text without some insides of strings: `cuts` have the place in `text`, and the size."""

    text: bytes
    cuts: Sequence[tuple[int, int]] = ()


def unique_members(raw: bytes) -> tuple[Members, str] | None:
    """Every member of a short object, and its keys joined, if no key can be there twice; else None.

    Most bodies pass here, which saves an object for each key and a second dict. A member whose place
    another one took has the same key, two quotes, a colon, a comma and a value of a byte at least.
    Where fewer bytes are left over beside the members that were found, or no colon is, there was none.
    """
    if len(raw) > SMALL:
        return None
    try:
        if not raw.isascii():
            raw.decode("utf-8")
        found = _UNIQUE.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # for `members` to say why
    keys = "".join(found)
    if raw.count(b":") > len(found):
        # Two braces stand around the members, of which the last has no comma: one byte is always left.
        left = len(raw) - len(keys) - len(b"".join(found.values())) - 4 * len(found)
        if left > 5 and left > 5 + len(min(found, key=len, default="")):
            return None
    if len(raw) > _NEVER_DEEP and (len(found) > MAX_FIELDS or is_too_deep(raw, found.values())):
        return None
    return found, keys


def members(raw: bytes, shortened: ShortenedText) -> tuple[Members, ShortenedText]:
    """Every member of the object `raw`, and the text that they were decoded from.

    That is `shortened`, if it is any JSON, else `raw` itself.

    Raises:
        GatewayError: `invalid_json`.
    """
    try:
        if not raw.isascii():
            raw.decode("utf-8")
        try:
            text = shortened.text
            found = _MEMBERS.decode(text) if len(text) <= SMALL else _counted(text)
        except msgspec.DecodeError:
            if not shortened.cuts:
                raise
            return members(raw, ShortenedText(raw))  # to say where the mistake is
    except msgspec.ValidationError:
        raise GatewayError("invalid_json", "the body must be a JSON object") from None
    except UnicodeDecodeError as error:
        raise _invalid(f"it is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError as error:
        raise _invalid(_trouble(raw, str(error))) from None
    if len(found) > MAX_FIELDS:
        raise _too_many()
    if len(text) > _NEVER_DEEP and is_too_deep(text, found.values()):
        raise _too_deep()
    return found, shortened


def _counted(raw: bytes) -> Members:
    """The members, given up when there are too many: the dict is what would cost."""
    left = iter(range(MAX_FIELDS))

    def key(kind: type[Any], text: str) -> Any:
        if next(left, None) is None:
            raise _too_many()
        return str.__new__(kind, text)

    counted: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
        dict[ObjectKey, msgspec.Raw], dec_hook=key
    )
    found: Members = counted.decode(raw)
    return found


def items(value: bytes) -> Sequence[msgspec.Raw] | None:
    """The items of a list; None for any other value, and for a list that is too long to read each."""
    if len(value) > MAX_LIST:
        return None
    try:
        found = _ITEMS.decode(value)
    except msgspec.DecodeError:
        return None
    return found if len(found) <= MAX_FIELDS else None


def string(value: msgspec.Raw | bytes) -> str | None:
    """The string that `value` is; None when it is something else."""
    try:
        return _TEXT.decode(value)
    except msgspec.DecodeError:
        return None


def number(value: msgspec.Raw | bytes) -> float | None:
    """The number that `value` is; None when it is something else, or beyond what a float can be."""
    try:
        return _NUMBER.decode(value)
    except msgspec.DecodeError:
        return None


def spans(raw: bytes, found: Members) -> Iterator[tuple[str, Span]]:
    """Each key with where it and its value begin and end."""
    position = raw.index(b"{") + 1
    for key, value in found.items():
        gap = _GAP.match(raw, position)
        if gap is None:
            raise AssertionError("a member stands elsewhere than its length says")
        position = gap.end() + len(memoryview(value))
        yield str(key), (*gap.span(1), gap.end(), position)
    if not _END.fullmatch(raw, position):
        raise AssertionError("the last member ends elsewhere than its length says")


def without_long_strings(raw: bytes) -> ShortenedText:
    r"""`raw` without the insides of very long strings, such as images in base64.

    What is cut out stands between two quotes that no backslash precedes, and has neither in it. If
    it was the inside of a string, that string is empty now. If it was not, two strings stand side
    by side in what is left, which is no JSON. So what is left is JSON only if `raw` is, but for
    control characters.
    """
    kept = []
    cuts = []
    taken = position = left = 0
    while (end := raw.find(b'"', position + LONG)) > 0:
        start = raw.rfind(b'"', position, position + LONG) + 1
        is_long = start > 1 and end - start > LONG
        if is_long and raw.find(b"\\", start - 2, end) < 0:
            kept.append(raw[taken:start])
            left += start - taken
            cuts.append((left, end - start))
            taken = end
        position = end
    return ShortenedText(b"".join((*kept, raw[taken:])), cuts) if kept else ShortenedText(raw)


def _half_pair(raw: bytes, stopped: int | None) -> int:
    """Where half of a surrogate pair stands alone, of which msgspec has seen the end.

    It `stopped` behind the half, or behind what should have been the other one, or could not read
    on since less than another one is left.
    """
    if stopped is None:
        return max(raw.rfind(b"\\ud"), raw.rfind(b"\\uD"))
    before = stopped - 2 * len(b"\\ud83d")
    is_first = before > 0 and raw[before : before + 3].lower() == b"\\ud"
    is_high = is_first and raw[before + 3 : before + 4].lower() in b"89ab"
    return before if is_high else stopped - len(b"\\ud83d")


def _trouble(raw: bytes, reason: str) -> str:
    r"""What is wrong with `raw`, of which msgspec has `reason`.

    Halves of surrogate pairs are valid to RFC 8259, 8.2, and to no decoder that makes UTF-8 of
    them. Without them, `\ud83d` being `\uf83d`, the rest is checked.
    """
    whole = raw.replace(b"\\ud", b"\\uf").replace(b"\\uD", b"\\uF")
    if len(whole) == len(raw) and whole != raw:
        try:
            msgspec.json.decode(whole, type=msgspec.Raw)
        except msgspec.DecodeError as error:
            reason = str(error)
        else:
            half = _half_pair(raw, _place(reason))
            return f"a string has an unpaired surrogate (byte {half})"
    words = next(ours for theirs, ours in _TROUBLES if theirs in reason)
    place = _place(reason)
    return f"{words} (byte {len(raw) if place is None else place})"


def _place(reason: str) -> int | None:
    found = _PLACE.search(reason)
    return int(found[1]) if found else None


def _invalid(words: str) -> GatewayError:
    return GatewayError("invalid_json", f"the body is not valid JSON: {words}")


def _too_deep() -> GatewayError:
    words = f"the body is nested more deeply than {MAX_DEPTH} levels"
    return GatewayError("invalid_json", words)


def _too_many() -> GatewayError:
    words = f"the body has more than {MAX_FIELDS} fields at its top level"
    return GatewayError("invalid_json", words)


def json_string(text: str) -> bytes:
    """A string as JSON."""
    return json.dumps(text).encode("ascii")
