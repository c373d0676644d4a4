"""The examples of each page do what it says."""

from pathlib import Path

import pytest

from tests.e2e.docs.examples import CURL, run_page
from tests.e2e.docs.test_docs import PAGES
from tests.servers import Server


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=CURL if "curl " in page.read_text("utf-8") else ())
        for page in PAGES
    ],
    ids=lambda page: str(page.name),
)
def test_examples_do_what_the_page_says(page: Path, served: Server, tmp_path: Path) -> None:
    run_page(page, served, tmp_path)
