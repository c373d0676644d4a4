"""Writers of one file, each a process."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.processes import Command, Process
from tests.unit.cli.test_files import IS_ROOT, names


def new_key(folder: Path, name: str, errors: Path) -> Process:
    words = ("engine", "keys", "new", name, "--write", "-C", str(folder))
    return Process(Command(words, Path(os.devnull), errors, {}))


@pytest.mark.parametrize("target", ["shared/keys.yaml", "../shared/keys.yaml"])
def test_a_link_stays_a_link_and_writers_take_turns(target: str, tmp_path: Path) -> None:
    """Six at once, half of them by the link: every key is there afterwards."""
    folder, shared = tmp_path / "folder", (tmp_path / "folder" / target).resolve().parent
    folder.mkdir()
    shared.mkdir(exist_ok=True)
    (shared / "keys.yaml").write_text(
        "version: 1\nkeys:\n  - {name: first, sha256: %s}\n" % ("a" * 64)
    )
    (shared / "keys.yaml").chmod(0o640)
    (folder / "keys.yaml").symlink_to(target)
    made = [f"key-{number}" for number in range(6)]
    runs = [
        new_key(folder if number % 2 else shared, name, tmp_path / name)
        for number, name in enumerate(made)
    ]
    assert [run.wait(60) for run in runs] == [0] * len(made)
    assert all((tmp_path / name).read_text() for name in made)
    assert os.readlink(folder / "keys.yaml") == target
    assert sorted(names(shared / "keys.yaml")) == ["first", *made]
    assert stat.S_IMODE((shared / "keys.yaml").stat().st_mode) == 0o640


AS_NOBODY = """
import os, sys, pathlib
from engine.cli.files import replace_file
os.setuid(65534)
try:
    replace_file(pathlib.Path(sys.argv[1]), b"after")
except PermissionError as error:
    print(error.strerror)
"""


@pytest.mark.skipif(not IS_ROOT, reason="needs another user")
def test_a_file_whose_owner_would_change_is_left_alone() -> None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "keys.yaml"
        file.write_text("before")
        file.chmod(0o664)
        file.parent.chmod(0o777)
        line = [sys.executable, "-c", AS_NOBODY, str(file)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert "lose its owner 0:0" in done.stdout, done.stderr
        assert file.read_text() == "before"
        assert os.listdir(name) == ["keys.yaml"]


def test_keys_new_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys.yaml")
    run = new_key(tmp_path, "a", tmp_path / "errors")
    assert run.wait(20) == 2
    assert "named pipe" in (tmp_path / "errors").read_text()
