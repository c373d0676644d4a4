"""`engine explain`: what each finding means, with the example that tests run."""

import pytest
from click.testing import CliRunner, Result
from syrupy.assertion import SnapshotAssertion

from engine.cli import main
from engine.config.diagnostics.codes import FINDING_KINDS, RETIRED
from engine.config.examples import example
from tests.tables import each
from tests.unit.cli.outputs import view_of
from tests.unit.config.folders import TextSnapshot


def explain(*words: str) -> Result:
    result = CliRunner().invoke(main, ["explain", *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("code", ["X201", "X205", "F001"])
def test_a_finding_explained(code: str, snapshot: SnapshotAssertion) -> None:
    assert explain(code).stdout == snapshot(extension_class=TextSnapshot)


@each("code", FINDING_KINDS)
def test_every_finding_is_explained_by_its_own_report(code: str) -> None:
    result = explain(code)
    assert result.exit_code == 0
    assert f"[{code}]: " in result.stdout or example(code).elsewhere
    assert result.stdout.startswith(
        f"{code} {FINDING_KINDS[code].name} ({FINDING_KINDS[code].severity})\n"
    )


@each("word", ["X201", "x201", "unknown-provider", "Unknown-Provider"])
def test_a_finding_is_known_by_code_and_name_in_any_case(word: str) -> None:
    assert explain(word).stdout == explain("X201").stdout


@each(
    ("word", "said"),
    [
        ("X2O1", "did you mean `X201`?"),
        ("unknown-providr", "did you mean `unknown-provider`?"),
        ("model_not_found", "an error of a request: docs/errors.md"),
        ("rate_limited", "an error of a request: docs/errors.md"),
        ("nothing-like-it", "`engine explain --list` has all of them"),
        *((code, "a code is never used again") for code in sorted(RETIRED)),
    ],
)
def test_what_is_not_known_is_said_with_the_nearest(word: str, said: str) -> None:
    result = explain(word)
    assert result.exit_code == 2
    assert said in result.stderr


def test_the_list_has_every_code_on_a_line_of_its_own() -> None:
    lines = explain("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(FINDING_KINDS)


def test_as_data() -> None:
    every = view_of("explain", explain("--list", "--format", "json"))["rules"]
    assert [rule["code"] for rule in every] == list(FINDING_KINDS)
    (one,) = view_of("explain", explain("X205", "--format", "json"))["rules"]
    assert one["ignorable"] is True
    assert "error" not in one["example"]["good"]
    assert one["example"]["told"].startswith("warning[X205]: ")


def test_no_retired_code_is_in_use() -> None:
    assert not RETIRED & set(FINDING_KINDS)
