"""Columns and edits: what an editor counts and what we count meet at the same character."""

from hypothesis import given
from hypothesis import strategies as st

from engine.config.diagnostics.diagnostic import LINE_END, Position
from engine.lsp.text import Text
from tests.tables import each

ENCODINGS = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
# Every line end that any of the three countings knows, and characters of one to four bytes.
TEXTS = st.text(st.sampled_from("a: é漢😀\t\n\r\x0b\x0c\x1c\x85\u2028\u2029\ud800"), max_size=30)


def lines(text: str) -> list[str]:
    """The lines as LSP counts them, with their ends; written without the code under test."""
    found, line = [], ""
    for index, char in enumerate(text):
        line += char
        if char == "\n" or (char == "\r" and text[index + 1 : index + 2] != "\n"):
            found.append(line)
            line = ""
    return [*found, line]


def units(text: str, encoding: str) -> int:
    width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    return len(text.encode(ENCODINGS[encoding], "surrogatepass")) // width


def reference_offset(text: str, line: int, column: int, encoding: str) -> int:
    """The offset of a place, by counting one character after the other."""
    known = lines(text)
    if line >= len(known):
        return len(text)
    inside = known[line].removesuffix("\n").removesuffix("\r")
    end = 0
    while end < len(inside) and units(inside[: end + 1], encoding) <= column:
        end += 1
    return len("".join(known[:line])) + end


@given(TEXTS, st.integers(0, 6), st.integers(0, 12), st.sampled_from(list(ENCODINGS)))
def test_a_place_of_an_editor_is_the_character_it_means(
    source: str, line: int, column: int, encoding: str
) -> None:
    offset = Text(source, encoding).offset((line, column))
    assert offset == reference_offset(source, line, column, encoding)


@given(TEXTS, st.sampled_from(list(ENCODINGS)), st.data())
def test_an_offset_survives_both_countings(source: str, encoding: str, data: st.DataObject) -> None:
    text = Text(source, encoding)
    offset = data.draw(st.integers(0, len(source)))
    position = text.position(offset)
    assert text.offset_of(position) == offset
    start = len("".join(lines(source)[: text.point(offset)[0]]))
    assert text.point(offset)[1] == units(source[start:offset], encoding)
    assert position.column - 1 <= offset
    assert position.line == len(LINE_END.findall(source[:offset])) + 1 or source[offset - 1 : offset + 1] == "\r\n"  # fmt: skip


@given(TEXTS, TEXTS, st.data(), st.sampled_from(list(ENCODINGS)))
def test_an_edit_changes_the_stretch_it_names(
    source: str, replacement: str, data: st.DataObject, encoding: str
) -> None:
    points = st.tuples(st.integers(0, 5), st.integers(0, 10))
    start, end = sorted((data.draw(points), data.draw(points)))
    first, last = (reference_offset(source, *point, encoding) for point in (start, end))
    edited = Text(source, encoding).edited(start, end, replacement)
    assert edited.source == source[:first] + replacement + source[last:]


@each(("encoding", "column"), [("utf-8", 7), ("utf-16", 5), ("utf-32", 4)])
def test_the_example_of_the_specification(encoding: str, column: int) -> None:
    assert Text('x="😋"', encoding).point(4) == (0, column)


def test_a_byte_order_mark_is_no_column_of_ours() -> None:
    text = Text("\ufeffversion: 1\n")
    assert text.offset_of(Position(1, 1)) == 1
    assert text.position(1) == Position(1, 1)
    assert text.position(0) == Position(1, 1)


def test_half_a_surrogate_pair_is_no_reason_to_fail() -> None:
    assert Text("\ud800").raw == b"\xed\xa0\x80"
