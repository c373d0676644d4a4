"""Finding and changing fields of a form, however the form is cut into pieces."""

from collections.abc import Sequence
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.form_body import BLOCK, SPOOL_MEMORY, FormBody
from engine.gateway.inbound.media import find_boundary
from tests.tables import each
from tests.unit.gateway.inbound.forms import (
    BOUNDARY,
    cut,
    file,
    form,
    form_of,
    part,
    passed_on,
    run,
)

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
    """What a file may hold: anything but a boundary, its beginnings most of all."""
    chunks = draw(st.lists(st.sampled_from(FRAGMENTS), max_size=8))
    text = "".join(chunks)
    return text.encode() if f"--{BOUNDARY}" not in text else b"RIFF"


@st.composite
def places(draw: st.DrawFn, most: int) -> list[int]:
    return draw(st.lists(st.integers(0, most), max_size=6))


def outcome(chunks: Sequence[bytes]) -> str | dict[str, tuple[str, int]]:
    """The fields found by the end of the form, or the code of its refusal."""
    body = form_of(chunks)
    try:
        run(passed_on(body, {}))
    except GatewayError as error:
        return error.code
    finally:
        body.close()
    return {name: (found.value, found.part) for name, found in body.fields.items()}


def rewritten(chunks: Sequence[bytes], changes: dict[str, str | None]) -> bytes:
    body = form_of(chunks)
    try:
        return run(passed_on(body, changes))
    finally:
        body.close()


@each("name", FORMS)
def test_every_single_cut_finds_the_same(name: str) -> None:
    raw, fields = FORMS[name]
    whole = outcome([raw])
    assert isinstance(whole, dict)
    assert {name: place for name, (_, place) in whole.items()} == fields
    for place in range(len(raw)):
        chunks = cut(raw, [place])
        assert outcome(chunks) == whole, place
        assert rewritten(chunks, {}) == raw, place


@each("name", FORMS)
def test_byte_by_byte(name: str) -> None:
    raw, _ = FORMS[name]
    chunks = [raw[at : at + 1] for at in range(len(raw))]
    assert outcome(chunks) == outcome([raw])
    assert rewritten(chunks, {}) == raw


@given(st.data(), st.sampled_from(sorted(FORMS)))
def test_random_cuts_find_the_same(data: st.DataObject, name: str) -> None:
    raw, _ = FORMS[name]
    assert outcome(cut(raw, data.draw(places(len(raw))))) == outcome([raw])


@given(st.data(), st.lists(contents(), max_size=3), st.text("ab/.-", min_size=1, max_size=9))
def test_edits_leave_every_other_part_alone(
    data: st.DataObject, files: list[bytes], model: str
) -> None:
    others = [file(content) for content in files]
    at = data.draw(st.integers(0, len(others)))
    key_at = data.draw(st.integers(0, at))  # a credential stands before `model` here
    before, between, after = others[:key_at], others[key_at:at], others[at:]
    raw = form(*before, SECRET, *between, NAMED, *after)
    chunks = cut(raw, data.draw(places(len(raw))))
    renamed = form(*before, *between, part("model", model.encode()), *after)
    assert rewritten(chunks, {"model": model, "api_key": None}) == renamed


@each("name", FORMS)
def test_no_beginning_is_taken_for_the_whole(name: str) -> None:
    raw, _ = FORMS[name]
    complete = len(raw) - len(b"\r\n")  # the line end behind the last delimiter is optional
    for length in range(complete):
        assert outcome([raw[:length]] if length else []) == "invalid_form", length
    assert outcome([raw[:complete]]) == outcome([raw])


