"""Comments that silence findings: where they count, what they may silence, and what is no comment."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.diagnostics.codes import FINDING_KINDS, Severity
from engine.config.source.document import parse_document
from engine.config.source.suppressions import read_suppressions
from tests.tables import each
from tests.unit.config.folders import codes, minimal, only, read, write

SPARE = (
    "  spare:{beside}\n    base_url: https://spare.example/v1\n    endpoints: {{embeddings: /e}}\n"
)
GOOD = "# engine: ignore[X205] a reason"


def spare(before: str = "", beside: str = "") -> str:
    """A providers.yaml with a provider that no rule leads to, and lines around its key."""
    return minimal("providers") + before + SPARE.format(beside=beside)


@each(
    "text",
    [
        spare(beside=f"  {GOOD}"),
        spare(before=f"  {GOOD}\n"),
        spare(before=f"{GOOD}\n"),
        spare(before=f"  {GOOD}\n  # more about it\n"),
        spare(before=f"  {GOOD}\n  # more about it\n  # and more\n"),
        spare(beside="  # engine:ignore[X206,X205]  both").replace("X206,", ""),
        spare(beside=f"  # spare  {GOOD}"),
        spare(beside=f"  {GOOD}").replace("\n", "\r\n"),
        spare(before=f"  {GOOD}: \N{CJK UNIFIED IDEOGRAPH-8A9E}\n"),
    ],
)
def test_a_finding_is_silent_where_the_comment_is_about_its_line(text: str, tmp_path: Path) -> None:
    loaded = read(write(tmp_path, providers=text))
    assert codes(loaded) == []
    (silenced,) = loaded.suppressed
    assert silenced.found.code == "X205"
    assert loaded.plan is not None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(spare(before=f"  {GOOD}\n\n"), ["X292", "X205"], id="an empty line between"),
        pytest.param(
            minimal("providers").replace("endpoints:", f"endpoints:  {GOOD}") + spare()[len(minimal("providers")):],
            ["X292", "X205"], id="beside another line",
        ),
        pytest.param(spare(beside="  # engine: that one"), ["X205"], id="a remark"),
        pytest.param(spare(beside="  #engine ignore[X205] why"), ["X205"], id="no colon"),
        pytest.param(spare(beside="  # engine: ignored[X205] why"), ["X205", "X291"], id="misspelt"),
        pytest.param(spare(beside="  # engine: ignore[] why"), ["X205", "X291"], id="no code"),
        pytest.param(spare(beside="  # engine: ignore[x205] why"), ["X205", "X291"], id="lower case"),
        pytest.param(spare(beside="  # engine: ignore[X205, S102] why"), ["X291"], id="one of two"),
        pytest.param(spare(beside="  # engine: ignore[X205, X206] why"), ["X292"], id="one unused"),
    ],
)  # fmt: skip
def test_other_comments_silence_nothing(text: str, found: list[str], tmp_path: Path) -> None:
    assert codes(read(write(tmp_path, providers=text))) == found


@each(
    "value", [f'"a {GOOD}"', f"'a {GOOD}'", f"|\n      a\n      {GOOD}\n\n      b", f'"a\n      {GOOD}"']
)  # fmt: skip
def test_a_hash_inside_a_value_is_no_comment(value: str, tmp_path: Path) -> None:
    text = minimal("providers").replace("openai:\n", f"openai:\n    description: {value}\n")
    assert codes(read(write(tmp_path, providers=text))) == []


def test_a_comment_beside_the_mark_of_a_block_is_one(tmp_path: Path) -> None:
    text = minimal("providers").replace(
        "openai:\n", f"openai:\n    description: |  {GOOD}\n      a\n"
    )
    assert codes(read(write(tmp_path, providers=text))) == ["X292"]


@each("code", [c for c, kind in FINDING_KINDS.items() if not kind.ignorable])
def test_what_leaves_nothing_to_serve_cannot_be_silenced(code: str, tmp_path: Path) -> None:
    text = spare(beside=f"  # engine: ignore[{code}] why")
    assert codes(read(write(tmp_path, providers=text))) == ["X205", "X291"]


def test_every_error_but_four_is_beyond_silencing() -> None:
    errors = {
        c for c, kind in FINDING_KINDS.items() if kind.ignorable and kind.severity is Severity.ERROR
    }
    assert errors == {"X208", "X213", "X218", "X296"}
    assert not any(kind.ignorable for c, kind in FINDING_KINDS.items() if c[0] in "FYS")


IGNORABLE_ERRORS = {
    "X208": ("routes", minimal("routes") + "not_exposed:\n  - {paths: [/v1/embeddings], reason: not here}\n"),
    "X213": ("providers", minimal("providers").replace("https:", "http:")),
    "X218": (
        "providers",
        minimal("providers").replace("    headers:\n", "    headers:\n      x-a: sk-0123456789abcdef0123\n"),
    ),
    "X296": (
        "prices",
        "version: 1\nsource: s\ndate: 2026-11-20\nmodels:\n  gpt-*: {input_usd_per_million: 0.0001}\n"
        "  text-embedding-*: {usd_per_request: 0}\n",
    ),
}  # fmt: skip


@each("code", IGNORABLE_ERRORS)
def test_an_error_that_is_silenced_no_longer_stops_serving(code: str, tmp_path: Path) -> None:
    file, text = IGNORABLE_ERRORS[code]
    loaded = read(write(tmp_path, **{file: text}))
    assert loaded.plan is None
    span = only(loaded).span
    lines = text.splitlines()
    lines[span.start.line - 1] += f"  # engine: ignore[{code}] it is a sandbox"
    loaded = read(write(tmp_path, **{file: "\n".join(lines) + "\n"}))
    assert codes(loaded) == []
    assert loaded.plan is not None


def test_what_depends_on_the_machine_is_never_unused(tmp_path: Path) -> None:
    text = minimal("providers").replace("OPENAI_API_KEY}", "OPENAI_API_KEY}  # engine: ignore[E401] set in production")  # fmt: skip
    folder = write(tmp_path, providers=text)
    assert codes(read(folder)) == []
    silent = read(folder, {})
    assert codes(silent) == []
    assert [silenced.found.code for silenced in silent.suppressed] == ["E401"]


def test_nothing_is_called_unused_while_errors_may_hide_findings(tmp_path: Path) -> None:
    text = minimal("routes").replace("endpoints:", f"endpoints:  {GOOD}")
    assert codes(read(write(tmp_path, routes=text))) == ["X292"]
    broken = text.replace("provider: openai", "provider: nobody", 1)
    assert codes(read(write(tmp_path, routes=broken))) == ["X201"]


def test_the_fix_of_an_unused_one_takes_out_what_is_unused(tmp_path: Path) -> None:
    fix = only(
        read(write(tmp_path, providers=spare(beside="  # engine: ignore[X206, X205] why")))
    ).fix
    assert fix is not None
    assert fix.text == "# engine: ignore[X205] why"
    assert fix.applicability == "safe"


PIECES = st.sampled_from(
    [GOOD, "#", " # ", "\n", "'", '"', "a", ": ", "\N{CJK UNIFIED IDEOGRAPH-8A9E}", "\\", "\t"]
)
VALUES = st.lists(PIECES, max_size=6).map("".join)


@given(values=st.lists(st.tuples(VALUES, st.sampled_from("\"'|>"), st.booleans()), max_size=6))
def test_comments_are_found_whatever_the_values_hold(values: list[tuple[str, str, bool]]) -> None:
    lines: list[str] = ["first: 1"]
    expected: list[int] = []
    for number, (value, style, is_commented) in enumerate(values):
        comment = f"  {GOOD}" if is_commented else ""
        if style in "|>":
            body = [line for line in value.replace("\t", " ").split("\n") if line.strip()] or ["a"]
            lines.append(f"k{number}: {style}{comment}")
            expected += [len(lines)] * is_commented
            lines += [f"  {line.lstrip()}" for line in body]
        else:
            quoted = (
                json.dumps(value, ensure_ascii=False)
                if style == '"'
                else "'" + value.replace("'", "''").replace("\n", " ") + "'"
            )
            lines.append(f"k{number}: {quoted}{comment}")
            expected += [len(lines)] * is_commented
    document, _ = parse_document("routes.yaml", ("\n".join(lines) + "\n").encode())
    assert document is not None
    comments, problems = read_suppressions({"routes.yaml": document})
    assert [comment.line for comment in comments] == expected
    assert problems == []


@each("last", ["a: 1", "# end"])
def test_thousands_of_comments_in_a_row_are_about_the_line_below_them(last: str) -> None:
    """Each looked for that line by itself, and then at every quoted value: seconds for these, minutes for five times as many."""
    size = 4_000
    lines = [*[GOOD] * size, last, *(f'"a{n}": "b"' for n in range(size))]
    document, _ = parse_document("routes.yaml", "\n".join(lines).encode())
    assert document is not None
    comments, _ = read_suppressions({"routes.yaml": document})
    assert {comment.line for comment in comments} == {size + (2 if last[0] == "#" else 1)}
    assert len(comments) == size
