"""Writing into a file that is somebody's: what it was before stays, whole, and no writer loses a key."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from engine.cli.files import replace_file
from engine.config.source.files import read_file

NOBODY = 65534
IS_ROOT = os.geteuid() == 0


def new_key(folder: Path, name: str) -> "subprocess.Popen[str]":
    line = [sys.executable, "-m", "engine", "keys", "new", name, "--write", "-C", str(folder)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def names(file: Path) -> list[str]:
    return [entry["name"] for entry in yaml.safe_load(file.read_text())["keys"]]


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o664, 0o440])
def test_mode_owner_and_group_stay(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("before")
    file.chmod(mode)
    if IS_ROOT:
        os.chown(file, 0, NOBODY)
    before = file.stat()
    replace_file(file, b"after")
    after = file.stat()
    assert read_file(file) == b"after"
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert os.listdir(tmp_path) == ["keys.yaml"]


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    replace_file(tmp_path / "keys.yaml", b"new")
    assert stat.S_IMODE((tmp_path / "keys.yaml").stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="extended attributes as Linux has them")
def test_extended_attributes_stay(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("before")
    try:
        os.setxattr(file, "user.note", b"ours")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    replace_file(file, b"after")
    assert os.getxattr(file, "user.note") == b"ours"


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
    runs = [new_key(folder if number % 2 else shared, name) for number, name in enumerate(made)]
    for run in runs:
        assert run.communicate(timeout=60)[1]
        assert run.returncode == 0
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
    run = new_key(tmp_path, "a")
    assert "named pipe" in run.communicate(timeout=20)[1]
    assert run.returncode == 2
