"""No command waits for what is no file."""

import os
from pathlib import Path

import pytest

from tests.processes import run_engine
from tests.unit.config.folders import write


@pytest.mark.parametrize("command", [("check",), ("serve", "--port", "1"), ("fmt", "--check")])
def test_no_command_waits_for_a_pipe(command: tuple[str, ...], tmp_path: Path) -> None:
    os.mkfifo(write(tmp_path).joinpath("keys.yaml"))
    done = run_engine(*command, tmp_path)
    assert done.returncode in (1, 2)
    assert "named pipe" in done.stdout + done.stderr