@each("end", [[], [b""]])
@each("name", FORMS)
def test_a_broken_form_is_not_passed_on_to_its_end(name: str, end: list[bytes]) -> None:
    """Whether the last piece says so itself or an empty one behind it does."""
    raw, _ = FORMS[name]
    for length in range(1, len(raw) - 2):
        sent: list[bytes] = []
        chunks = [*cut(raw[:length], [length // 2]), *end]
        with pytest.raises(GatewayError):
            run(collected(chunks, sent))
        assert len(b"".join(sent)) <= length // 2, length


async def collected(chunks: Sequence[bytes], sent: list[bytes]) -> None:
    body = form_of(chunks)
    try:
        await body.read_head()
        async for chunk in body.stream([], frozenset()):
            sent.append(chunk)  # noqa: PERF401 what came before an error is wanted too
    finally:
        body.close()


@each("size", [BLOCK - 1, BLOCK, SPOOL_MEMORY - 1, SPOOL_MEMORY + 7])
def test_a_spooled_head_keeps_its_bytes(size: int) -> None:
    content = (bytes(range(256)) + NEAR[:-1].encode()) * (size // 256)
    raw = form(file(content), SECRET, NAMED)
    chunks = [raw[at : at + 50_000] for at in range(0, len(raw), 50_000)]
    renamed = form(file(content), part("model", b"m"))
    assert rewritten(chunks, {"model": "m", "api_key": None}) == renamed


HIDDEN = part("model", b"hidden")


@each(
    "line",
    [
        f"--{BOUNDARY}\r\n",  # Go and Werkzeug see a part that is empty
        f"x\n--{BOUNDARY}\n",
        f"x\n--{BOUNDARY}\r\n",
        f"x\r--{BOUNDARY}\r",
        f"x\r--{BOUNDARY}\r\n",
        f"x\r\n--{BOUNDARY} \r\n",  # blanks that are padding to some
        f"x\r\n--{BOUNDARY}\t\r\n",
        f"x\r\n--{BOUNDARY}\n",
        f"x\r\n--{BOUNDARY}\r",
        f"x\r\n--{BOUNDARY}-\r\n",
        f"x\r\n--{BOUNDARY}y\r\n",
        f"x--{BOUNDARY}\r\n",  # Django sees a part
    ],
)
def test_a_boundary_inside_a_part_is_refused_in_any_cut(line: str) -> None:
    raw = form(NAMED, file(line.encode() + HIDDEN), SECRET)
    for place in range(len(raw)):
        assert outcome(cut(raw, [place])) == "invalid_form", place
    assert outcome([raw[at : at + 1] for at in range(len(raw))]) == "invalid_form"


def test_a_boundary_in_the_header_of_a_part_is_refused() -> None:
    raw = form(NAMED, part("file", b"x", f'filename="--{BOUNDARY}"'), SECRET)
    assert outcome([raw]) == "invalid_form"


@each("behind", [form(part("model", b"b")), b"x", b"\0", f"--{BOUNDARY}--\r\n".encode()])
def test_nothing_may_follow_the_last_delimiter(behind: bytes) -> None:
    raw = form(NAMED, TRAP)
    for place in (len(raw), len(raw) - 2, 1):
        assert outcome(cut(raw + behind, [place])) == "invalid_form", place


@each("before", [b"x\r\n", b"preamble\r\n", b"\n", f"--{BOUNDARY}x\r\n".encode()])
def test_nothing_may_precede_the_first_delimiter(before: bytes) -> None:
    raw = before + form(NAMED, TRAP)
    for place in (len(raw), 1, len(before)):
        assert outcome(cut(raw, [place])) == "invalid_form", place


def test_a_line_end_before_the_form_is_fine_in_any_cut() -> None:
    raw = b"\r\n" + form(NAMED, TRAP, SECRET)
    changed = b"\r\n" + form(part("model", b"m"), TRAP)
    for place in range(30):
        chunks = cut(raw, [place, len(raw) // 2])
        assert outcome(chunks) == {"model": ("whisper-1", 0), "api_key": ("sk-caller", 2)}
    assert rewritten([raw], {"model": "m", "api_key": None}) == changed


@each("stray", [b"\n", b"\r", b"\n\n", b"\r\r"])
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


@each(
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
        r'form-data; name="m\odel"',
        r'form-data; name="\m\o\d\e\l"',
        r'form-data; name="model"; x="a\b"',
        r'form-data; name="x"; filename="a\"; name=model; y=\"b"',
        r'form-data; name="x"; filename="a\"; name=\"model"',
        'form-data; name="=?utf-8?q?model?="',
        'form-data; name="model',
        'form-data; name=mo"del"',
        'form-data; name="model"x',
        'form-data; name="mod\x00el"',
        'form-data; name="x\ty"; name = "model"',
        'form-data; Name="model"',
        'form-data; names="x"; name="model"',
        'form-data name="model"',
        'form-data, name="model"',
        'attachment; name="model"',
        'form-data; name="model"\r\nContent-Type: text/plain; charset=utf-16',
        'form-data; name="model"\r\nContent-Type: text/plain; charset=utf-8; charset=utf-7',
        'form-data; name="model"\r\nContent-Type: application/json',
        'form-data; name="model"\r\nContent-Type: multipart/mixed; boundary=x',
        'form-data; name="x"\r\nContent-Type: multipart/mixed; boundary=x',
        'form-data; name="x"\r\nContent-Type: message/rfc822',
        'form-data; name="model"\r\nContent-Encoding: gzip',
        'form-data; name="model"\r\nContent-Length: 3',
        'form-data; name="x"\r\nContent-Length: 3',
        'form-data; name="x"\r\nContent-Length: 5x',
        'form-data; name="x"\r\n folded: y',
        'form-data; name="x"\r\nno colon',
        'form-data; name="x"\r\nspace : y',
        'form-data; name="_charset_"',
        'form-data; name="_Charset_"',
    ],
)
def test_a_name_that_others_may_read_differently(words: str) -> None:
    assert outcome([form(part("", b"gpt-b", disposition=words))]) == "invalid_form"


@each(
    "name",
    ["Model", "model ", " model", "mod%65l", "model[]", "model[0]", "api.key", "api key", "API_KEY", "\ufeffmodel", "\uff4dodel", "api_\u212aey", "model\u200b", "'model'"],
)  # fmt: skip
def test_a_name_that_others_may_take_for_a_watched_one(name: str) -> None:
    raw = form(part("", b"x", disposition=f'form-data; name="{name}"'), NAMED)
    assert outcome([raw]) == "duplicate_field"


@each(
    "disposition",
    [
        "form-data; name=model",
        'form-data; name="model";',
        'Form-Data;name="model"',
        'form-data; name="model"; size=5',
        'form-data; name="model"\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: 5',
        'form-data; name="model"\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit',
        'form-data; name="model"\r\nMIME-Version: 1.0',
    ],
)
def test_what_clients_send_is_read(disposition: str) -> None:
    raw = form(part("", b"gpt-b", disposition=disposition))
    assert outcome([raw]) == {"model": ("gpt-b", 0)}


@each(
    "name",
    [
        b'"caf\xe9.mp3"', b'"caf\xc3\xa9.mp3"', b'"\xff\xfe.mp3"', b'"a;b; name=x.mp3"', b'"a; name=\'b"',
        rb'"C:\dir\file.mp3"', rb'"a \"quoted\" name.mp3"', b'"a%22b.mp3"', b"plain.mp3", b"caf\xe9.mp3", b'"=?utf-8?q?x?="',
        b'""', b'"a.mp3"; filename*=utf-8\'\'b.mp3',
    ],
)  # fmt: skip
def test_the_name_of_a_file_is_bytes_that_pass(name: bytes) -> None:
    head = b'Content-Disposition: form-data; name="file"; filename=' + name
    raw = form(NAMED, head + b"\r\nContent-Type: audio/mpeg\r\n\r\nRIFF", part("x", b"y"))
    assert outcome([raw]) == {"model": ("whisper-1", 0)}
    assert rewritten([raw], {}) == raw


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


@each(
    ("kind", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('multipart/form-data; boundary="a:c?"', "a:c?"),
        ('multipart/form-data; boundary="===12=="', "===12=="),
        ('multipart/form-data; boundary="a b"', None),
        ('multipart/form-data; boundary=" ab"', None),  # aiohttp: ab
        ("multipart/form-data; boundary=a''b", None),  # email of Python: b
        ('multipart/form-data; boundary="a,b"', None),  # Rack: a
        ('multipart/form-data; boundary="Boundary=a"', None),  # Rack: a
        ("multipart/form-data;charset=utf-8; boundary=----WebKit7+_.", "----WebKit7+_."),
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


def test_the_refusal_of_a_boundary_says_what_one_may_be() -> None:
    with pytest.raises(GatewayError, match=r"of 1 to 70 letters, digits and \(\)\+_\./:=\?-"):
        find_boundary(b'multipart/form-data; boundary="a b"')
    body = form_of([form(NAMED, file(f"x--{BOUNDARY}".encode()))])
    with pytest.raises(GatewayError, match="choose one that none of them has"):
        run(body.read_head())
    body.close()


def test_names_of_other_parts_may_be_latin_1_and_what_decides_may_not() -> None:
    other = b'Content-Disposition: form-data; name="f\xe9"\r\n\r\nx'
    with closing(form_of([form(part("model", b"whisper-1"), other)])) as body:
        assert run(passed_on(body, {})) == form(part("model", b"whisper-1"), other)
    with (
        closing(form_of([form(part("model", b"whisper-\xe9"))])) as body,
        pytest.raises(GatewayError, match="not UTF-8"),
    ):
        run(passed_on(body, {}))
