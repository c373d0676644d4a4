"""Every finding is found in the bad side of its cases and not in the good one, and each report is pinned.

Those of the examples are in docs/codes.md, which tests/e2e/docs compares.
"""

import re
from pathlib import Path

from syrupy.assertion import SnapshotAssertion

from engine.config.diagnostics.codes import FINDING_KINDS
from engine.config.examples import example
from tests.servers import ROOT, read_yaml
from tests.tables import each
from tests.unit.config.cases import CASES, CORPUS, FURTHER, NO_FILES, folder_of, load_case
from tests.unit.config.folders import codes, fill, read, report

CODE = re.compile(r"[FYSXTEA][0-9]{3}")


@each("case", CASES)
def test_report(case: str, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    """The bad side is reported as its code and nothing else, and an error alone stops serving."""
    loaded, shown = load_case(case, tmp_path), CASES[case]
    assert set(codes(loaded)) == {case[:4], *shown.also} or (shown.elsewhere and not codes(loaded))
    has_error = any(found.severity == "error" for found in loaded.diagnostics)
    assert (loaded.plan is None) == has_error
    if case in FURTHER:
        assert report(loaded, tmp_path) == snapshot(name=case)


@each("case", NO_FILES)
def test_report_of_what_is_no_file(case: str, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    NO_FILES[case](tmp_path)
    loaded = read(fill(tmp_path))
    assert codes(loaded) == ["F001"]
    assert report(loaded, tmp_path) == snapshot(name=case)


def test_good_is_clean(tmp_path: Path) -> None:
    """Most good sides are the same as another, and loaded once."""
    sides = {repr(folder_of(case, good=True)): case for case in CASES}
    for case in sides.values():
        loaded = load_case(case, tmp_path / case, good=True)
        assert codes(loaded) == [], case
        assert loaded.plan is not None, case


def test_every_example_is_of_a_code() -> None:
    assert sorted(read_yaml("engine/config/checks/examples.yaml")["examples"]) == sorted(
        FINDING_KINDS
    )


def test_every_case_is_there_once_and_has_a_known_code() -> None:
    lines = [line for file in CORPUS for line in file.read_text("utf-8").splitlines()]
    assert [line[:-1] for line in lines if line[:1] not in ("", " ")] == list(FURTHER)
    assert [
        case for case in FURTHER if case[:5] not in {f"{code}-" for code in FINDING_KINDS}
    ] == []


def test_the_two_sides_differ() -> None:
    same = [case for case in CASES if folder_of(case) == folder_of(case, good=True)]
    assert same == []


def test_examples_are_short_enough_to_be_read() -> None:
    for code in FINDING_KINDS:
        shown = example(code)
        assert max(len((shown.bad or "").splitlines()), len(shown.good.splitlines())) <= 12, code


def emitted() -> set[str]:
    """Every string of a code's form in the modules that make diagnostics."""
    found: set[str] = set()
    for path in (ROOT / "engine").rglob("*.py"):
        if path.name == "codes.py" or "admin" in path.parts:  # S256 is a method of OAuth there
            continue
        text = path.read_text("utf-8")
        found.update(re.findall(rf'"({CODE.pattern})"', text))
    return found


def test_codes_in_the_source_are_those_of_the_catalogue() -> None:
    assert emitted() == set(FINDING_KINDS)


def test_catalogue_entries_are_complete() -> None:
    assert len({kind.name for kind in FINDING_KINDS.values()}) == len(FINDING_KINDS)
    for code, kind in FINDING_KINDS.items():
        assert CODE.fullmatch(code)
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.name), code
        assert kind.summary and not kind.summary.endswith("."), code
        assert kind.explanation.endswith("."), code
