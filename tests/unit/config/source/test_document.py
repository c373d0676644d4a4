"""Text to data and places: every style of writing, the core scalars, and malicious files."""

import time
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.config.diagnostics.diagnostic import Diagnostic
from engine.config.files import parse_file
from engine.config.source.document import MAX_BYTES, MAX_DEPTH, Document, parse_document
from engine.config.source.document import Path as DataPath
from tests.servers import ROOT
from tests.tables import each
from tests.unit.config.folders import codes, minimal, read, report, write

SECOND = 1.0
SHIPPED = {name: (ROOT / f"{name}.yaml").read_bytes() for name in ("routes", "providers")}


def parsed(text: str | bytes) -> Document:
    """The document of a text that nothing is wrong with."""
    raw = text.encode() if isinstance(text, str) else text
    document, found = parse_document("x.yaml", raw)
    assert document is not None, found
    assert found == []
    return document


def problem(text: str | bytes) -> Diagnostic:
    """The one finding in a text."""
    raw = text.encode() if isinstance(text, str) else text
    _, found = parse_document("x.yaml", raw)
    assert len(found) == 1, found
    return found[0]


def value_at(text: str, path: DataPath) -> str:
    """The characters that the place of the value at `path` covers."""
    document = parsed(text)
    span = document.entry(path).value
    assert span.start.line == span.end.line
    return document.lines[span.start.line - 1][span.start.column - 1 : span.end.column - 1]


# -- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "covered"),
    [
        pytest.param("a: word", ("a",), "word", id="plain"),
        pytest.param("a:   word  # note", ("a",), "word", id="before a comment"),
        pytest.param('a: "a \\"word\\""', ("a",), '"a \\"word\\""', id="double quotes"),
        pytest.param("a: 'it''s'", ("a",), "'it''s'", id="single quotes"),
        pytest.param("a: {b: c}", ("a", "b"), "c", id="inside a flow mapping"),
        pytest.param("a: {b: c}", ("a",), "{b: c}", id="a flow mapping"),
        pytest.param("a: [b, [c, d]]", ("a", 1), "[c, d]", id="a flow list"),
        pytest.param("a: [b, [c, d]]", ("a", 1, 1), "d", id="inside a flow list"),
        pytest.param("a:\n  - b\n  -   c", ("a", 1), "c", id="a list item"),
        pytest.param("a:\n  b: c", ("a",), "a", id="a block mapping is its key"),
        pytest.param("a:\n  - b: c\n    d: e", ("a", 0), "b", id="a mapping in a list is its first key"),
        pytest.param("a: |\n  b\n  c\n", ("a",), "|", id="literal block"),
        pytest.param("a: >-\n  b\n  c\n", ("a",), ">", id="folded block"),
        pytest.param("a: {b: [\n c]}", ("a", "b"), "b", id="a flow list over two lines is its key"),
        pytest.param("a: '漢字 ü'  # x", ("a",), "'漢字 ü'", id="wide characters"),
        pytest.param("漢字: {ü: word}", ("漢字", "ü"), "word", id="after wide characters"),
        pytest.param("a: 😀😀 b", ("a",), "😀😀 b", id="outside the basic plane"),
        pytest.param("a:\tword", ("a",), "word", id="after a tab"),
        pytest.param("\ufeffa: word", ("a",), "word", id="after a byte order mark"),
        pytest.param("# one\r\na: word\r\nb: more\r\n", ("b",), "more", id="CRLF"),
        pytest.param("# one\ra: word\rb: more\r", ("b",), "more", id="CR alone"),
        pytest.param("# one\u2028a: word", ("a",), "word", id="Unicode line separator"),
        pytest.param("# one\x85a: word", ("a",), "word", id="next line"),
    ],
)  # fmt: skip
def test_the_place_of_a_value_is_exact(text: str, path: DataPath, covered: str) -> None:
    assert value_at(text, path) == covered


def test_the_place_of_a_key_is_exact() -> None:
    document = parsed("first:\n  'quoted key': {inner: x}\n")
    places = {path: str(document.entry(path).head) for path in document.entries if path}
    assert places == {
        ("first",): "x.yaml:1:1",
        ("first", "quoted key"): "x.yaml:2:3",
        ("first", "quoted key", "inner"): "x.yaml:2:18",
    }


def test_an_empty_value_is_one_column_wide() -> None:
    span = parsed("a:\nb: c\n").entry(("a",)).value
    assert (span.start.line, span.end.column - span.start.column) == (1, 1)


