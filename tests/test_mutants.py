"""What pytest does in a run with a mutant, which may leave a thread behind."""

import os
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

FILES = {
    "conftest.py": "from tests.mutants import plugin\n\nplugin.ENDING_SECONDS = 0.1\n",
    "test_a.py": """
import threading
import time

def test_not_chosen():
    assert False

def test_leaves_a_thread():
    threading.Thread(target=time.sleep, args=(90,)).start()
""",
    "test_b.py": "def test_first():\n    pass\n",
}
CHOSEN = ["test_b.py::test_first", "test_a.py::test_leaves_a_thread"]


def test_a_process_that_does_not_end_is_a_hang_of_the_last_of_the_chosen_tests(
    tmp_path: Path,
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    log, order = tmp_path / "log", tmp_path / "order"
    order.write_text("".join(f"3000 {test}\n" for test in CHOSEN))
    environ = {name: value for name, value in os.environ.items() if name != "MUTANTS_SEEN"}
    environ |= {"MUTANTS_LOG": str(log), "MUTANTS_ORDER": str(order)}
    # Unbuffered: the process may be ended before it writes out what it has printed.
    command = [sys.executable, "-u", "-m", "pytest", "-q", "-c", os.devnull]
    command += ["--rootdir", str(tmp_path), "-p", "no:cacheprovider", "-p", "no:syrupy"]
    command += ["-p", "no:hypothesispytest"]
    done = subprocess.run(
        [*command, str(tmp_path)],
        cwd=ROOT,
        env=environ | {"PYTEST_PLUGINS": "tests.mutants.plugin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    lines = log.read_text().splitlines()
    assert lines[:2] == CHOSEN
    assert any(line.startswith("Timeout (") for line in lines)
    assert done.returncode == 1
