"""Runs a command in this process, as if on a machine where nothing is set."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from tests.unit.config.folders import SECRET


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine: no provider key, no colour, one width."""
    for name in list(os.environ):
        if name.endswith(("_KEY", "_URL")) or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


def engine(*words: str | Path, stdin: bytes | None = None) -> Result:
    """Run the command in this process; an exception is a failure of the test."""
    result = CliRunner().invoke(main, [str(word) for word in words], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
