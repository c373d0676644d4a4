"""`engine fmt` as a command: which files, what it says, and what it leaves alone."""

import stat
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.unit.cli.running import engine, plain
from tests.unit.config.folders import TextSnapshot, minimal, write

__all__ = ["plain"]

MESSY = minimal("routes").replace("  - {prefix:", "-   { prefix:") + "\n\n# the end"
TIDY = minimal("routes") + "\n# the end\n"


def test_files_are_laid_out_once_and_keep_their_mode(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=MESSY)
    file = folder / "routes.yaml"
    file.chmod(0o640)
    first = engine("fmt", folder)
    assert (first.exit_code, first.stdout) == (0, f"formatted {file}\n")
    assert file.read_text() == TIDY
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert engine("fmt", folder).stdout == ""
    assert sorted(path.name for path in folder.iterdir()) == ["providers.yaml", "routes.yaml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=MESSY)
    (folder / "link.yaml").symlink_to("routes.yaml")
    assert engine("fmt", folder / "link.yaml").exit_code == 0
    assert (folder / "link.yaml").is_symlink()
    assert (folder / "routes.yaml").read_text() == TIDY


def test_check_and_diff_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    monkeypatch.chdir(write(tmp_path, routes=MESSY))
    assert engine("fmt", "--check").stdout == "would format routes.yaml\n"
    result = engine("fmt", "--diff", ".")
    assert result.exit_code == 1
    assert result.stdout == snapshot(extension_class=TextSnapshot)
    assert Path("routes.yaml").read_text() == MESSY


def test_stdin_to_stdout() -> None:
    result = engine("fmt", "-", stdin=MESSY.replace("\n", "\r\n").encode())
    assert (result.exit_code, result.stdout_bytes) == (0, TIDY.replace("\n", "\r\n").encode())
    assert engine("fmt", "-", "--check", stdin=MESSY.encode()).exit_code == 1
    assert engine("fmt", "-", "--check", stdin=TIDY.encode()).exit_code == 0
    assert engine("fmt", "-", "--diff", stdin=MESSY.encode()).stdout.startswith("--- stdin")


def test_a_file_that_is_not_yaml_is_left_and_the_others_are_not(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=MESSY, providers="a: [")
    result = engine("fmt", folder)
    assert result.exit_code == 2
    assert "Y001" in result.stderr
    assert (folder / "providers.yaml").read_text() == "a: ["
    assert (folder / "routes.yaml").read_text() == TIDY


def test_a_layout_that_is_too_unusual_is_left(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("%YAML 1.2\n---\na:   1\n")
    result = engine("fmt", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "left as it is" in result.stderr
    assert file.read_text() == "%YAML 1.2\n---\na:   1\n"
