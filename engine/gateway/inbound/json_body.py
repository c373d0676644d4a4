"""The top-level fields of a JSON body, decoded once.

A field that is read must be there once at most, in one spelling: two parsers may disagree on the
second one.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from engine.gateway.errors import GatewayError
from engine.gateway.inbound import json_text
from engine.gateway.inbound.json_text import Members, Span, string, unique_members
from engine.gateway.inbound.spelling import are_folded, refuse_ambiguous

_NO_CUTS: Sequence[tuple[int, int]] = ()


class JsonBody:
    """A JSON object as it came.

    It is decoded without the content of very long strings, such as images. `_cuts` has where they
    were in `_text`, so that every position in that can be mapped to the body.

    Raises:
        GatewayError: `invalid_json` when `raw` is not a UTF-8 JSON object. Control characters in
            the very long strings are for the provider to refuse.
    """

    __slots__ = ("_cuts", "_fields", "_is_clear", "_members", "_text", "raw")
    _fields: Members
    _members: Members

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        unique = unique_members(raw)
        if unique is not None:  # mostly
            fields, names = unique
            self._fields = self._members = fields
            self._text, self._cuts = raw, _NO_CUTS
        else:
            text = json_text.ShortenedText(raw)
            if len(raw) >= json_text.LARGE:
                text = json_text.without_long_strings(raw)
            members, text = json_text.members(raw, text)
            if text.cuts and "" in map(str, members):  # a key that was not read
                members, text = json_text.members(raw, json_text.ShortenedText(raw))
            fields = dict(zip(map(str, members), members.values()))  # noqa: B905 of one dict
            self._fields, self._members = fields, members
            self._text, self._cuts = text.text, text.cuts
            names = "".join(fields) if len(fields) == len(members) else ""
        # Whether all names are certain to fold to themselves; a fast check.
        self._is_clear = names.isascii() and names.isidentifier() and names.islower()

    def text(self, name: str) -> str | None:
        """The string in the top-level field `name`; None when there is no such field.

        Raises:
            GatewayError: `duplicate_field`, or `invalid_json` when it is not a string.
        """
        if not (self._is_clear and name.islower()):
            refuse_ambiguous(self._members, frozenset((name,)))
        value = self._fields.get(name)
        if value is None:
            return None
        is_cut = self._cuts and bytes(value) == b'""'
        text = self._long_text(name) if is_cut else string(value)
        if text is None:
            code = "invalid_model" if name == "model" else "invalid_json"
            raise GatewayError(code, f"`{name}` must be a string", param=name)
        return text

    def raw_value(self, name: str) -> bytes | None:
        """The JSON of the top-level field `name`; None when there is no such field.

        Raises:
            GatewayError: `duplicate_field`.
        """
        self._refuse_ambiguous(name)
        value = self._fields.get(name)
        if value is None or not self._cuts:
            return None if value is None else bytes(value)
        _, _, start, end = dict(self.spans())[name]
        return self.raw[start:end]

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

    def spans(self) -> Iterator[tuple[str, Span]]:
        """Each field, in order, with where its name and its value begin and end in the body."""
        cuts = self._cuts
        # How many bytes are cut before the first of the cuts, the second, and so on.
        cut_before = [0, *accumulate(size for _, size in cuts)]
        for name, span in json_text.spans(self._text, self._members):
            if cuts:
                a, b, c, d = (at + cut_before[bisect_left(cuts, (at,))] for at in span)
                span = a, b, c, d  # noqa: PLW2901 the same places, in the body
            yield name, span

    def _long_text(self, name: str) -> str | None:
        """A string that was decoded without its inside, or is empty."""
        _, _, start, end = dict(self.spans())[name]
        text = string(self.raw[start:end])
        if text is None:
            json_text.members(self.raw, json_text.ShortenedText(self.raw))  # says where it is wrong
        return text

    def _refuse_ambiguous(self, name: str) -> None:
        if not (self._is_clear and name.islower()):
            refuse_ambiguous(self._members, frozenset((name,)))
