"""Pages that name tests as evidence name tests that there are."""

import re
from pathlib import Path

import pytest

from tests.servers import ROOT

PAGES = [ROOT / "SECURITY.md", ROOT / "docs" / "faults.md"]
CASES = 45


def known(pattern: str) -> set[str]:
    """The tests in files of this name; pytest collects `test_*.py` alone by itself."""
    sources = (path.read_text("utf-8") for path in (ROOT / "tests").rglob(pattern))
    return {
        name for text in sources for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.M)
    }


def rows(page: Path) -> list[list[str]]:
    """The cells of each row of its tables, without heads and rules."""
    lines = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [line.strip("| ").split(" | ") for line in lines]
    return [row for row in cells if row[-1] not in ("tests", "---")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_names_tests_that_run(page: Path) -> None:
    collected, others = known("test_*.py"), known("*.py")
    for *row, tests in rows(page):
        names = re.findall(r"`(\w+)`", tests)
        assert names, tests
        there = others if "`make " in row[0] else collected
        assert set(names) <= there, sorted(set(names) - there)


def test_enough_faults_are_covered() -> None:
    assert len(rows(PAGES[1])) >= CASES


def test_the_readme_leads_to_them() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert "SECURITY.md" in text
    assert "docs/faults.md" in text
