"""The examples of each page do what it says."""

import re
from pathlib import Path

import pytest

from tests.e2e.docs.examples import run_page
from tests.e2e.docs.test_docs import PAGES
from tests.servers import Server

PROGRAMS = re.compile(r"^(curl|sed|cp) |\b(curl) ", re.MULTILINE)


def needed(page: Path) -> set[str]:
    """The programs that its examples use, beside those that the README asks for."""
    return {first or other for first, other in PROGRAMS.findall(page.read_text("utf-8"))}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.needs(*sorted(needed(page))) if needed(page) else ())
        for page in PAGES
    ],
    ids=lambda page: str(page.name),
)
def test_examples_do_what_the_page_says(page: Path, served: Server, tmp_path: Path) -> None:
    run_page(page, served, tmp_path)
