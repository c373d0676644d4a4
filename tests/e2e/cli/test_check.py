"""`engine check` as a process: on a terminal, and what it imports."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import shown_on_a_terminal
from tests.servers import ROOT
from tests.unit.cli.test_check import BROKEN, OTHERS
from tests.unit.config.folders import write


@pytest.mark.parametrize(
    ("environ", "coloured"), [({}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, False)]
)
def test_a_terminal_is_asked_what_it_can(
    environ: dict[str, str], coloured: bool, tmp_path: Path
) -> None:
    write(tmp_path, routes=BROKEN)
    text = shown_on_a_terminal({"COLUMNS": "40", **environ}, "check", folder=tmp_path)
    assert ("\x1b[" in text) is coloured
    bare = re.sub(r"\x1b\[[0-9;]*m", "", text)
    finding = bare.partition("found ")[0]
    assert max(len(line) for line in finding.splitlines()) <= 40


def test_a_check_imports_nothing_of_the_other_commands() -> None:
    script = "import sys; from engine.cli import main; main(['check'], standalone_mode=False)"
    script = f"import sys, atexit; atexit.register(lambda: print(*sys.modules)); {script}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)  # fmt: skip
    loaded = done.stdout.splitlines()[-1].split()
    assert "engine.report.text" in loaded
    assert [name for name in loaded if name.startswith(OTHERS)] == []
