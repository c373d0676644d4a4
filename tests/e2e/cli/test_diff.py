"""`engine diff` with a revision of git."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers import ROOT
from tests.unit.cli.running import engine
from tests.unit.cli.test_diff import KEYS


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the shipped files committed, and a change that is not."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "gateway"
    folder.mkdir()
    for name in ("routes.yaml", "providers.yaml"):
        shutil.copyfile(ROOT / name, folder / name)
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    file = folder / "routes.yaml"
    file.write_text(
        file.read_text("utf-8").replace(
            "{model: o1, provider: openai}", "{model: o1, provider: azure}"
        )
    )
    (folder / "keys.yaml").write_text(KEYS % ("a" * 64, "b" * 64))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.needs("git")
def test_a_revision_is_compared_with_the_folder(repository: Path) -> None:
    result = engine("diff", "git:HEAD", "--exit-code")
    assert result.exit_code == 1, result.stderr
    assert "openai -> azure" in result.stdout
    assert "callers need a key" in result.stdout
    assert engine("diff", "git:HEAD", "git:HEAD", "--exit-code").stdout == "no effect\n"
    assert [path.name for path in repository.iterdir() if path.name.startswith(".")] == [".git"]


@pytest.mark.needs("git")
@pytest.mark.parametrize("name", ["git:nothing", "git:", "git:--output=x", "git:-h", "nowhere", "git:HEAD~9"])  # fmt: skip
def test_what_is_neither_is_told(name: str, repository: Path) -> None:
    result = engine("diff", name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    assert not (repository / "x").exists()
