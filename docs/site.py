"""Copies the pages, and the files that they link to, to build/pages, from which `make site` makes a site."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]
TO = ROOT / "build/pages"


def linked(page: Path) -> set[Path]:
    """The files of this repository that a page links to or shows, but for other pages."""
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    found = {(page.parent / link).resolve() for link in links}
    return {path for path in found if path.suffix != ".md" and path.is_file()}


if __name__ == "__main__":
    shutil.rmtree(TO, ignore_errors=True)
    for path in {*PAGES, *(file for page in PAGES for file in linked(page))}:
        copy = TO / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
