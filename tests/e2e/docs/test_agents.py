"""The lines of docs/agents.md are those with which `make clients` runs agents and SDKs."""

import re
from pathlib import Path

import pytest

from tests.conformance.clients.case import CASES
from tests.conformance.clients.runtimes import environment
from tests.e2e.docs.examples import WRITTEN_KEY, WRITTEN_URL, Example, examples
from tests.servers import ROOT

PAGE = ROOT / "docs/agents.md"
COMPARED = [one for one in examples(PAGE) if one.mark.startswith("client ")]
GIVEN = environment(Path(), Path(), WRITTEN_URL, WRITTEN_KEY, Path())


def used(line: str, script: str) -> bool:
    """Whether a script has the line, or gets the variable that it sets and does not take it away."""
    here = line.replace(WRITTEN_KEY, "$KEY")
    here = re.sub(rf'"{WRITTEN_URL}(/\w+)"\s*}}', r"`${process.env.BASE}\1` }", here)
    if here.replace(WRITTEN_URL, "$BASE") in script or here in script:
        return True
    name, _, value = line.removeprefix("export ").partition("=")
    return GIVEN.get(name) == value and not re.search(
        rf"unset .*{name}|base_?url|BASE\b", script, re.I
    )


@pytest.mark.parametrize("example", COMPARED, ids=lambda example: str(example.place))
def test_each_line_is_used_by_the_cases_that_it_names(example: Example) -> None:
    for name in example.mark.split()[1:]:
        script = (CASES / name).read_text("utf-8")
        lines = [line for line in example.text.splitlines() if line]
        assert [line for line in lines if not used(line, script)] == [], name


def test_a_line_that_no_case_uses_is_noticed() -> None:
    script = (CASES / "claude_code_print.sh").read_text("utf-8")
    assert used("export ANTHROPIC_AUTH_TOKEN=sk-orq-...", script)
    assert not used("export ANTHROPIC_API_KEY=sk-orq-...", script)
    assert not used("export OPENAI_BASE_URL=http://127.0.0.1:8080", script)
    assert len(COMPARED) >= 6
