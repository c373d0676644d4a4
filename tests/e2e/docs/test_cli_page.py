"""The examples of cli.md: a file of its own, which runs beside the other pages."""

from pathlib import Path

from tests.e2e.docs.examples import CURL, run_page
from tests.e2e.docs.test_docs import DOCS
from tests.servers import Server


@CURL
def test_examples_do_what_the_page_says(served: Server, tmp_path: Path) -> None:
    run_page(DOCS / "cli.md", served, tmp_path)
