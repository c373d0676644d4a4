"""A bug in a command is told as one, and its words stay inside."""

import errno

import click
import pytest
from click.testing import CliRunner, Result

from engine import __version__
from engine.cli.crash import Commands
from tests.tables import each

SECRET = "sk-of-a-caller"
FAULTS: dict[str, Exception] = {
    "bug": ValueError(SECRET),
    "deep": RecursionError(SECRET),
    "denied": PermissionError(errno.EACCES, "Permission denied", "keys.yaml"),
    "usage": click.UsageError("no such thing"),
}


@click.group(cls=Commands)
@click.option("--debug", is_flag=True, envvar="ENGINE_DEBUG")
def group(debug: bool) -> None:
    pass


@group.command()
@click.argument("fault", type=click.Choice(list(FAULTS)))
def fail(fault: str) -> None:
    raise FAULTS[fault]


def run(*words: str, **environ: str) -> Result:
    return CliRunner().invoke(group, words, env=environ)


@each("fault", ["bug", "deep"])
def test_a_bug_is_one_line_and_exit_code_2(fault: str) -> None:
    result = run("fail", fault)
    assert result.exit_code == 2
    assert result.stdout == ""
    name = type(FAULTS[fault]).__name__
    assert result.stderr.startswith(f"engine: this is a bug in engine {__version__}: {name} at ")
    assert "unit/cli/test_crash.py:" in result.stderr
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.stderr


@pytest.mark.parametrize(
    ("words", "environ"), [(("--debug",), {}), ((), {"ENGINE_DEBUG": "1"})], ids=["option", "variable"]
)  # fmt: skip
def test_a_traceback_is_for_who_asks(words: tuple[str, ...], environ: dict[str, str]) -> None:
    result = run(*words, "fail", "bug", **environ)
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback ")
    assert "this is a bug" in result.stderr


def test_what_the_system_refuses_is_no_bug() -> None:
    result = run("fail", "denied")
    assert result.exit_code == 2
    assert result.stderr == "engine: Permission denied: keys.yaml\n"


def test_a_wrong_use_is_no_bug() -> None:
    result = run("fail", "usage")
    assert result.exit_code == 2
    assert "no such thing" in result.stderr
    assert "this is a bug" not in result.stderr
