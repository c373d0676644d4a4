"""Files that a configuration names: where each is looked for, and why one cannot be read."""

import os
import re
from pathlib import Path

from engine.config.source.files import unreadable_reason
from engine.config.source.masking import is_path

ABSENT = "is not there"


def describe_unreadable(path: Path, error: OSError) -> str:
    """What to say of a file that could not be read, after its name."""
    is_absent = isinstance(error, FileNotFoundError) and not path.is_symlink()
    return ABSENT if is_absent else f"cannot be read: {unreadable_reason(path, error)}"


def expected_path(directory: Path, name: str) -> str:
    """Where a file called `name` is looked for, unless the name could be a secret itself."""
    if is_path(name):
        return f", at {os.path.abspath(directory / name)}"
    return f", in {os.path.abspath(directory)}"


def path_hint(name: str) -> str:
    """What to do about a path that a shell would expand; "" when there is nothing to expand."""
    if name.startswith("~"):
        return "`~` is not expanded here: write the whole path"
    if re.search(r"\$\w|\$\{|%\w+%", name):
        return "variables are not expanded here: write the whole path"
    return ""