def test_a_path_that_is_not_there_is_the_nearest_one_around_it() -> None:
    document = parsed("a:\n  b: c\n")
    assert document.entry(("a", "x", 3)) == document.entry(("a",))
    assert document.entry(("nowhere",)) == document.entry(())


def test_a_character_that_yaml_forbids_is_pointed_at() -> None:
    found = problem("a: b\nc: d\n  \x07: e\n")
    assert (found.code, str(found.span)) == ("Y001", "x.yaml:3:3")


def test_syntax_errors_name_where_the_trouble_began() -> None:
    found = problem("a:\n  b: [c,\n  d: e\n")
    assert found.code == "Y001"
    assert (str(found.span), found.fix and found.fix.text) == ("x.yaml:2:6", "]")


# -- scalars -------------------------------------------------------------------------------------


@each(
    ("text", "value"),
    [
        ("true", True), ("True", True), ("TRUE", True),
        ("false", False), ("False", False), ("FALSE", False),
        ("null", None), ("Null", None), ("NULL", None), ("~", None), ("", None),
        ("0", 0), ("42", 42), ("-7", -7), ("+7", 7), ("123456789012345678", 123456789012345678),
        ("3.10", 3.1), (".5", 0.5), ("-1.5E-3", -0.0015),
        ("1e3", 1000), ("5.", 5), ("1e16", 1e16),
        ("2023-06-01", "2023-06-01"), ("2023-06-01T10:00:00Z", "2023-06-01T10:00:00Z"),
        ("gpt-4o", "gpt-4o"), ("32MiB", "32MiB"), ("'true'", "true"), ('"42"', "42"),
        ("y", "y"), ("n", "n"), ("tRue", "tRue"), ("nUll", "nUll"), ("1e", "1e"), ("1.2.3", "1.2.3"),
        ("8080:80", "8080:80"), ("9" * 33, "9" * 33), ("0o17", "0o17"), ("08", "08"),
    ],
)  # fmt: skip
def test_a_scalar_is_read_by_the_core_schema(text: str, value: object) -> None:
    data: Any = parse_document("x.yaml", f"a: {text}\n".encode())[0]
    assert data.data == {"a": value}
    assert type(data.data["a"]) is type(value)


@each(
    "text",
    ["yes", "no", "on", "Off", "NO", "010", "0x1F", "0b11", "1_000", "1:30", "22:22:22", ".inf",
     "-.INF", ".nan", "="],
)  # fmt: skip
def test_a_scalar_that_readers_disagree_on_is_told(text: str) -> None:
    document, found = parse_document("x.yaml", f"a: {text}\n".encode())
    assert [d.code for d in found] == ["Y004"]
    assert document is not None
    assert document.data == {"a": text}


@each("text", ["'yes'", '"1:30"', "2023-06-01", "1e3", "y", "<<", "v1", "a:b"])
def test_a_scalar_that_is_clear_or_quoted_is_not_told(text: str) -> None:
    parsed(f"a: {text}\n")


@each("key", ["1", "1.5", "true", "null", "~", "[a]", "{a: b}", "? [a]\n"])
def test_a_key_that_is_no_string_is_told(key: str) -> None:
    assert "Y005" in {d.code for d in parse_document("x.yaml", f"{key}: b\n".encode())[1]}


def test_the_first_of_two_keys_is_kept() -> None:
    document, found = parse_document("x.yaml", b"a: 1\nb: 2\na: 3\na: 4\n")
    assert [str(d.span) for d in found] == ["x.yaml:3:1", "x.yaml:4:1"]
    assert {str(d.related[0].span) for d in found} == {"x.yaml:1:1"}
    assert document is not None
    assert document.data == {"a": 1, "b": 2}


# -- malicious files -------------------------------------------------------------------------------

