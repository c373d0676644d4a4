"""The terminal's text: what is cut, wrapped and aligned at each width."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from engine.config.diagnostics.diagnostic import Diagnostic, Position, Related, Span
from engine.config.source.document import Document
from engine.report.text import TAB, render_text
from tests.tables import each
from tests.unit.config.folders import TextSnapshot

LONG = "  - {prefix: gpt-, " + "endpoint: [" + ", ".join(f"name_{n}" for n in range(20)) + "], provider: opena, strip: true}"  # fmt: skip


def document(*lines: str, file: str = "routes.yaml") -> Document:
    return Document(file, lines, {}, {})


def at(line: int, start: int, end: int, file: str = "routes.yaml") -> Span:
    return Span(file, Position(line, start + 1), Position(line, end + 1))


def marked(lines: tuple[str, ...], word: str, line: int = 0) -> Diagnostic:
    """A finding at the first `word` of a line."""
    start = lines[line].index(word)
    message = "model rule `gpt-` names provider `opena`, which providers.yaml does not define"
    return Diagnostic(
        "X201",
        message,
        at(line + 1, start, start + len(word)),
        label="did you mean `openai`?",
        help="name a provider of providers.yaml, or define one there; `engine routes` shows them",
    )


def columns(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)  # fmt: skip


def underlined(text: str) -> str:
    """What stands above the underline, found by columns as a terminal shows them."""
    lines = text.splitlines()
    (row,) = [n for n, line in enumerate(lines) if "^" in line]
    first = columns(lines[row][: lines[row].index("^")])
    last = first + lines[row].count("^")
    shown, at_column = "", 0
    for c in lines[row - 1]:
        shown += c if first <= at_column < last else ""
        at_column += columns(c)
    return shown


@pytest.mark.parametrize("width", [40, 80, 200, None])
def test_a_finding_at_each_width(width: int | None, snapshot: SnapshotAssertion) -> None:
    lines = ("models:", LONG)
    found = marked(lines, "opena", 1)
    related = Related(at(3, 2, 8, "providers.yaml"), "defined here")
    found = Diagnostic(found.code, found.message, found.span, found.label, found.help, related=(related,))  # fmt: skip
    documents = {
        "routes.yaml": document(*lines),
        "providers.yaml": document("", "providers:", "  openai:", file="providers.yaml"),
    }
    text = render_text([found], documents, colour=False, width=width)
    assert text == snapshot(extension_class=TextSnapshot)
    assert underlined(text) == "opena"
    if width:
        assert max(columns(line) for line in text.splitlines()) <= width


@each(
    "line",
    [
        "\tprovider:\topena",
        "  名前: {provider: opena}",
        "  cafe\N{COMBINING ACUTE ACCENT}: {provider: opena}",
        "  😀😀: opena",
    ],
)
def test_the_underline_stands_below_its_word(line: str) -> None:
    text = render_text([marked((line,), "opena")], {"routes.yaml": document(line)}, colour=False)
    assert underlined(text) == "opena"
    assert "\t" not in text


def test_a_tab_takes_as_many_columns_below_as_above() -> None:
    line = "\ta: opena"
    text = render_text([marked((line,), "opena")], {"routes.yaml": document(line)}, colour=False)
    assert f"1 | {TAB}a: opena\n  | {TAB}   ^^^^^" in text


def test_a_word_longer_than_the_terminal_is_cut_at_its_end() -> None:
    line = "a: " + "x" * 300
    text = render_text([marked((line,), "x" * 300)], {"routes.yaml": document(line)}, colour=False, width=60)  # fmt: skip
    assert max(map(columns, text.splitlines())) <= 60
    assert underlined(text) == "x" * text.count("^")


def test_a_pipe_gets_whole_messages_and_lines_of_bounded_length() -> None:
    line = "a: " + "x" * 9000 + " opena"
    text = render_text([marked((line,), "opena")], {"routes.yaml": document(line)}, colour=False)
    assert max(map(len, text.splitlines())) < 250
    assert underlined(text) == "opena"


def test_control_characters_reach_no_terminal() -> None:
    line = "a: \x1b[31mopena\x9b"
    text = render_text([marked((line,), "opena")], {"routes.yaml": document(line)}, colour=False)
    assert not {"\x1b", "\x9b"} & set(text)
    assert underlined(text) == "opena"


@each("secret", ["sk-0123456789abcdef/+AB" * 4, "a1" * 40, "eyJhbGciOi.eyJzdWIi.c2ln"])
@each("before", ["", "x" * 1990 + " ", "y" * 5000 + " "])
def test_a_secret_is_masked_wherever_the_line_is_cut(before: str, secret: str) -> None:
    line = f"{before}a: {secret} opena {secret}"
    found = Diagnostic("X201", "m", at(1, line.index("opena"), line.index("opena") + 5))
    text = render_text([found], {"routes.yaml": document(line)}, colour=False, width=200)
    assert underlined(text) == "opena"
    assert "*" * 20 in text
    assert not any(secret[n : n + 6] in text for n in range(len(secret) - 6))


@given(
    before=st.text("ab名é\t😀", max_size=120),
    after=st.text("ab名é\t", max_size=120),
    width=st.integers(1, 220),
)
def test_the_marked_word_is_always_seen_and_nothing_is_too_wide(
    before: str, after: str, width: int
) -> None:
    line = f"{before}opena{after}"
    found = Diagnostic("X201", "m", at(1, len(before), len(before) + 5), label="here")
    text = render_text([found], {"routes.yaml": document(line)}, colour=False, width=width)
    assert underlined(text) == "opena"
    assert max(map(columns, text.splitlines())) <= max(width, 30)
