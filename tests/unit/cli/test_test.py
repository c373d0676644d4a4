"""`engine test`: what it runs, how it tells a failure, and what servers for tests read."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.unit.cli.outputs import view_of
from tests.unit.cli.running import engine, plain
from tests.unit.config.folders import TextSnapshot, minimal, write

__all__ = ["plain"]

ROUTES = (
    minimal("routes")
    + """  - {model: fast, provider: openai, as: gpt-4o-mini}
tests:
  - {endpoint: embeddings, model: gpt-3, expect: {provider: openai}}
  - endpoint: chat_completions
    model: fast
    expect: {provider: openai, model: fast, url: "https://api.example.com/chat"}
  - {endpoint: chat_completions, model: claude, expect: {provider: openai}}
  - {endpoint: chat_completions, model: gpt-3, expect: {error: model_not_found, then: [openai]}}
"""
)
MORE = """# tests of the team
tests:
  - {endpoint: embeddings, model: fast, expect: {model: gpt-4o-mini}}
  - {endpoint: embeddings, model: "<a>&\\x07\\"", expect: {provider: openai}}
"""


@pytest.fixture
def tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(write(tmp_path, routes=ROUTES))
    (tmp_path / "more.yaml").write_text(MORE)
    return tmp_path


@pytest.mark.parametrize("words", [(), ("-v",), ("more.yaml", "-v"), ("--run", "gpt-3$", "-v")])
def test_text(words: tuple[str, ...], tested: Path, snapshot: SnapshotAssertion) -> None:
    result = engine("test", tested, *words)
    assert result.exit_code == 1
    assert result.stdout == snapshot(extension_class=TextSnapshot)


def test_json(tested: Path) -> None:
    view = view_of("test", engine("test", "more.yaml", "--format", "json"))
    assert view["summary"] == {"passed": 2, "failed": 4, "left_out": 0}
    assert [t["where"] for t in view["tests"]][-2:] == ["more.yaml:3", "more.yaml:4"]
    failed = view["tests"][1]
    assert [d["name"] for d in failed["differences"]] == ["url", "model"]
    assert failed["rule"]["where"] == "routes.yaml:12"


def test_junit_is_xml_whatever_a_model_is_called(tested: Path) -> None:
    result = engine("test", "more.yaml", "--format", "junit")
    root = ElementTree.fromstring(result.stdout)
    cases = root.findall(".//testcase")
    assert len(cases) == 6
    assert root.get("failures") == str(len(root.findall(".//failure"))) == "4"
    assert cases[-1].get("name") == 'embeddings <a>&\ufffd"'
    assert cases[-1].get("line") == "4"


def test_a_configuration_that_only_fails_its_tests_is_tested(tested: Path) -> None:
    assert engine("check", tested).exit_code == 1
    assert "4 failed" not in engine("test", tested).stdout
    assert "3 failed, 1 passed" in engine("test", tested).stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tests: [{endpoint: embedings, model: m, expect: {provider: openai}}]", "did you mean `embeddings`?"),
        ("tests: [{endpoint: embeddings, model: m, expect: {provder: openai}}]", "unknown key `provder`"),
        ("tests: []\nmodels: []", "unknown key `models`"),
        ("tests: [", "Y001"),
        ("", "Y007"),
    ],
)  # fmt: skip
def test_a_file_of_tests_with_errors_is_not_run(text: str, words: str, tested: Path) -> None:
    (tested / "bad.yaml").write_text(text)
    result = engine("test", tested, "bad.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert words in result.stderr
    assert "bad.yaml" in result.stderr


def test_the_shipped_tests_pass() -> None:
    assert engine("test", "--run", "embeddings").exit_code == 0
