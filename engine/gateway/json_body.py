"""Finds top-level fields of a JSON body, and changes them without touching another byte.

The body is checked and its top level taken apart at C speed; nothing below it is built. A routed
field must be there once at most, in one spelling: two parsers may disagree on the second one.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from engine.gateway.errors import GatewayError
from engine.plan import BodyEdits

_TEXT = msgspec.json.Decoder(str)
_TOP_LEVEL = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NEXT_KEY = re.compile(rb'[ \t\r\n]*,?[ \t\r\n]*"([^"\\]*)"[ \t\r\n]*:[ \t\r\n]*')
_END = re.compile(rb"[ \t\r\n]*\}[ \t\r\n]*")
SMALL = 16 * 1024  # bytes; up to here counting is faster than walking
LONG = 64 * 1024  # bytes of a string; more need not be read, and twice as many are not
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_COMMA_AFTER = re.compile(rb"[ \t\r\n]*,")
_BRACKETS = (b"{", 1), (b"[", 1), (b"}", -1), (b"]", -1)


class JsonBody:
    """A JSON object as it came.

    What it holds is read without the insides of its very long strings, unless told otherwise.

    Raises:
        GatewayError: `invalid_json` when `raw` is not a UTF-8 JSON object. Control characters in
            the very long strings are for the provider to refuse.
    """

    def __init__(self, raw: bytes, *, whole: bool = False) -> None:
        read = raw if whole or len(raw) < 2 * LONG else _skimmed(raw)
        try:
            if not raw.isascii():
                raw.decode("utf-8")
            try:
                self._fields = _TOP_LEVEL.decode(read)
            except msgspec.DecodeError:
                read = raw  # to say where the mistake is
                self._fields = _TOP_LEVEL.decode(read)
        except msgspec.ValidationError:
            raise GatewayError("invalid_json", "the body must be a JSON object") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            words = _reason(error)
            raise GatewayError("invalid_json", f"the body is not valid JSON: {words}") from None
        self.raw = raw
        self._read = read

    def text(self, name: str) -> str | None:
        """The string in the top-level field `name`; None when there is no such field.

        Raises:
            GatewayError: `duplicate_field`, or `invalid_json` when it is not a string.
        """
        self._refuse_variants(name)
        value = self._fields.get(name)
        if value is None:
            return None
        if self._read is not self.raw and bytes(value) == b'""':
            return self._whole().text(name)
        self._key_span(name)
        try:
            return _TEXT.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            code = "invalid_model" if name == "model" else "invalid_json"
            raise GatewayError(code, f"`{name}` must be a string", param=name) from None

    def flag(self, name: str) -> bool:
        """Whether the top-level field `name` is `true`."""
        return bytes(self._fields.get(name, b"")) == b"true"

    def has(self, name: str) -> bool:
        """Whether there is a top-level field `name`.

        Raises:
            GatewayError: `duplicate_field` when it is there in another spelling.
        """
        self._refuse_variants(name)
        return name in self._fields

    def replaced(self, name: str, text: str) -> "JsonBody":
        """The body with another string in field `name`, every other byte as it was."""
        return self.with_value(name, json.dumps(text).encode())

    def with_value(self, name: str, value: bytes) -> "JsonBody":
        """The body with another value (JSON) in field `name`, every other byte as it was."""
        start, end = self._whole()._value_span(name)
        return JsonBody(self.raw[:start] + value + self.raw[end:])

    def renamed(self, name: str, new: str) -> "JsonBody":
        """The body with another name for field `name`, every other byte as it was."""
        start, end = self._whole()._key_span(name)
        return JsonBody(self.raw[:start] + json.dumps(new).encode() + self.raw[end:])

    def added(self, name: str, value: bytes) -> "JsonBody":
        """The body with one more field in front, every other byte as it was."""
        start = self.raw.index(b"{") + 1
        comma = b", " if self._fields else b""
        field = json.dumps(name).encode() + b": " + value + comma
        return JsonBody(self.raw[:start] + field + self.raw[start:])

    def without(self, name: str) -> "JsonBody":
        """The body without field `name` and one comma, every other byte as it was."""
        whole = self._whole()
        start = whole._key_span(name)[0]
        end = whole._value_span(name)[1]
        after = _COMMA_AFTER.match(self.raw, end)
        if after:
            end = after.end()
        else:
            before = self.raw[:start].rstrip(b" \t\r\n")
            start = len(before) - 1 if before.endswith(b",") else start
        return JsonBody(self.raw[:start] + self.raw[end:])

    def _whole(self) -> "JsonBody":
        """The same, with every position that of the body as it came."""
        return self if self._read is self.raw else JsonBody(self.raw, whole=True)

    def _refuse_variants(self, name: str) -> None:
        for key in self._fields:
            if key != name and len(key) == len(name) and key.lower() == name:
                words = f"`{key}` may be read as `{name}` by others; write it once, as `{name}`"
                raise GatewayError("duplicate_field", words, param=name)

    def _key_span(self, name: str) -> tuple[int, int]:
        """Where the one top-level key `name` stands.

        One literal occurrence in a small body without escaped letters is the key itself. In a
        large one a walk along the top level looks at the keys alone. Anything else, such as a key
        that is there twice, is looked at closely.
        """
        literal = b'"' + name.encode() + b'"'
        if len(self._read) > SMALL:
            walked = self._walk()
            if walked is not None:
                return walked[name]
        elif self._read.count(literal) == 1 and not _may_hide_letters(self._read):
            start = self._read.index(literal)
            return start, start + len(literal)
        spans = self._top_level_keys(name)
        if len(spans) != 1:
            words = f"`{name}` is written more than once at the top level of the body"
            raise GatewayError("duplicate_field", words, param=name)
        return spans[0]

    def _walk(self) -> dict[str, tuple[int, int]] | None:
        """Where each top-level key stands, by the lengths of the values between them.

        None when the keys are not simply one after the other: written twice, or with escapes.
        """
        spans = {}
        position = self._read.index(b"{") + 1
        for key, value in self._fields.items():
            match = _NEXT_KEY.match(self._read, position)
            if match is None or match[1] != key.encode():
                return None
            spans[key] = (match.start(1) - 1, match.end(1) + 1)
            position = match.end() + len(memoryview(value))
        return spans if _END.fullmatch(self._read, position) else None

    def _top_level_keys(self, name: str) -> list[tuple[int, int]]:
        """Every top-level key that reads as `name`: depth is counted between the candidates."""
        spans = []
        depth = position = 0
        for match in _key_pattern(name).finditer(self._read):
            between = _STRING.sub(b"", self._read[position : match.start()])
            depth += sum(between.count(mark) * step for mark, step in _BRACKETS)
            position = match.end()
            if depth == 1:
                spans.append(match.span())
        return spans

    def _value_span(self, name: str) -> tuple[int, int]:
        colon = _COLON.match(self._read, self._key_span(name)[1])
        start = colon.end() if colon else 0
        return start, start + len(memoryview(self._fields[name]))


def _skimmed(raw: bytes) -> bytes:
    r"""`raw` without the insides of very long strings, such as images in base64.

    What goes stands between two quotes that no backslash precedes, and has neither in it. Was it
    the inside of a string, then that string is empty now. Was it not, then two strings stand side
    by side in what is left, which is no JSON. So what is left is JSON only if `raw` is, but for
    control characters.
    """
    kept = []
    taken = position = 0
    while (end := raw.find(b'"', position + LONG)) > 0:
        start = raw.rfind(b'"', position, position + LONG) + 1
        is_long = start > 1 and end - start > LONG
        if is_long and raw.find(b"\\", start - 2, end) < 0:
            kept.append(raw[taken:start])
            taken = end
        position = end
    return b"".join((*kept, raw[taken:])) if kept else raw


def _may_hide_letters(raw: bytes) -> bool:
    r"""Whether an escape such as `\u006d` may spell an ASCII character of a key."""
    return b"\\u00" in raw and any(b"\\u00" + digit in raw for digit in b"2 3 4 5 6 7".split())


@lru_cache(maxsize=64)
def _key_pattern(name: str) -> re.Pattern[bytes]:
    """Matches a key that decodes to `name`.

    In valid JSON a quote that no backslash precedes, followed by the name, a quote and a colon, is
    always a key: a closing quote is never followed by a letter.
    """
    letters = (rb"(?:%b|\\u(?i:%04x))" % (re.escape(c.encode()), ord(c)) for c in name)
    return re.compile(rb'(?<!\\)"' + b"".join(letters) + rb'"(?=[ \t\r\n]*:)')


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error).removeprefix("JSON is malformed: ").lower()


def stripped(body: JsonBody, changes: Mapping[str, str | None]) -> bytes:
    """The bytes of `body` with each field replaced, or removed where the new text is None."""
    for name, text in changes.items():
        body = body.without(name) if text is None else body.replaced(name, text)
    return body.raw


def edited(body: JsonBody, edits: BodyEdits) -> bytes:
    """The bytes of `body` as the provider wants it: dropped, renamed, defaulted and set, in this order.

    Raises:
        GatewayError: `duplicate_field` when a field is there under its old and its new name.
    """
    for name in edits.drop:
        body = body.without(name) if body.has(name) else body
    for name, new in edits.rename.items():
        if body.has(name):
            if body.has(new):
                raise both_names(name, new)
            body = body.renamed(name, new)
    for name, value in edits.default.items():
        body = body if body.has(name) else body.added(name, value.json)
    for name, value in edits.set.items():
        known = body.has(name)
        body = body.with_value(name, value.json) if known else body.added(name, value.json)
    return body.raw


def both_names(name: str, new: str) -> GatewayError:
    """What is told of a field that the body holds under its old and its new name."""
    words = f"`{name}` is sent to the provider as `{new}`, and the body has both"
    return GatewayError("duplicate_field", words, param=name)
