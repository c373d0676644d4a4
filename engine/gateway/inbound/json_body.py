"""Finds top-level fields of a JSON body, and changes them without touching another byte.

A field that is looked at must be there once at most, in one spelling: two parsers may disagree on
the second one.
"""

from collections.abc import Mapping
from functools import cached_property

from engine.gateway.errors import GatewayError
from engine.gateway.inbound import json_text
from engine.gateway.inbound.json_text import Span, written
from engine.gateway.inbound.spelling import are_folded, is_clear, refuse_ambiguous
from engine.plan.plan import BodyEdits

_BLANK = b" \t\r\n"


class JsonBody:
    """A JSON object as it came.

    What it holds is read without the insides of its very long strings, unless told otherwise.

    Raises:
        GatewayError: `invalid_json` when `raw` is not a UTF-8 JSON object. Control characters in
            the very long strings are for the provider to refuse.
    """

    def __init__(self, raw: bytes, *, whole: bool = False) -> None:
        read = raw if whole or len(raw) < 2 * json_text.LONG else json_text.skimmed(raw)
        self.raw = raw
        self._read = read
        self._members = json_text.members(raw, read)
        if read is not raw and "" in map(str, self._members):  # a key that was not read
            self._read = raw
            self._members = json_text.members(raw, raw)
        self._fields = fields = dict(zip(map(str, self._members), self._members.values()))  # noqa: B905 of one dict
        self._is_clear = len(fields) == len(self._members) and is_clear("".join(fields))

    def text(self, name: str) -> str | None:
        """The string in the top-level field `name`; None when there is no such field.

        Raises:
            GatewayError: `duplicate_field`, or `invalid_json` when it is not a string.
        """
        self._refuse_ambiguous(name)
        value = self._fields.get(name)
        if value is None:
            return None
        if self._read is not self.raw and bytes(value) == b'""':
            return self._whole.text(name)
        text = json_text.string(value)
        if text is None:
            code = "invalid_model" if name == "model" else "invalid_json"
            raise GatewayError(code, f"`{name}` must be a string", param=name)
        return text

    def flag(self, name: str) -> bool:
        """Whether the top-level field `name` is `true`.

        Raises:
            GatewayError: `duplicate_field`.
        """
        self._refuse_ambiguous(name)
        return bytes(self._fields.get(name, b"")) == b"true"

    def has(self, name: str) -> bool:
        """Whether there is a top-level field `name`.

        Raises:
            GatewayError: `duplicate_field` when it is there twice, or in another spelling.
        """
        self._refuse_ambiguous(name)
        return name in self._fields

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether there is a top-level field of `names`, of which none is ambiguous."""
        return not names.isdisjoint(self._fields)

    def refuse_ambiguous(self, names: frozenset[str]) -> None:
        """Refuse a body that holds one of `names` twice, or in another spelling.

        Raises:
            GatewayError: `duplicate_field`.
        """
        if not (self._is_clear and are_folded(names)):
            refuse_ambiguous(self._members, names)

    def replaced(self, name: str, text: str) -> "JsonBody":
        """The body with another string in field `name`, every other byte as it was."""
        return self.with_value(name, written(text))

    def with_value(self, name: str, value: bytes) -> "JsonBody":
        """The body with another value (JSON) in field `name`, every other byte as it was."""
        _, _, start, end = self._span(name)
        return JsonBody(self.raw[:start] + value + self.raw[end:])

    def renamed(self, name: str, new: str) -> "JsonBody":
        """The body with another name for field `name`, every other byte as it was."""
        start, end, _, _ = self._span(name)
        return JsonBody(self.raw[:start] + written(new) + self.raw[end:])

    def added(self, name: str, value: bytes) -> "JsonBody":
        """The body with one more field in front, every other byte as it was."""
        start = self.raw.index(b"{") + 1
        comma = b", " if self._fields else b""
        return JsonBody(self.raw[:start] + written(name) + b": " + value + comma + self.raw[start:])

    def without(self, name: str) -> "JsonBody":
        """The body without field `name` and one comma, every other byte as it was."""
        start, _, _, end = self._span(name)
        before, after = self.raw[:start], self.raw[end:]
        if after.lstrip(_BLANK).startswith(b","):
            after = after[after.index(b",") + 1 :]
        elif before.rstrip(_BLANK).endswith(b","):
            before = before[: before.rindex(b",")]
        return JsonBody(before + after)

    def _span(self, name: str) -> Span:
        self._refuse_ambiguous(name)
        return self._whole._spans[name]

    def _refuse_ambiguous(self, name: str) -> None:
        if not (self._is_clear and name.islower()):
            refuse_ambiguous(self._members, frozenset((name,)))

    @cached_property
    def _spans(self) -> dict[str, Span]:
        return dict(json_text.spans(self.raw, self._members))

    @cached_property
    def _whole(self) -> "JsonBody":
        """The same, with every position that of the body as it came."""
        return self if self._read is self.raw else JsonBody(self.raw, whole=True)


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
