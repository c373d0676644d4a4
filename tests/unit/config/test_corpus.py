"""Every finding has broken and fixed files under corpus/, and the report of each is pinned.

A case is a folder `<CODE>-<mistake>` with `bad/` and `good/`. A setup.json beside the files may
name files that stay `absent`, sizes to `pad` files to, what the `environ` holds, whether to `audit`, codes found `also`, and `links` to make.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from syrupy.assertion import SnapshotAssertion

from engine.config.diagnostics.codes import RULES
from engine.config.load import Loaded
from tests.servers import ROOT
from tests.tables import each
from tests.unit.config.folders import ENVIRON, MINIMAL, TextSnapshot, codes, fill, read, report

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path.name for path in CORPUS.iterdir())
LEAST = {name: (MINIMAL / name).read_bytes() for name in ("routes.yaml", "providers.yaml")}
CODE = re.compile(r"[FYSXTEA][0-9]{3}")


def prepared(side: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of one side of a case, made whole, and its setup."""
    shutil.copytree(side, folder, dirs_exist_ok=True)
    file = folder / "setup.json"
    setup: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    fill(folder)
    for name in setup.get("absent", ()):
        (folder / name).unlink()
    for name, target in setup.get("links", {}).items():
        (folder / name).symlink_to(target)
    for name, size in setup.get("pad", {}).items():
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw + b"#" * (size - len(raw) - 1) + b"\n")
    return folder, setup


def loaded_side(case: str, side: str, folder: Path) -> tuple[Loaded, dict[str, Any]]:
    """One side of a case, and its setup; without one it is read where it is, since 1,000 copies take a second."""
    written = CORPUS / case / side
    if not (written / "setup.json").exists():
        missing = {name: raw for name, raw in LEAST.items() if not (written / name).exists()}
        return read(written, overrides=missing), {}
    folder, setup = prepared(written, folder)
    environ = {**ENVIRON, **setup.get("environ", {})}
    return read(folder, environ, audit=setup.get("audit", False)), setup


@each("case", CASES)
def test_report(case: str, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    """The bad side is told as its code and nothing else, and an error alone stops serving."""
    loaded, setup = loaded_side(case, "bad", tmp_path)
    assert set(codes(loaded)) == {case[:4], *setup.get("also", ())}
    has_error = any(found.severity == "error" for found in loaded.diagnostics)
    assert (loaded.plan is None) == has_error
    text = report(loaded, tmp_path).replace(str(CORPUS / case / "bad"), "FOLDER")
    assert text == snapshot(name=case, extension_class=TextSnapshot)


def contents(case: str, side: str) -> tuple[tuple[str, bytes], ...]:
    """The files of a side: half of the good ones are the same as another of their code, and loaded once."""
    folder = CORPUS / case / side
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple((str(path.relative_to(folder)), path.read_bytes()) for path in files)


@each("code", sorted({case[:4] for case in CASES}))
def test_good_is_clean(code: str, tmp_path: Path) -> None:
    sides = {contents(case, "good"): case for case in CASES if case.startswith(code)}
    loaded = {case: loaded_side(case, "good", tmp_path / case)[0] for case in sides.values()}
    found = {
        case: codes(side) for case, side in loaded.items() if side.diagnostics or not side.plan
    }
    assert found == {}


# Found only where a package is missing that these tests have; tests/unit/config/test_load.py has it.
ELSEWHERE = {"E404"}


def test_every_code_has_a_case() -> None:
    assert set(RULES) - {case[:4] for case in CASES} == ELSEWHERE


def test_every_case_has_two_sides_and_a_known_code() -> None:
    for case in CASES:
        assert case[:5] in {f"{code}-" for code in RULES}, case
        assert sorted(path.name for path in (CORPUS / case).iterdir()) == ["bad", "good"], case


def test_the_two_sides_differ() -> None:
    for case in CASES:
        assert contents(case, "bad") != contents(case, "good"), case


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
    assert emitted() == set(RULES)


def test_catalogue_entries_are_complete() -> None:
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
    for code, rule in RULES.items():
        assert CODE.fullmatch(code)
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name), code
        assert rule.summary and not rule.summary.endswith("."), code
        assert rule.explanation.endswith("."), code
