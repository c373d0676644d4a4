"""Finding and changing top-level fields of a JSON body, against a plain reading of the same bytes."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.gateway import json_body
from engine.gateway.errors import GatewayError
from engine.gateway.json_body import SMALL, JsonBody, stripped

BOUNDED = settings(deadline=None, max_examples=150)
TRAPS = ["model", '"model":', '\\"model": 1', "{", "]}", "\\", "é", '{"model": "x"}', '"']
SPACES = st.sampled_from(["", "", " ", "\n\t", "\r\n  "])
NAMES = st.sampled_from(["model", "model", "Model", "MODEL", "mode", "models", "api_key", "a", ""])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(TRAPS), st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)


class Members(list[tuple[str, Any]]):
    """An object as the list of its members, so that none gets lost."""


@dataclass(frozen=True)
class Member:
    """A member as written: its key, what stands around the colon, and its value."""

    key: str
    colon: str
    value: str

    @property
    def text(self) -> str:
        return self.key + self.colon + self.value


@dataclass(frozen=True)
class Text:
    """An object as written: a gap before and after each member, commas between them."""

    members: tuple[Member, ...]
    gaps: tuple[tuple[str, str], ...]

    @property
    def raw(self) -> bytes:
        inner = ",".join(
            before + member.text + after
            for member, (before, after) in zip(self.members, self.gaps, strict=True)
        )
        return ("{" + inner + "}").encode()

    def span(self, index: int) -> tuple[int, int]:
        """Where member `index` stands in `raw`."""
        before = "".join(
            gap[0] + member.text + gap[1] + ","
            for member, gap in zip(self.members[:index], self.gaps, strict=False)
        )
        start = len(("{" + before + self.gaps[index][0]).encode())
        return start, start + len(self.members[index].text.encode())


@st.composite
def keys(draw: st.DrawFn, names: st.SearchStrategy[str]) -> str:
    """A key in one of its many spellings."""
    spellings = ["{0}", "\\u{1:04x}", "\\u{1:04X}"]
    letters = []
    for letter in draw(names):
        spelling = draw(st.sampled_from(["{0}", *spellings]))
        letters.append(spelling.format(letter, ord(letter)))
    return '"' + "".join(letters) + '"'


@st.composite
def members(draw: st.DrawFn, names: st.SearchStrategy[str] = NAMES) -> Member:
    value = json.dumps(draw(VALUES), ensure_ascii=draw(st.booleans()))
    return Member(draw(keys(names)), draw(SPACES) + ":" + draw(SPACES), value)


@st.composite
def texts(draw: st.DrawFn) -> Text:
    written = draw(st.lists(members(), max_size=5))
    return Text(tuple(written), tuple((draw(SPACES), draw(SPACES)) for _ in written))


@st.composite
def routable(draw: st.DrawFn) -> tuple[Text, int]:
    """An object with one `model` that is a string, and its place."""
    others = st.sampled_from(["models", "mode", "a", "", "messages", "api_key"])
    written = draw(st.lists(members(others), max_size=4))
    index = draw(st.integers(0, len(written)))
    value = json.dumps(draw(st.sampled_from(TRAPS)), ensure_ascii=draw(st.booleans()))
    written.insert(index, Member(draw(keys(st.just("model"))), draw(SPACES) + ":", value))
    return Text(tuple(written), tuple((draw(SPACES), draw(SPACES)) for _ in written)), index


def outcome(raw: bytes, name: str = "model") -> str | None:
    """What the engine makes of `raw`: the text, or the code of the refusal in brackets."""
    try:
        return JsonBody(raw).text(name)
    except GatewayError as error:
        return f"[{error.code}]"


def expected(raw: bytes) -> str | None:
    top: list[tuple[str, Any]] = json.loads(raw, object_pairs_hook=Members)
    named = [(key, value) for key, value in top if key.lower() == "model"]
    if not named:
        return None
    if len(named) > 1 or named[0][0] != "model":
        return "[duplicate_field]"
    value = named[0][1]
    return value if isinstance(value, str) else "[invalid_model]"


@BOUNDED
@given(texts())
def test_detection_agrees_with_a_plain_reading(text: Text) -> None:
    assert outcome(text.raw) == expected(text.raw)


@BOUNDED
@given(routable(), st.text(st.characters(codec="utf-8"), max_size=8))
def test_replaced_changes_only_the_value(case: tuple[Text, int], new: str) -> None:
    text, index = case
    _, end = text.span(index)
    start = end - len(text.members[index].value.encode())
    changed = JsonBody(text.raw).replaced("model", new)
    written = changed.raw[start : len(changed.raw) - (len(text.raw) - end)]
    assert json.loads(written) == new
    assert changed.raw == text.raw[:start] + written + text.raw[end:]
    assert changed.text("model") == new


@BOUNDED
@given(routable())
def test_without_removes_one_member_and_one_comma(case: tuple[Text, int]) -> None:
    text, index = case
    raw = text.raw
    start, end = text.span(index)
    if index + 1 < len(text.members):
        end = raw.index(b",", end) + 1
    elif index > 0:
        start = raw.rindex(b",", 0, start)
    left = JsonBody(raw).without("model").raw
    assert left == raw[:start] + raw[end:]
    whole = json.loads(raw, object_pairs_hook=Members)
    kept = json.loads(left, object_pairs_hook=Members)
    assert kept == [member for member in whole if member[0] != "model"]


@BOUNDED
@given(routable(), st.integers(0, 200))
def test_a_prefix_is_never_an_object(case: tuple[Text, int], cut: int) -> None:
    raw = case[0].raw
    assert outcome(raw[: cut % len(raw)]) == "[invalid_json]"


def test_several_changes_at_once() -> None:
    raw = b'{ "api_key":"k",\n "n": 1.50, "model" : "a/b", "x": {"api_key": 1} }'
    changed = stripped(JsonBody(raw), {"api_key": None, "model": "b"})
    assert changed == b'{ \n "n": 1.50, "model" : "b", "x": {"api_key": 1} }'


@pytest.mark.parametrize("number", ["1.0", "1e2", "100000000000000000000000", "-0", "1.50"])
def test_numbers_keep_their_spelling(number: str) -> None:
    raw = f'{{"seed": {number}, "model": "a"}}'.encode()
    assert JsonBody(raw).replaced("model", "b").raw == raw.replace(b'"a"', b'"b"')


def test_every_spelling_of_a_letter_is_seen() -> None:
    for place, letter in enumerate("model"):
        for form in ("04x", "04X"):
            escaped = "model"[:place] + "\\u" + format(ord(letter), form) + "model"[place + 1 :]
            assert outcome(f'{{"{escaped}": "a"}}'.encode()) == "a"
            twice = f'{{"model": "a", "{escaped}": "b"}}'
            assert outcome(twice.encode()) == "[duplicate_field]"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'{"x": "model", "model": "a"}', "a"),
        (b'{"x": "\\"model\\": 1", "model": "a"}', "a"),
        (b'{"x\\"model": 1, "model": "a"}', "a"),
        (b'{"x\\\\": 1, "model": "a"}', "a"),
        (b'{"model": "a", "x": [{"model": "b"}]}', "a"),
        (b'{"x": {"y": "}"}, "model": "a", "z": {"model": "b"}}', "a"),
        (b'{"x": "{", "model": "a", "y": "\\u0022model"}', "a"),
        (b'{"x": {"mod\\u0065l": "b"}}', None),
        (b'{"model": "model"}', "model"),
        (b"{}", None),
    ],
)
def test_what_only_looks_like_the_field(raw: bytes, text: str | None) -> None:
    assert outcome(raw) == text


def test_a_credential_that_is_no_string_is_invalid_json() -> None:
    assert outcome(b'{"api_key": 1}', "api_key") == "[invalid_json]"


def test_a_kelvin_sign_is_a_variant_of_k() -> None:
    raw = '{"api_key": "a", "api_\u212aey": "b"}'.encode()
    assert outcome(raw, "api_key") == "[duplicate_field]"


@BOUNDED
@given(texts(), st.booleans())
def test_a_walk_finds_what_a_close_look_finds(text: Text, is_large: bool) -> None:
    """The walk is what large bodies get; it may give up, and is never wrong."""
    raw = text.raw
    if is_large:
        raw = (
            raw.rstrip()[:-1] + (b"," if text.members else b"") + b'"pad":"' + b"x" * SMALL + b'"}'
        )
    body = JsonBody(raw)
    walked = vars(JsonBody)["_walk"](body)
    for name, span in (walked or {}).items():
        assert vars(JsonBody)["_top_level_keys"](body, name) == [span]
    keys = [json.loads(member.key) for member in text.members]
    if walked is None:
        assert len(set(keys)) < len(keys) or any("\\" in member.key for member in text.members)


@contextlib.contextmanager
def long_from(size: int) -> Iterator[None]:
    """Strings count as very long from this size on. No name that is routed by is as long."""
    usual, json_body.LONG = json_body.LONG, size
    try:
        yield
    finally:
        json_body.LONG = usual


@BOUNDED
@given(routable(), st.data())
def test_very_long_strings_change_nothing_but_the_time(
    case: tuple[Text, int], data: st.DataObject
) -> None:
    """The same answer and the same edits, whether the insides of long strings are read or not."""
    raw = case[0].raw
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(raw)))
        piece = data.draw(
            st.sampled_from(
                [b'"', b"\\", b"a" * 30, b" " * 30, b"1", b",", b'"":"%b",' % (b"b" * 30)]
            )
        )
        raw = raw[:place] + piece + raw[place + data.draw(st.integers(0, 2)) :]
    told = outcome(raw)
    with long_from(data.draw(st.integers(8, 16))):
        skimmed = outcome(raw)
        assert skimmed == told or is_readable_but_for_controls(raw)
        if told is not None and not told.startswith("["):
            body, whole = JsonBody(raw), JsonBody(raw, whole=True)
            assert body.replaced("model", "x").raw == whole.replaced("model", "x").raw
            assert body.renamed("model", "x").raw == whole.renamed("model", "x").raw
            assert body.without("model").raw == whole.without("model").raw
            assert body.added("x", b"1").raw == whole.added("x", b"1").raw


def is_readable_but_for_controls(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except ValueError:
        json.loads(raw, strict=False)
        return True
    return False


@pytest.mark.parametrize("around", ['{"model":"m","a":"%s"}', '{"a":["%s"],"model":"m"}'])
def test_the_inside_of_a_very_long_string_is_not_read(around: str) -> None:
    raw = (around % ("A" * 3 * json_body.LONG)).encode()
    body = JsonBody(raw)
    assert body.text("model") == "m"
    assert len(vars(body)["_read"]) < 100
    assert body.raw == raw
    assert body.replaced("model", "n").raw == raw.replace(b'"m"', b'"n"')


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ('{"a":"%s","model":"m","model":"n"}', "[duplicate_field]"),
        ('{"a":"%s","model":"m","Model":"n"}', "[duplicate_field]"),
        ('{"a":"%s","model":"m"', "[invalid_json]"),
        ('{"a":"%s" "model":"m"}', "[invalid_json]"),
        ('{"a":"" %s "","model":"m"}', "[invalid_json]"),
        ('{"model":"%s"}', "A" * 3 * json_body.LONG),
        ('{"model":"m\\"%s"}', 'm"' + "A" * 3 * json_body.LONG),
        ('{"a":"%s\\","model":"m"}', "[invalid_json]"),
        ('{"a":"\\"%s","model":"m"}', "m"),
    ],
)
def test_a_very_long_string_hides_nothing(raw: str, told: str) -> None:
    assert outcome((raw % ("A" * 3 * json_body.LONG)).encode()) == told
