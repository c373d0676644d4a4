"""Writing into a file that is somebody's: what it was before stays, whole, and no writer loses a key."""

import os
import stat
import sys
from pathlib import Path

import pytest

from engine.cli.files import replace_file
from engine.config.source.files import read_file
from tests.servers import parse_yaml
from tests.tables import each

NOBODY = 65534
IS_ROOT = os.geteuid() == 0


def names(file: Path) -> list[str]:
    return [entry["name"] for entry in parse_yaml(file.read_text())["keys"]]


@each("mode", [0o640, 0o600, 0o664, 0o440])
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
