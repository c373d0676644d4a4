"""Checks that a tag can be released, and prints its notes: the section of the change log.

python3 .ci/release.py v0.1.0
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSION = re.compile(r'__version__ = "([^"]+)"')


def notes(tag: str) -> str:
    """The text of the tag's section of CHANGELOG.md; ends the program if the tag is not that of the code."""
    found = VERSION.search((ROOT / "engine/__init__.py").read_text("utf-8"))
    if found is None or tag != f"v{found[1]}":
        sys.exit(f"the tag is {tag}, and the version in engine/__init__.py {found and found[1]}")
    log = (ROOT / "CHANGELOG.md").read_text("utf-8")
    section = re.search(
        rf"^## \[{re.escape(found[1])}\].*\n([\s\S]+?)(?=^## |\Z)", log, re.MULTILINE
    )
    if section is None:
        sys.exit(f"CHANGELOG.md has no section [{found[1]}]")
    return section[1].strip()


if __name__ == "__main__":
    print(notes(sys.argv[1]))
