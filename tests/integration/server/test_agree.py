"""`check` and `serve` are one road: with `--serve`, `check` passes exactly where `serve` starts."""

import os
import re
from pathlib import Path

import pytest

from engine.config.load import load, startup_problems
from engine.server.reload import read_folder
from engine.server.run import Options, prepare
from tests.processes import run_engine
from tests.unit.config.cases import CASES, FURTHER, NO_FILES, folder_of, write_files
from tests.unit.config.folders import fill

NO_KEYS = "version: 1\nkeys: []\n"


def agree(folder: Path) -> None:
    snapshot = read_folder(folder)
    _, problems = prepare(Options(folder, "127.0.0.1", 1, 1), snapshot)
    loaded = load(folder, os.environ, snapshot.read_at)
    passes = loaded.plan is not None and not startup_problems(loaded)
    assert passes == (not problems), problems


# All cases of files (F) and of what the environment lacks (E), where `serve` reads by itself; of other codes the example.
AGREEING = [case for case in CASES if case[0] in "EF" or case not in FURTHER]


def written(case: str, folder: Path, *, good: bool = False) -> Path:
    write_files(folder_of(case, good=good).texts, folder)
    return folder


@pytest.mark.parametrize("side", ["bad", "good"])
def test_every_code_of_the_corpus_agrees(side: str, tmp_path: Path) -> None:
    for number, case in enumerate(AGREEING):
        folder = written(case, tmp_path / case, good=side == "good")
        if number % 2 and not os.path.lexists(folder / "keys.yaml"):
            (folder / "keys.yaml").write_text(NO_KEYS)
        agree(folder)


@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_file_agrees(case: str, tmp_path: Path) -> None:
    NO_FILES[case](tmp_path)
    agree(fill(tmp_path))


@pytest.mark.parametrize(
    ("case", "cause"),
    [("E405", "providers.yaml:"), ("X209-url", "routes.yaml:"), ("X270", "no keys.yaml")],
)  # fmt: skip
def test_the_last_line_says_not_started_and_why(case: str, cause: str, tmp_path: Path) -> None:
    folder = written(case, tmp_path)
    assert run_engine("check", "--serve", folder).returncode == 1
    done = run_engine("serve", folder)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("engine: not started: ")
    assert cause in last


def test_warnings_are_told_at_the_start_too(tmp_path: Path) -> None:
    folder = written("X270", tmp_path)
    assert "warning[X270]" in run_engine("serve", folder).stderr


def test_the_last_line_counts_what_check_counts(tmp_path: Path) -> None:
    """Warnings too, although an error alone keeps the server from starting."""
    folder = written("X209-url", tmp_path)
    routes = folder / "routes.yaml"
    rule = "  - {prefix: same-, targets: [{provider: openai}, {provider: openai}]}\n"
    text = routes.read_text("utf-8")
    assert text.count("models:\n") == 1
    routes.write_text(text.replace("models:\n", f"models:\n{rule}"), "utf-8")
    words = re.compile(r"found \d+ errors?, 1 warning in \d files?")
    checked = words.search(run_engine("check", folder).stdout)
    served = words.search(run_engine("serve", folder).stderr)
    assert checked is not None
    assert served is not None
    assert served[0] == checked[0]
