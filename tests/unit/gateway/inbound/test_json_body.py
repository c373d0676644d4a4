"""Finding and changing top-level fields of a JSON body, against a plain reading of the same bytes."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import rules
from engine.config.compile.body import compile_edits
from engine.gateway.errors import GatewayError
from engine.gateway.inbound import json_text
from engine.gateway.inbound.edits import apply_edits
from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.inbound.json_edits import json_edits
from engine.gateway.inbound.json_text import MAX_FIELDS, SMALL
from engine.gateway.inbound.payload import JsonRequestBody, Upload
from engine.plan.plan import BodyEdits, FieldValue
from tests.tables import each

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


def edited(raw: bytes, changes: Mapping[str, str | None] | None = None, **edits: Any) -> bytes:
    """`raw` with `changes`, and with `drop`, `rename`, `default` and `set` as in a configuration."""
    values = {
        kind: {
            name: FieldValue(json.dumps(v).encode(), "") for name, v in edits.get(kind, {}).items()
        }
        for kind in ("default", "set")
    }
    rename = edits.get("rename", {})
    wanted = BodyEdits(edits.get("drop", ()), rename, values["default"], values["set"], frozenset())
    return apply_edits(raw, json_edits(JsonBody(raw), changes or {}, (wanted,)))


def places(*made: dict[str, Any]) -> list[BodyEdits]:
    """What compiles of `drop`, `default` and `set`, a list of changes made in turn."""
    return [
        compile_edits(
            rules.BodyEdits(
                tuple(each.get("drop", ())),
                each.get("rename", {}),
                each.get("default", {}),
                each.get("set", {}),
            )
        )
        for each in made
    ]


@each(
    ("raw", "changes", "sent"),
    [
        ('{"a": {"b": 1,"c":[2]}}', [{"set": {"/a/b": 5}}], '{"a": {"b": 5,"c":[2]}}'),
        ('{"a": {"c":[2]}}', [{"set": {"/a/b": 5}}], '{"a": {"b": 5, "c":[2]}}'),
        ('{"x":1}', [{"set": {"/a/b/c": "d"}}], '{"a": {"b": {"c": "d"}}, "x":1}'),
        ('{"a":null}', [{"default": {"/a/b": 1}}], '{"a":{"b": 1}}'),
        ('{"a":null}', [{"drop": ["/a/b"]}], '{"a":null}'),
        ('{"a":"text"}', [{"default": {"/a/b": 1}}], '{"a":"text"}'),
        ('{"a":"text"}', [{"set": {"/a/b": 1}}], '{"a":{"b": 1}}'),
        ('{"a":{"b":0}}', [{"default": {"/a/b": 1, "/a/c": 2}}], '{"a":{"c": 2, "b":0}}'),
        ('{"a":{"b":0,"c":1}}', [{"drop": ["/a/b"]}], '{"a":{"c":1}}'),
        ('{"a\\u0061":{"b":0}}', [{"set": {"/aa/b": 1}}], '{"a\\u0061":{"b":1}}'),
        ('{"a":{"\\u0062":0}}', [{"set": {"/a/b": 1}}], '{"a":{"\\u0062":1}}'),
        ("{}", [{"set": {"a": 1}}, {"rename": {"a": "b"}}], '{"b": 1}'),
        ('{"a":{"b/c":0}}', [{"set": {"/a/b~1c": 1}}], '{"a":{"b/c":1}}'),
        ("{}", [{"set": {"/a/x.y z/~01": 1}}], '{"a": {"x.y z": {"~1": 1}}}'),
        ('{"a":{"b~":0,"b":1}}', [{"drop": ["/a/b~0"]}], '{"a":{"b":1}}'),
        ("{}", [{"set": {"a": 1}}, {"drop": ["a"]}], "{}"),
        ('{"a":1}', [{"rename": {"a": "b"}}, {"drop": ["b"]}], "{}"),
        ('{"a":1}', [{"rename": {"a": "b"}}, {"rename": {"b": "c"}}], '{"c":1}'),
        ('{"a":1}', [{"set": {"a": 2}}, {"set": {"a": 3}}], '{"a":3}'),
        ("{}", [{"default": {"a": {"b": 1}}}, {"set": {"/a/c": 2}}], '{"a": {"c": 2, "b": 1}}'),
        ('{"a":1}', [{"drop": ["a"]}, {"default": {"a": 2}}], '{"a": 2}'),
    ],
)
def test_changes_below_the_top_level_and_in_turn(
    raw: str, changes: list[dict[str, Any]], sent: str
) -> None:
    body = raw.encode()
    assert apply_edits(body, json_edits(JsonBody(body), {}, places(*changes))).decode() == sent


@each(
    ("raw", "changes", "sent", "dropped"),
    [
        ('{"a":1,"x":2,"model":"m"}', [], '{"a":1,"model":"m"}', ("x",)),
        ('{"x":1,"a":1,"x":2}', [], '{"a":1}', ("x",)),
        ('{"x":1,"\\u0078":2}', [], "{}", ("x",)),
        ('{"A":1,"a":2}', [], '{"a":2}', ("A",)),
        ('{"x":1,"y":2}', [{"rename": {"x": "a"}}], '{"a":1}', ("y",)),
        ('{"a":1}', [{"set": {"z": 1}}], '{"a":1}', ("z",)),
        ('{"a":1}', [{"rename": {"a": "b"}}], "{}", ("b",)),
    ],
)
def test_fields_that_are_not_taken_are_dropped_however_often_they_are_there(
    raw: str, changes: list[dict[str, Any]], sent: str, dropped: tuple[str, ...]
) -> None:
    body = JsonRequestBody(raw.encode(), frozenset({"model"}))
    upload = body.upload({}, frozenset(), places(*changes), {"a", "model"})
    assert upload == Upload(sent.encode(), len(sent), dropped)


@each("raw", [b'{"a":{"b":1,"b":2}}', b'{"a":{"B":1,"b":2}}', b'{"a":{"B":1}}'])
def test_a_field_below_the_top_level_that_others_may_read_twice_is_refused(raw: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        json_edits(JsonBody(raw), {}, places({"set": {"/a/b": 1}}))
    assert refused.value.code == "duplicate_field"


def dropped(body: JsonBody, name: str) -> bytes:
    return edited(body.raw, drop=(name,))


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


@given(texts())
def test_detection_agrees_with_a_plain_reading(text: Text) -> None:
    assert outcome(text.raw) == expected(text.raw)


@given(routable(), st.text(st.characters(codec="utf-8"), max_size=8))
def test_replaced_changes_only_the_value(case: tuple[Text, int], new: str) -> None:
    text, index = case
    _, end = text.span(index)
    start = end - len(text.members[index].value.encode())
    changed = edited(text.raw, {"model": new})
    written = changed[start : len(changed) - (len(text.raw) - end)]
    assert json.loads(written) == new
    assert changed == text.raw[:start] + written + text.raw[end:]
    assert JsonBody(changed).text("model") == new


@given(routable())
def test_without_removes_one_member_and_one_comma(case: tuple[Text, int]) -> None:
    text, index = case
    raw = text.raw
    start, end = text.span(index)
    if index + 1 < len(text.members):
        end = raw.index(b",", end) + 1
    elif index > 0:
        start = raw.rindex(b",", 0, start)
    left = edited(raw, {"model": None})
    assert left == raw[:start] + raw[end:]
    whole = json.loads(raw, object_pairs_hook=Members)
    kept = json.loads(left, object_pairs_hook=Members)
    assert kept == [member for member in whole if member[0] != "model"]


@given(routable(), st.integers(0, 200))
def test_a_prefix_is_never_an_object(case: tuple[Text, int], cut: int) -> None:
    raw = case[0].raw
    assert outcome(raw[: cut % len(raw)]) == "[invalid_json]"


def test_several_changes_at_once() -> None:
    raw = b'{ "api_key":"k",\n "n": 1.50, "model" : "a/b", "x": {"api_key": 1} }'
    changed = edited(raw, {"api_key": None, "model": "b"})
    assert changed == b'{ \n "n": 1.50, "model" : "b", "x": {"api_key": 1} }'


@each("number", ["1.0", "1e2", "100000000000000000000000", "-0", "1.50"])
def test_numbers_keep_their_spelling(number: str) -> None:
    raw = f'{{"seed": {number}, "model": "a"}}'.encode()
    assert edited(raw, {"model": "b"}) == raw.replace(b'"a"', b'"b"')


def test_every_spelling_of_a_letter_is_seen() -> None:
    for place, letter in enumerate("model"):
        for form in ("04x", "04X"):
            escaped = "model"[:place] + "\\u" + format(ord(letter), form) + "model"[place + 1 :]
            assert outcome(f'{{"{escaped}": "a"}}'.encode()) == "a"
            twice = f'{{"model": "a", "{escaped}": "b"}}'
            assert outcome(twice.encode()) == "[duplicate_field]"


@each(
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


Found = list[tuple[str, int, int, int, int]]


def read_slowly(raw: bytes) -> Found:
    """Every top-level member of valid JSON with where it stands, letter by letter."""
    found: Found = []
    at = after_blank(raw, raw.index(b"{") + 1)
    while raw[at] != ord("}"):
        key_end = after_string(raw, at)
        start = after_blank(raw, after_blank(raw, key_end) + 1)
        end = after_value(raw, start)
        found.append((json.loads(raw[at:key_end]), at, key_end, start, end))
        at = after_blank(raw, end)
        at = after_blank(raw, at + 1) if raw[at] == ord(",") else at
    return found


def after_blank(raw: bytes, at: int) -> int:
    while raw[at] in b" \t\r\n":
        at += 1
    return at


def after_string(raw: bytes, at: int) -> int:
    at += 1
    while raw[at] != ord('"'):
        at += 2 if raw[at] == ord("\\") else 1
    return at + 1


def after_value(raw: bytes, at: int) -> int:
    """Recursive, as the grammar is."""
    if raw[at] == ord('"'):
        return after_string(raw, at)
    if raw[at] not in b"{[":
        while raw[at] not in b",}] \t\r\n":
            at += 1
        return at
    at = after_blank(raw, at + 1)
    while raw[at] not in b"}]":
        at = after_value(raw, at)
        at = after_blank(raw, at)
        at = after_blank(raw, at + 1) if raw[at] in b",:" else at
    return at + 1


@st.composite
def decoys(draw: st.DrawFn) -> bytes:
    """A large body whose members are as long as others, and hold what looks like them.

    Keys are few, so that many are there twice; a nested object or a string repeats the text of
    the top level, now and then to the byte.
    """
    top = [draw(members()).text for _ in range(draw(st.integers(1, 6)))]
    inner = ",".join(top)
    kind = draw(st.sampled_from(["{%s}", '{"y":{%s}}', "[{%s}]"]))
    nested = [f'"x":{kind % inner}', '"k":' + json.dumps(inner), f'"k":"{"K" * len(inner)}"']
    order = draw(st.permutations([*top, *nested, f'"p":"{"z" * draw(st.integers(0, 40))}"']))
    pad = f'"pad":["{"q" * SMALL}"]' if draw(st.booleans()) else '"pad":[]'
    return ("{" + ",".join([*order, pad, *draw(st.sampled_from([[], top[:1]]))]) + "}").encode()


@given(st.one_of(decoys(), texts().map(lambda text: text.raw)))
def test_every_member_is_found_where_a_slow_reading_finds_it(raw: bytes) -> None:
    found, _ = json_text.members(raw, json_text.ShortenedText(raw))
    assert [(key, *span) for key, span in json_text.spans(raw, found)] == read_slowly(raw)
    unique = json_text.unique_members(raw)
    if unique is not None:
        assert [(key, *span) for key, span in json_text.spans(raw, unique[0])] == read_slowly(raw)
    assert outcome(raw) == expected(raw)


@each("name", ["", "a", "ab", "model"])
@each("spaces", range(4))
def test_no_member_hides_in_what_may_be_spaces(name: str, spaces: int) -> None:
    """A second member is as short as can be, and the object has few spaces or none."""
    others = f'"{"k" * len(name)}":1' if name else '"":1'
    longer = f'"{"k" * (len(name) + 9)}":1'
    space = " " * spaces
    assert json_text.unique_members(f'{{"{name}":1{space}}}'.encode()) is not None
    twice = [f'{{{other},"{name}":{space}3,"{name}":4}}' for other in (others, longer)]
    for raw in (f'{{"{name}":1,"{name}":2{space}}}', *twice):
        assert json_text.unique_members(raw.encode()) is None


@each(
    ("value", "byte"),
    [(b'"\xff"', 18), (b'["\xc0\x80"]', 19), (b'"\xed\xa0\x80"', 18), (b'"\xf0\x9f"', 18)],
)
def test_a_short_body_that_is_not_utf_8_is_refused(value: bytes, byte: int) -> None:
    """Other parsers read what is below its top level, at which the decoder does not look."""
    with pytest.raises(GatewayError, match=rf"not UTF-8 \(byte {byte}\)"):
        JsonBody(b'{"model":"m","x":' + value + b"}")


FILLED = (
    '{{"a":1,"k":1,"model":"A","model":"B","x":{{"y":"{0}","model": "bbb","x": "zzz"}},"k":"{1}"}}'
)


@each("shift", range(-3, 4))
def test_lengths_that_match_hide_no_second_field(shift: int) -> None:
    """The second key of a pair is as long as to lead a walk by lengths into the nested object."""
    raw = FILLED.format("q" * SMALL, "K" * (SMALL + 20 + shift)).encode()
    assert outcome(raw) == "[duplicate_field]"
    with pytest.raises(GatewayError):
        edited(raw, {"model": "c"})


def test_a_field_is_set_at_the_top_and_nowhere_else() -> None:
    decoy = '{"y":"' + "q" * SMALL + '","seed": 1}'
    raw = f'{{"x":{decoy},"seed": 2,"model":"m"}}'.encode()
    assert edited(raw, set={"seed": 3}) == raw.replace(b'"seed": 2', b'"seed": 3')


@each("size", [0, 2 * SMALL, 3 * json_text.LONG])
@each(
    "keys",
    [
        ("stream", "stream"),
        ("stream", "Stream"),
        ("api_key", "\\u0061pi_key"),
        ("model", "model\\u0000x"),
        ("model", " model"),
        ("model", "\uff4dodel"),
        ("maxTokens", "maxtokens"),
        ("maxTokens", "maxTokens"),
        ("seed", "\u017feed"),
        ("topic", "top\u0131c"),
        ("topic", "top\u0130c"),
        ("a/b", "a\\/b"),
        ("é", "e\u0301"),
    ],
)
def test_a_field_is_there_once_in_one_spelling(keys: tuple[str, str], size: int) -> None:
    name = keys[0]
    pad = f'"pad":"{"p" * size}",'
    for pair in (keys, keys[::-1]):
        raw = ("{" + pad + ",".join(f'"{key}":"x"' for key in pair) + "}").encode()
        for tick in (JsonBody.text, JsonBody.has, JsonBody.flag, dropped):
            with pytest.raises(GatewayError) as refused:
                tick(JsonBody(raw), name)
            assert refused.value.code == "duplicate_field"
        with pytest.raises(GatewayError):
            JsonBody(raw).refuse_ambiguous(frozenset({"other", name}))
        JsonBody(raw).refuse_ambiguous(frozenset({"other"}))


@each("key", ["maxtokens", "MAXTOKENS", "maxToken\\u017f"])
def test_a_field_whose_name_has_capitals_has_one_spelling_too(key: str) -> None:
    raw = f'{{"model":"m","{key}":1}}'.encode()
    for look in (
        lambda: JsonBody(raw).has("maxTokens"),
        lambda: JsonRequestBody(raw, frozenset({"model", "maxTokens"})),
    ):
        with pytest.raises(GatewayError, match="may be read as `maxTokens`"):
            look()
    assert JsonBody(raw.replace(key.encode(), b"maxTokens")).has("maxTokens")


def test_a_field_that_nobody_looks_at_may_be_there_twice() -> None:
    raw = b'{"user":"a","user":"b","model":"m"}'
    assert outcome(raw) == "m"
    assert edited(raw, {"model": "n"}) == b'{"user":"a","user":"b","model":"n"}'


@each(("raw", "sent"), [(b"", b""), (b"{}", b'{"n": 1}')])
def test_a_request_without_a_body_gets_none(raw: bytes, sent: bytes) -> None:
    fixed = BodyEdits((), {}, {}, {"n": FieldValue(b"1", "1")}, frozenset())
    body = JsonRequestBody(raw, frozenset())
    assert body.upload({}, frozenset(), (fixed,)) == Upload(sent, len(sent))
    assert body.upload({"model": "m"}, frozenset(), ()).body == (raw and b'{"model": "m"}')


@pytest.mark.parametrize("key", ["k%d", "k", ""])
def test_too_many_fields_are_refused_before_they_are_kept(key: str) -> None:
    def body(count: int) -> bytes:
        keys = (key % n for n in range(count)) if "%" in key else (key,) * count
        return ('{"' + '":1,"'.join(keys) + '":1}').encode()

    JsonBody(body(MAX_FIELDS))
    for count in (MAX_FIELDS + 1, 419_430):
        with pytest.raises(GatewayError, match=f"more than {MAX_FIELDS} fields"):
            JsonBody(body(count))


def test_the_count_ends_at_the_limit_however_many_fields_follow() -> None:
    """What is behind the last field that counts is not even read."""
    raw = b"{" + b'"k":1,' * (MAX_FIELDS + 1) + b" " * SMALL + b"and no JSON"
    with pytest.raises(GatewayError, match=f"more than {MAX_FIELDS} fields"):
        JsonBody(raw)


@each(
    ("raw", "words"),
    [
        (r'{"x":"\ud83d"}', "a string has an unpaired surrogate (byte 6)"),
        (r'{"x":"\uD83D rest of the text"}', "a string has an unpaired surrogate (byte 6)"),
        (r'{"x":"\ud83d\u0041"}', "a string has an unpaired surrogate (byte 6)"),
        (r'{"x":"\ud83d\ud83d\ude00"}', "a string has an unpaired surrogate (byte 6)"),
        (r'{"x":"\ud83d\ude00\uDE00"}', "a string has an unpaired surrogate (byte 18)"),
        (r'{"x":["a\\ud83d","\udc00"]}', "a string has an unpaired surrogate (byte 18)"),
        (r'{"x":"aaaaaa\udc00"}', "a string has an unpaired surrogate (byte 12)"),
        (r'{"\ud83d":1}', "a string has an unpaired surrogate (byte 2)"),
        (r'{"x":["\ud83d"', "it ends too early (byte 14)"),
        ('{"x":1,}', "there is an extra comma (byte 7)"),
        ('{"x":1}}', "there is text after the object (byte 8)"),
        ("{x:1}", "a key is not a string (byte 1)"),
        (r'{"x":"\x"}', "a string has an invalid escape (byte 7)"),
        ('{"x":"\n"}', "there is a syntax error (byte 6)"),
        ('{"x":\xff}', "it is not UTF-8 (byte 5)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_byte(raw: str, words: str) -> None:
    with pytest.raises(GatewayError) as refused:
        JsonBody(raw.encode("latin-1"))
    assert refused.value.message == f"the body is not valid JSON: {words}"


@contextlib.contextmanager
def long_from(size: int) -> Iterator[None]:
    """Strings count as very long from this size on. No name that is routed by is as long."""
    usual, json_text.LONG = json_text.LONG, size
    try:
        yield
    finally:
        json_text.LONG = usual


@given(routable(), st.data())
def test_very_long_strings_change_nothing_but_the_time(
    case: tuple[Text, int], data: st.DataObject
) -> None:
    """The same answer and the same edits, whether the insides of long strings are read or not."""
    raw = case[0].raw
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(raw)))
        chunk = data.draw(
            st.sampled_from(
                [b'"', b"\\", b"a" * 30, b" " * 30, b"1", b",", b'"":"%b",' % (b"b" * 30)]
            )
        )
        raw = raw[:place] + chunk + raw[place + data.draw(st.integers(0, 2)) :]
    told = outcome(raw)
    is_object = told is not None and not told.startswith("[")
    whole = [*JsonBody(raw).spans()] if is_object else []
    with long_from(data.draw(st.integers(8, 16))):
        skimmed = outcome(raw)
        assert skimmed == told or is_readable_but_for_controls(raw)
        if is_object:
            assert [*JsonBody(raw).spans()] == whole


def is_readable_but_for_controls(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except ValueError:
        json.loads(raw, strict=False)
        return True
    return False


@each("around", ['{"model":"m","a":"%s"}', '{"a":["%s"],"model":"m"}'])
def test_the_inside_of_a_very_long_string_is_not_read(around: str) -> None:
    raw = (around % ("A" * 3 * json_text.LONG)).encode()
    body = JsonBody(raw)
    assert body.text("model") == "m"
    assert len(body._text) < 100
    assert body.raw == raw
    assert edited(raw, {"model": "n"}) == raw.replace(b'"m"', b'"n"')


@each(
    ("raw", "told"),
    [
        ('{"a":"%s","model":"m","model":"n"}', "[duplicate_field]"),
        ('{"a":"%s","model":"m","Model":"n"}', "[duplicate_field]"),
        ('{"a":"%s","model":"m"', "[invalid_json]"),
        ('{"a":"%s" "model":"m"}', "[invalid_json]"),
        ('{"a":"" %s "","model":"m"}', "[invalid_json]"),
        ('{"model":"%s"}', "A" * 3 * json_text.LONG),
        ('{"model":"m\\"%s"}', 'm"' + "A" * 3 * json_text.LONG),
        ('{"a":"%s\\","model":"m"}', "[invalid_json]"),
        ('{"a":"\\"%s","model":"m"}', "m"),
    ],
)
def test_a_very_long_string_hides_nothing(raw: str, told: str) -> None:
    assert outcome((raw % ("A" * 3 * json_text.LONG)).encode()) == told


def test_a_very_long_key_is_read_all_the_same() -> None:
    raw = b'{"model\x00' + b"A" * 3 * json_text.LONG + b'":1,"model":"m"}'
    assert outcome(raw) == "[invalid_json]"
    raw = b'{"' + b"A" * 3 * json_text.LONG + b'":1,"":2,"model":"m"}'
    assert outcome(raw) == "m"
    assert edited(raw, {"": None}) == raw.replace(b'"":2,', b"")


FIELDS = st.sampled_from(["a", "b", "c", "d", "e"])
OBJECTS = st.dictionaries(FIELDS, st.sampled_from([1, "x", [1, {"a": 2}], {"b": {"a": 1}}, None]))


@given(
    OBJECTS,
    st.sampled_from([None, 1, 2]),
    st.dictionaries(FIELDS, st.none() | st.just("new")),
    st.lists(FIELDS, unique=True),
    st.dictionaries(FIELDS, st.sampled_from(["b", "c", "z"])),
    st.dictionaries(FIELDS, st.just(5)),
    st.dictionaries(FIELDS, st.just(6)),
)
def test_edits_are_what_the_changes_do_one_after_the_other(
    body: dict[str, Any],
    indent: int | None,
    changes: dict[str, str | None],
    drop: list[str],
    rename: dict[str, str],
    default: dict[str, int],
    set_to: dict[str, int],
) -> None:
    changes = {name: text for name, text in changes.items() if name in body}
    wanted: dict[str, Any] | None = dict(body)
    assert wanted is not None
    for name, text in changes.items():
        wanted = {k: text if k == name else v for k, v in wanted.items()}
        if text is None:
            del wanted[name]
    wanted = {name: value for name, value in wanted.items() if name not in drop}
    for name, new in rename.items():
        if wanted is not None and name in wanted:
            both = new in wanted
            wanted = None if both else {new if k == name else k: v for k, v in wanted.items()}
    raw = json.dumps(body, indent=indent).encode()
    edits = {"drop": drop, "rename": rename, "default": default, "set": set_to}
    if wanted is None:
        with pytest.raises(GatewayError):
            edited(raw, changes, **edits)
        return
    for name, value in default.items():
        if name not in wanted:
            wanted = {name: value, **wanted}
    for name, value in set_to.items():
        wanted = {**wanted, name: value} if name in wanted else {name: value, **wanted}
    changed = json.loads(edited(raw, changes, **edits), object_pairs_hook=list)
    assert [name for name, _ in changed] == list(wanted), "in this order, each once"
    assert json.loads(edited(raw, changes, **edits)) == wanted


def test_a_long_string_is_read_where_it_stands() -> None:
    """The text between its quotes is not decoded with the rest; what is around it keeps its place."""
    long = "A" * (json_text.LONG + 5)
    raw = json.dumps({"image": long, "model": "m", "other": long, "api_key": long + "k"}).encode()
    body = JsonBody(raw)
    assert body.text("api_key") == long + "k"
    assert body.text("model") == "m"
    changed = edited(raw, {"model": "n", "api_key": None}, set={"seed": 1})
    assert json.loads(changed) == {"seed": 1, "image": long, "model": "n", "other": long}


def test_a_control_character_in_a_long_string_is_refused_where_the_string_is_read() -> None:
    long = b"A" * json_text.LONG + b"\n" + b"A" * json_text.LONG
    body = JsonBody(b'{"model":"m","api_key":"%b"}' % long)
    assert body.text("model") == "m"
    with pytest.raises(GatewayError) as refused:
        body.text("api_key")
    assert refused.value.code == "invalid_json"
