"""What goes wrong in a forked process of tests is reported, and fails the run."""

import os
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

FILES = {
    "test_a.py": "import os\n\ndef test_before():\n    pass\n\ndef test_dies():\n    os._exit(3)\n",
    "test_b.py": "def test_fails():\n    assert 1 == 2\n\ndef test_passes(tmp_path):\n    print('said')\n",
    "test_c.py": """
import pytest

@pytest.fixture(scope="session")
def shared():
    yield 1
    raise ValueError("at the end of the session")

@pytest.fixture(scope="module")
def started():
    return []

def test_first(shared, started):
    started.append(1)

def test_second(shared, started):
    assert started == [1]
""",
}


def test_failures_of_tests_of_fixtures_and_of_processes_are_all_reported(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.forked", "--processes", "2"]
    command += ["-p", "no:cacheprovider", "-p", "no:syrupy", "-p", "no:hypothesispytest"]
    command += ["-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "_ test_a.py::test_dies _" in done.stdout
    for why in ("its process ended with exit code 3", "assert 1 == 2", "at the end of the session"):
        assert why in done.stdout
    assert "2 failed, 4 passed, 1 error" in done.stdout