BOMB = "\n".join(
    ["a0: &a0 x", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10))]
)
MALICIOUS: dict[str, tuple[bytes, str]] = {
    "ten MiB": (b"a: b\n" * (10 * 1024 * 1024 // 5), "F003"),
    "one byte too many": (b"#" * (MAX_BYTES + 1), "F003"),
    "100,000 brackets": (b"[" * 100_000, "Y006"),
    "100,000 braces": (b"{a: " * 100_000, "Y006"),
    "100,000 block levels": (b"- " * 100_000 + b"x", "Y006"),
    "alias bomb": (BOMB.encode(), "Y003"),
    "cycle": (b"a: &a [*a]\n", "Y003"),
    "alias without anchor": (b"a: *b\n", "Y003"),
    "merge of itself": (b"a: &a {<<: *a}\n", "Y003"),
    "python tag": (b"a: !!python/object/apply:os.system [id]\n", "Y003"),
    "set tag": (b"!!set {a, b}\n", "Y003"),
    "binary tag": (b"a: !!binary aGk=\n", "Y003"),
    "NUL": (b"a: b\0c\n", "Y001"),
    "only NULs": (b"\0" * 1000, "Y001"),
    "UTF-16 with mark": ("a: b\n".encode("utf-16"), "F002"),
    "UTF-16 without mark": ("a: b\n".encode("utf-16-le"), "Y001"),
    "UTF-32": ("a: b\n".encode("utf-32"), "F002"),
    "latin-1": ("a: ü\n".encode("latin-1"), "F002"),
    "half a character": ("a: ü".encode()[:-1], "F002"),
    "surrogate": (b"a: \xed\xa0\x80\n", "F002"),
    "ELF": (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0>\0", "Y001"),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "F002"),
    "empty": (b"", "Y007"),
    "only a byte order mark": (b"\xef\xbb\xbf", "Y007"),
    "only blank lines": (b"\n\n  \n", "Y007"),
    "only a document start": (b"%YAML 1.1\n", "Y001"),
    "two documents": (b"a: b\n---\nc: d\n", "Y008"),
    "second document is malicious": (b"a: b\n---\n" + b"[" * 100_000, "Y008"),
    "too many entries": (b"[" + b"a," * 201_000 + b"]", "Y006"),
    "escape sequences of a terminal": (b"a: \x1b[31mred\n", "Y001"),
}  # fmt: skip


@each(("name", "file"), [*zip(MALICIOUS, cycle(["routes", "providers", "keys"]), strict=False)])
def test_a_malicious_file_is_a_finding_within_a_second(
    name: str, file: str, tmp_path: Path
) -> None:
    raw, code = MALICIOUS[name]
    start = time.process_time()
    made = parse_file(f"{file}.yaml", raw)  # which is kept, and loaded below
    assert time.process_time() - start < SECOND
    assert [d.code for d in made.found] == [code]
    assert made.document is None
    if len(raw) > 250_000:
        return
    loaded = read(write(tmp_path, **{file: raw}))
    assert code in codes(loaded)
    assert loaded.plan is None
    assert report(loaded)


def test_the_bounds_themselves_are_allowed() -> None:
    assert parsed(b"a: b\n" + b"#" * (MAX_BYTES - 5)).data == {"a": "b"}
    parsed("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert problem("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).code == "Y006"


# -- anything ------------------------------------------------------------------------------------

_FAST = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_TOKENS = st.sampled_from(
    ["a: ", "- ", "\n", "  ", "{", "}", "[", "]", ",", "'", '"', "|", ">", "#", "&a ", "*a", "!t ", "? ",
     ": ", "---\n", "...\n", "%", "@", "`", "\t", "\r\n", "1", "yes", "null", "{{ model }}", "é", "\ufeff",
     "version: 1\n", "endpoints:\n", "providers:\n", "models:\n", "tests:\n"]
)  # fmt: skip


def load_all(folder: Path, name: str, raw: bytes) -> None:
    """Load, and draw the report; the only thing asked for is that nothing is raised."""
    loaded = read(write(folder, **{name: raw}))
    assert (loaded.plan is None) == any(d.severity == "error" for d in loaded.diagnostics)
    report(loaded)


@_FAST
@given(raw=st.binary(max_size=200), name=st.sampled_from(["routes", "providers", "keys"]))
def test_any_bytes_load_without_an_exception(tmp_path: Path, name: str, raw: bytes) -> None:
    load_all(tmp_path, name, raw)


@_FAST
@given(
    text=st.lists(_TOKENS, max_size=40).map("".join),
    name=st.sampled_from(["routes", "providers", "keys"]),
)
@example(text="models:\n - [[]]: ", name="routes")
def test_any_yaml_like_text_loads_without_an_exception(
    tmp_path: Path, name: str, text: str
) -> None:
    load_all(tmp_path, name, text.encode())


@st.composite
def _mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A shipped or minimal file with up to three pieces cut out, doubled or overwritten."""
    name = draw(st.sampled_from(["routes", "providers"]))
    raw = draw(st.sampled_from([SHIPPED[name][:6000], minimal(name).encode()]))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 30)))
        middle = draw(st.one_of(st.just(b""), st.just(raw[start:end] * 2), _TOKENS.map(str.encode)))
        raw = raw[:start] + middle + raw[end:]
    return name, raw


@_FAST
@given(change=_mutated())
def test_a_mutated_file_loads_without_an_exception(
    tmp_path: Path, change: tuple[str, bytes]
) -> None:
    load_all(tmp_path, *change)
