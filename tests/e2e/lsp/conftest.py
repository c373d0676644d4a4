"""One language server for all tests, as an editor keeps one for a project."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lsp.editor import Editor
from tests.unit.config.folders import ENVIRON, SECRET, write


@pytest.fixture(scope="session")
def editor() -> Iterator[Editor]:
    """An editor whose columns are UTF-16 code units, as most editors count."""
    editor = Editor(environ=ENVIRON)
    yield editor
    code, errors = editor.quit()
    assert (code, errors) == (0, "")
    assert editor.messages == [], "the server told of an error of its own"
    assert SECRET not in str(editor.published)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small valid configuration."""
    return write(tmp_path)
