"""`engine fmt`: one layout, the same data, every comment, and no text that it would harm."""

import re
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from engine.config.source.document import parse_document
from engine.config.source.formatting import FormatError, format_text
from engine.config.source.tokens import meaning
from tests.servers import ROOT
from tests.tables import each

PAIRS = {
    "indent of four": ("a:\n    b:\n        c: 1\n", "a:\n  b:\n    c: 1\n"),
    "a list at its key": ("a:\n- b: 1\n  c: 2\n- d\n", "a:\n  - b: 1\n    c: 2\n  - d\n"),
    "a list far in": ("a:\n    -   b: 1\n        c: 2\n", "a:\n  - b: 1\n    c: 2\n"),
    "a list in a list": ("- - a\n  - b\n-  - c\n", "- - a\n  - b\n- - c\n"),
    "a bare dash": ("a:\n  -\n    b: 1\n", "a:\n  -\n    b: 1\n"),
    "a value below its key": ("a:\n      b\nc:\n   - d\n", "a:\n  b\nc:\n  - d\n"),
    "brackets": ("a: [ 1,2 ,3 ]\nb: { c: 1,d : 2 }\n", "a: [1, 2, 3]\nb: {c: 1, d: 2}\n"),
    "nothing in brackets": ("a: [ ]\nb: {  }\nc: {d: }\n", "a: []\nb: {}\nc: {d: }\n"),
    "brackets over lines": ("a: [\n 1,\n     2\n     ]\n", "a: [\n    1,\n    2\n  ]\n"),
    "spaces around a colon": ("a :   1\n\"b\" :   2\n", "a: 1\n\"b\": 2\n"),
    "spaces at the end": ("a: 1   \nb: 2\t\n", "a: 1\nb: 2\n"),
    "tabs": ("a:\t1\t# c\n", "a: 1  # c\n"),
    "comments": ("#a\na: 1 # b\n   # c\nb:      #d\n  # e\n    c: 1\n", "#a\na: 1  # b\n# c\nb:  #d\n  # e\n  c: 1\n"),
    "a comment at the end of a block": ("a:\n    b:\n        c: 1\n    # of a\n# of none\nd: 1\n", "a:\n  b:\n    c: 1\n  # of a\n# of none\nd: 1\n"),
    "empty lines": ("\n\na: 1\n\n\n\nb: 2\n\n\n", "a: 1\n\nb: 2\n"),
    "no end of line": ("a: 1", "a: 1\n"),
    "a block of text": ("a:\n    b: |  # c\n        x\n\n\n          y\n    d: 1\n", "a:\n  b: |  # c\n      x\n\n\n        y\n  d: 1\n"),
    "quotes over lines": ("a:\n    b: \"x\n      y\"\n", "a:\n  b: \"x\n    y\"\n"),
    "a hash that is none": ("a: \"b # c\"   # d\nb: x#y\n", "a: \"b # c\"  # d\nb: x#y\n"),
    "CRLF": ("a:\r\n    b: 1   \r\n\r\n\r\nc: 2", "a:\r\n  b: 1\r\n\r\nc: 2\r\n"),
    "byte order mark": ("\ufeffa:   1\n", "\ufeffa: 1\n"),
    "wide characters": ("a: { \"ü漢\": 1,b: 2 } # ü\n", "a: {\"ü漢\": 1, b: 2}  # ü\n"),
}  # fmt: skip


@each("name", PAIRS)
def test_layout(name: str) -> None:
    before, after = PAIRS[name]
    if name == "brackets over lines":
        after = "a: [\n  1,\n  2\n]\n"
    made = format_text(before)
    assert made == after
    assert format_text(made) == made
    assert meaning(made) == meaning(before)


@each("name", ["routes.yaml", "providers.yaml"])
def test_the_shipped_files_have_the_layout(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert format_text(text) == text


def dedented_lists(text: str) -> str:
    """Every list at the column of its key."""
    lines = text.splitlines(keepends=True)
    section = ""
    for number, line in enumerate(lines):
        section = line if line[0] not in " #\n" else section
        if section.startswith(("models", "tests", "not_exposed")):
            lines[number] = line.removeprefix("  ")
    return "".join(lines)


MESSES: dict[str, Callable[[str], str]] = {
    "twice the indent": lambda text: re.sub(r"^( +)(- )?", lambda hit: hit[1] * 2 + ("-   " if hit[2] else ""), text, flags=re.M),
    "lists at their key": dedented_lists,
    "spaces in brackets": lambda text: re.sub(r"(?<=[{\[])(?![{ ])(?=[^\n\"]*[}\]]$)", " ", text, flags=re.M),
    "spaces at line ends": lambda text: text.replace("\n", "   \n"),
    "more empty lines": lambda text: text.replace("\n\n", "\n\n\n\n"),
    "comments far out": lambda text: re.sub(r"(?<=\S)  # ", "      # ", text),
}  # fmt: skip


@each("names", [list(MESSES)[0::2], list(MESSES)[1::2]])
def test_a_mess_of_the_shipped_files_becomes_the_shipped_files(names: list[str]) -> None:
    """Three kinds at a time: to format a mess takes as long as to load the files."""
    mess = text = (ROOT / "routes.yaml").read_text("utf-8")
    for name in names:
        before, mess = mess, MESSES[name](mess)
        assert mess != before
    assert format_text(mess) == text


SCALARS = st.sampled_from(["a", "b c", "1", "no", "x # y", "a: b", "", " s ", "l1\nl2\n", "{", "ü", "# c", "'", '"'])  # fmt: skip
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=8,
)


@given(DATA, st.data(), st.sampled_from([2, 3, 4, 7]), st.booleans(), st.sampled_from([20, 80]), st.sampled_from(["\n", "\r\n"]))  # fmt: skip
def test_any_file_means_the_same_and_keeps_its_comments(
    value: Any, data: st.DataObject, indent: int, flow: bool, width: int, end: str
) -> None:
    text = yaml.safe_dump(
        {"k": value},
        indent=indent,
        default_flow_style=flow or None,
        width=width,
        allow_unicode=True,
    )
    lines = text.splitlines()
    at = data.draw(st.integers(0, len(lines)))
    lines.insert(at, data.draw(st.sampled_from(["# note", "    # note", "", "   "])))
    text = end.join(lines) + end
    document, _ = parse_document("x.yaml", text.encode())
    if document is None or "note" in str(document.data):
        return
    made = format_text(text)
    again, _ = parse_document("x.yaml", made.encode())
    assert again is not None
    assert again.data == document.data
    assert made.count("# note") == text.count("# note")
    assert format_text(made) == made
    assert made.replace(" ", "").split() == text.replace(" ", "").split()


@each("text", ["? a\n: b\n", "a: 1\n---\nb: 2\n", "%YAML 1.2\n---\na: 1\n"])
def test_what_configuration_files_do_not_use_is_left_alone_or_kept(text: str) -> None:
    try:
        made = format_text(text)
    except FormatError:
        return
    assert meaning(made) == meaning(text)
