"""Repairs: only the marked words change, none meets another, and no file gets worse."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.diagnostics.diagnostic import (
    Applicability,
    Diagnostic,
    Fix,
    Position,
    Severity,
    Span,
)
from engine.config.diagnostics.fixes import apply_fixes, choose, fix_all
from engine.config.load import load
from tests.servers import ROOT
from tests.tables import each
from tests.unit.config.folders import ENVIRON, NOW, write

SAFE, UNSAFE = Applicability.SAFE, Applicability.UNSAFE


def finding(
    line: int, start: int, end: int, text: str, sure: Applicability = SAFE, code: str = "S102"
) -> Diagnostic:
    span = Span("x", Position(line, start), Position(line, end))
    return Diagnostic(code, "words", span, fix=Fix(span, text, sure))


@each(
    ("before", "after"),
    [
        ("a: 1\nbb: 2\n", "a: 1\nX: 2\n"),
        ("a: 1\r\nbb: 2\r\n", "a: 1\r\nX: 2\r\n"),
        ("\ufeffa: 1\nbb: 2", "\ufeffa: 1\nX: 2"),
        ("# ü漢\t\nbb:\t2  # c  \n\n\n", "# ü漢\t\nX:\t2  # c  \n\n\n"),
        ("a: '\u2028bb: 2", "a: '\u2028X: 2"),
    ],
)
def test_every_other_byte_stays(before: str, after: str) -> None:
    assert apply_fixes({"x": before}, [finding(2, 1, 3, "X")]) == {"x": after}


def test_several_in_one_line_and_one_put_between() -> None:
    fixes = [finding(1, 4, 6, "TWO"), finding(1, 1, 2, ""), finding(1, 7, 7, "!")]
    assert apply_fixes({"x": "a: bb c", "y": "kept"}, fixes) == {"x": ": TWO !c", "y": "kept"}


def test_of_two_that_meet_the_first_is_made() -> None:
    fixes = [
        finding(1, 3, 6, "B"),
        finding(1, 1, 4, "A"),
        finding(1, 6, 8, "C"),
        finding(1, 6, 8, "D"),
        finding(1, 8, 8, "E"),
        finding(1, 8, 8, "F"),
    ]
    chosen = choose(fixes, {"x": "12345678"}, unsafe=False)
    assert [d.fix.text for d in chosen if d.fix] == ["A", "C", "E"]
    assert apply_fixes({"x": "12345678"}, chosen)["x"] == "A45CE8"


def test_a_guess_is_made_only_when_asked_for() -> None:
    guess = finding(1, 1, 2, "b", UNSAFE)
    assert choose([guess], {"x": "a"}, unsafe=False) == []
    assert choose([guess], {"x": "a"}, unsafe=True) == [guess]
    assert choose([guess], {"y": "a"}, unsafe=True) == []


def test_what_would_make_a_file_worse_is_left_out_alone() -> None:
    """The first repair is good; the second makes a file that has three errors in place of one."""

    def check(texts: Mapping[str, str]) -> Sequence[Diagnostic]:
        found = [finding(1, 1, 2, "A")] if texts["x"][0] == "a" else []
        if texts["x"][1] == "b":
            return [*found, finding(1, 2, 3, "B")]
        return [*found, *(finding(1, 3, 4, "c", code=code) for code in ("S103", "S104", "S105"))]

    fixed = fix_all({"x": "abc"}, check, unsafe=True)
    assert fixed.texts == {"x": "Abc"}
    assert len(fixed.applied) == len(fixed.left) == 1


def test_a_repair_that_makes_a_file_readable_is_kept_whatever_it_reveals() -> None:
    """One syntax error hid three others, and one in another file that refers to this one."""

    def check(texts: Mapping[str, str]) -> Sequence[Diagnostic]:
        if texts["x"][0] == "a":
            return [finding(1, 1, 2, "A", code="Y001"), finding(1, 2, 3, "B")]
        span = Span("y", Position(1, 1), Position(1, 2))
        shown = [finding(1, 3, 4, "c", code=code) for code in ("S103", "S104", "S105")]
        return [*shown, Diagnostic("X201", "words", span)]

    fixed = fix_all({"x": "abc"}, check, unsafe=True)
    assert fixed.texts == {"x": "Abc"}
    assert [d.code for d in fixed.applied] == ["Y001"]


def test_a_fix_that_is_not_made_is_named() -> None:
    def check(texts: Mapping[str, str]) -> Sequence[Diagnostic]:
        if texts["x"] == "a":
            return [finding(1, 1, 2, "b")]
        return [finding(1, 1, 2, "b", code=code) for code in ("S103", "S104")]

    fixed = fix_all({"x": "a"}, check, unsafe=True)
    assert fixed.applied == ()
    assert fixed.refused == fixed.left == tuple(check({"x": "a"}))


def test_repairs_that_undo_each_other_end() -> None:
    def check(texts: Mapping[str, str]) -> Sequence[Diagnostic]:
        return [finding(1, 1, 2, "b" if texts["x"] == "a" else "a")]

    assert fix_all({"x": "a"}, check, unsafe=True).texts["x"] in "ab"


def errors(found: Sequence[Diagnostic]) -> int:
    return sum(d.severity is Severity.ERROR for d in found)


WORDS = ["provider", "prefix", "models", "endpoints", "base_url", "credentials", "openai", "embeddings", "chat_completions", "headers"]  # fmt: skip


NAMES = ("openai", "embeddings", "chat_completions")  # may be misspelt where they are defined


def swapped(word: str, at: int) -> str:
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=3))  # fmt: skip
def test_slips_in_a_configuration_are_repaired_or_left(
    tmp_path_factory: pytest.TempPathFactory, slips: list[tuple[str, int, int]]
) -> None:
    """Whatever is mistyped: no file gets worse, only lines with slips change, and most are repaired."""
    texts = {name: (ROOT / "tests/unit/config/minimal" / name).read_text("utf-8") for name in ("routes.yaml", "providers.yaml")}  # fmt: skip
    slipped = dict(texts)
    for word, file, at in slips:
        name = list(texts)[file % 2]
        slipped[name] = slipped[name].replace(word, swapped(word, at % (len(word) - 1)), 1)
    folder = tmp_path_factory.getbasetemp()

    def check(files: Mapping[str, str]) -> Sequence[Diagnostic]:
        return load(folder, ENVIRON, NOW, overrides={n: t.encode() for n, t in files.items()}).diagnostics  # fmt: skip

    before = errors(check(slipped))
    fixed = fix_all(slipped, check, unsafe=True)
    assert errors(fixed.left) <= before
    for name, text in fixed.texts.items():
        repaired, broken, right = (t[name].splitlines() for t in (fixed.texts, slipped, texts))
        assert len(repaired) == len(broken), text
        for new, old, first in zip(repaired, broken, right, strict=True):
            assert new == old or old != first or any(name in old for name in NAMES)


def test_a_typo_of_each_kind_is_mended_in_the_shipped_files(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for name in ("routes.yaml", "providers.yaml"):
        shutil.copyfile(ROOT / name, folder / name)
    first = {name: (folder / name).read_text("utf-8") for name in ("routes.yaml", "providers.yaml")}
    slipped = {
        "routes.yaml": first["routes.yaml"]
        .replace("max_body: 64MiB", "max_boddy: 64MiB", 1)
        .replace("provider: mistral}", "provider: mistrall}", 1),
        "providers.yaml": first["providers.yaml"]
        .replace("base_url: https://api.x.ai", "base_ulr: https://api.x.ai", 1),
    }  # fmt: skip
    assert slipped["routes.yaml"] != first["routes.yaml"]
    assert slipped["providers.yaml"] != first["providers.yaml"]

    def check(files: Mapping[str, str]) -> Sequence[Diagnostic]:
        return load(
            folder, {}, NOW, overrides={n: t.encode() for n, t in files.items()}
        ).diagnostics

    fixed = fix_all(slipped, check, unsafe=True)
    assert fixed.texts == first
    assert {d.code for d in fixed.applied} == {"S102", "X201"}
