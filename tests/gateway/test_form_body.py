"""Finding and changing fields of a form, however the form is cut into pieces."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.gateway.errors import GatewayError
from engine.gateway.form_body import BLOCK, SPOOL_MEMORY, FormBody
from engine.gateway.media import find_boundary
from tests.gateway.forms import BOUNDARY, cut, file, form, form_of, part, passed_on, run

BOUNDED = settings(deadline=None, max_examples=100)
NEAR = f"\r\n--{BOUNDARY}"
FRAGMENTS = ["\r", "\n", "\r\n", "-", "--", BOUNDARY, NEAR[:-1], NEAR[:5], f"--{BOUNDARY}", "x"]
NAMED = part("model", b"whisper-1")
SECRET = part("api_key", b"sk-caller")
TRAP = file(f"RIFF{NEAR[:-1]}\r\n--\r\n\r{NEAR[:-2]}".encode())

# Whole forms with the fields they hold, in the order of parts.
FORMS = {
    "fields only": (form(NAMED, part("language", b"en"), SECRET), {"model": 0, "api_key": 2}),
    "model first": (form(NAMED, TRAP), {"model": 0}),
    "model last": (form(TRAP, part("x", b""), SECRET, NAMED), {"api_key": 2, "model": 3}),
    "no model": (form(TRAP, part("x", b"model")), {}),
    "empty value": (form(part("model", b""), TRAP), {"model": 0}),
}


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """What a file may hold: anything but a delimiter, its beginnings most of all."""
    pieces = draw(st.lists(st.sampled_from(FRAGMENTS), max_size=8))
    text = "".join(pieces)
    return text.encode() if NEAR not in "\r\n" + text else b"RIFF"


@st.composite
def places(draw: st.DrawFn, most: int) -> list[int]:
    return draw(st.lists(st.integers(0, most), max_size=6))


def outcome(pieces: Sequence[bytes]) -> str | dict[str, tuple[str, int]]:
    """The fields found by the end of the form, or the code of its refusal."""
    body = form_of(pieces)
    try:
        run(passed_on(body, {}))
    except GatewayError as error:
        return error.code
    finally:
        body.close()
    return {name: (found.value, found.part) for name, found in body.fields.items()}


def rewritten(pieces: Sequence[bytes], changes: dict[str, str | None]) -> bytes:
    body = form_of(pieces)
    try:
        return run(passed_on(body, changes))
    finally:
        body.close()


@pytest.mark.parametrize("name", FORMS)
def test_every_single_cut_finds_the_same(name: str) -> None:
    raw, fields = FORMS[name]
    whole = outcome([raw])
    assert isinstance(whole, dict)
    assert {name: place for name, (_, place) in whole.items()} == fields
    for place in range(len(raw)):
        pieces = cut(raw, [place])
        assert outcome(pieces) == whole, place
        assert rewritten(pieces, {}) == raw, place


@pytest.mark.parametrize("name", FORMS)
def test_byte_by_byte(name: str) -> None:
    raw, _ = FORMS[name]
    pieces = [raw[at : at + 1] for at in range(len(raw))]
    assert outcome(pieces) == outcome([raw])
    assert rewritten(pieces, {}) == raw


@BOUNDED
@given(st.data(), st.sampled_from(sorted(FORMS)))
def test_random_cuts_find_the_same(data: st.DataObject, name: str) -> None:
    raw, _ = FORMS[name]
    assert outcome(cut(raw, data.draw(places(len(raw))))) == outcome([raw])


@BOUNDED
@given(st.data(), st.lists(contents(), max_size=3), st.text("ab/.-", min_size=1, max_size=9))
def test_edits_leave_every_other_part_alone(
    data: st.DataObject, files: list[bytes], model: str
) -> None:
    others = [file(content) for content in files]
    at = data.draw(st.integers(0, len(others)))
    key_at = data.draw(st.integers(0, at))  # a credential stands before `model` here
    before, between, after = others[:key_at], others[key_at:at], others[at:]
    raw = form(*before, SECRET, *between, NAMED, *after)
    pieces = cut(raw, data.draw(places(len(raw))))
    renamed = form(*before, *between, part("model", model.encode()), *after)
    assert rewritten(pieces, {"model": model, "api_key": None}) == renamed


@pytest.mark.parametrize("name", FORMS)
def test_no_beginning_is_taken_for_the_whole(name: str) -> None:
    raw, _ = FORMS[name]
    complete = len(raw) - len(b"\r\n")  # the line end behind the last delimiter is optional
    for length in range(complete):
        assert outcome([raw[:length]] if length else []) == "invalid_form", length
    assert outcome([raw[:complete]]) == outcome([raw])


@pytest.mark.parametrize("end", [[], [b""]], ids=["at once", "told later"])
@pytest.mark.parametrize("name", FORMS)
def test_a_broken_form_is_not_passed_on_to_its_end(name: str, end: list[bytes]) -> None:
    """Whether the last piece says so itself or an empty one behind it does."""
    raw, _ = FORMS[name]
    for length in range(1, len(raw) - 2):
        sent: list[bytes] = []
        pieces = [*cut(raw[:length], [length // 2]), *end]
        with pytest.raises(GatewayError):
            run(collected(pieces, sent))
        assert len(b"".join(sent)) <= length // 2, length


async def collected(pieces: Sequence[bytes], sent: list[bytes]) -> None:
    body = form_of(pieces)
    try:
        await body.read_head()
        async for piece in body.stream([], frozenset()):
            sent.append(piece)  # noqa: PERF401 what came before an error is wanted too
    finally:
        body.close()


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, SPOOL_MEMORY - 1, SPOOL_MEMORY + 7])
def test_a_spooled_head_keeps_its_bytes(size: int) -> None:
    content = (bytes(range(256)) + NEAR[:-1].encode()) * (size // 256)
    raw = form(file(content), SECRET, NAMED)
    pieces = [raw[at : at + 50_000] for at in range(0, len(raw), 50_000)]
    renamed = form(file(content), part("model", b"m"))
    assert rewritten(pieces, {"model": "m", "api_key": None}) == renamed


def test_a_file_that_begins_like_a_delimiter_is_left_alone() -> None:
    content = f"--{BOUNDARY}\r\nRIFF".encode()
    changes: dict[str, str | None] = {"model": "m"}
    raw = form(file(content), NAMED)
    assert outcome([raw]) == {"model": ("whisper-1", 1)}
    assert rewritten([raw], changes) == form(file(content), part("model", b"m"))


def test_a_removed_part_uncovers_nothing() -> None:
    hidden = f"--{BOUNDARY}\r\n".encode() + part("model", b"hidden")
    raw = form(part("x", hidden), SECRET, NAMED)
    left = form(part("x", hidden), NAMED)
    assert rewritten([raw], {"api_key": None}) == left


@pytest.mark.parametrize(
    "behind", [form(part("model", b"b")), b"x", b"\0", f"--{BOUNDARY}--\r\n".encode()]
)
def test_nothing_may_follow_the_last_delimiter(behind: bytes) -> None:
    raw = form(NAMED, TRAP)
    for place in (len(raw), len(raw) - 2, 1):
        assert outcome(cut(raw + behind, [place])) == "invalid_form", place


@pytest.mark.parametrize(
    "before", [b"x\r\n", b"preamble\r\n", b"\n", f"--{BOUNDARY}x\r\n".encode()]
)
def test_nothing_may_precede_the_first_delimiter(before: bytes) -> None:
    raw = before + form(NAMED, TRAP)
    for place in (len(raw), 1, len(before)):
        assert outcome(cut(raw, [place])) == "invalid_form", place


def test_a_line_end_before_the_form_is_fine_in_any_cut() -> None:
    raw = b"\r\n" + form(NAMED, TRAP, SECRET)
    changed = b"\r\n" + form(part("model", b"m"), TRAP)
    for place in range(30):
        pieces = cut(raw, [place, len(raw) // 2])
        assert outcome(pieces) == {"model": ("whisper-1", 0), "api_key": ("sk-caller", 2)}
    assert rewritten([raw], {"model": "m", "api_key": None}) == changed


@pytest.mark.parametrize("stray", [b"\n", b"\r", b"\n\n", b"\r\r"])
def test_a_lone_line_end_in_a_part_header_is_refused_in_any_cut(stray: bytes) -> None:
    """A parser may take it for a line end, another for a part of the name."""
    head = b"--frontier\r\n"
    line = b'Content-Disposition: form-data; name="model"\r\n\r\nx\r\n--frontier--\r\n'
    for raw in (head + stray + line, head + line.replace(b"; ", b"; " + stray)):
        for place in range(1, len(raw)):
            assert outcome(cut(raw, [place])) == "invalid_form"


def test_line_ends_behind_the_form_are_fine_in_any_cut() -> None:
    raw = form(NAMED, TRAP) + b"\r\n\r\n"
    for place in range(len(raw) - 20, len(raw)):
        assert outcome(cut(raw, [place])) == {"model": ("whisper-1", 0)}


def test_a_cut_delimiter_in_a_part_header_does_not_hide_a_line_end() -> None:
    header = f'Content-Disposition: form-data; name="x"{NEAR}--'.encode()
    rest = f"\r\nX: y\r\n\r\nz{NEAR}--\r\n".encode()
    raw = f"--{BOUNDARY}\r\n".encode() + header + rest
    place = raw.index(rest)
    assert outcome([raw]) == "invalid_form"
    assert outcome(cut(raw, [place, place + 2])) == "invalid_form"


@pytest.mark.parametrize(
    "words",
    [
        "form-data; name*=utf-8''model",
        'form-data; name="x"; name="model"',
        'form-data; name="x"; NAME=model',
        'form-data; name*0="mo"; name*1="del"',
        'form-data; name="x"\r\nContent-Disposition: form-data; name="y"',
        'form-data; name="model"\r\ncontent-disposition: form-data; name="y"',
        'form-data; name="model"; filename="x"',
        "form-data; name=\"model\"; filename*=utf-8''x",
        'form-data; name="model"; filename=""',
        'form-data; name="model"\r\nContent-Transfer-Encoding: base64',
        'form-data; name="model"\r\nContent-Transfer-Encoding: quoted-printable',
    ],
)
def test_a_name_that_others_may_read_differently(words: str) -> None:
    assert outcome([form(part("", b"gpt-b", disposition=words))]) == "invalid_form"


def test_what_may_stand_only_before_a_file() -> None:
    raw = form(NAMED, TRAP, part("x", b"y"), SECRET)
    body = form_of(cut(raw, [raw.index(b"RIFF"), raw.index(b'name="x"')]))
    with pytest.raises(GatewayError, match="before the first file"):
        run(drained(body))
    body.close()


async def drained(body: FormBody) -> None:
    await body.read_head()
    async for _ in body.stream([], frozenset({"api_key"})):
        pass


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('multipart/form-data; boundary="a b:c?"', "a b:c?"),
        ("multipart/form-data;charset=utf-8; boundary=----WebKit7+'_.", "----WebKit7+'_."),
        ("Multipart/Form-Data; BOUNDARY=abc; charset=UTF-8;", "abc"),
        ("multipart/form-data; boundary=abc; charset=x", None),
        ("multipart/form-data; boundary=abc; charset=utf-8; charset=utf-8", None),
        ("multipart/form-data; boundary=abc, multipart/form-data; boundary=abc", None),
        ("multipart/form-data; boundary=" + "b" * 70, "b" * 70),
        ("multipart/form-data; boundary=" + "b" * 71, None),
        ("multipart/form-data; boundary=a; boundary=a", None),
        ('multipart/form-data; boundary="a"; boundary ="b"', None),
        ('multipart/form-data; x="; boundary=a"', None),
        ('multipart/form-data; boundary="a"b', None),
        ('multipart/form-data; boundary="a ', None),
        ('multipart/form-data; boundary="a "', None),
        ("multipart/form-data; boundary=", None),
        ('multipart/form-data; boundary=""', None),
        ("multipart/form-data; boundary=a\u00e9", None),
        ("multipart/form-data; boundary=a,b", None),
        ("multipart/form-data; boundary*=utf-8''a", None),
        ("multipart/form-data", None),
    ],
)
def test_boundary(kind: str, boundary: str | None) -> None:
    if boundary is None:
        with pytest.raises(GatewayError):
            find_boundary(kind.encode("latin-1"))
    else:
        assert find_boundary(kind.encode("latin-1")) == boundary.encode()
