"""What `engine init` writes for chosen providers and endpoints, and what it says is to be done next."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.init import _ask
from tests.servers import parse_yaml
from tests.unit.cli.running import engine


def _models(folder: Path) -> set[str]:
    rules = parse_yaml((folder / "routes.yaml").read_text())["models"]
    return {rule.get("model") or rule["prefix"] for rule in rules}


def test_rules_are_for_the_endpoints_that_were_chosen(tmp_path: Path) -> None:
    words = ("--providers", "OpenAI", "--endpoints", "embeddings")
    assert engine("init", tmp_path / "new", *words).exit_code == 0
    expected = {"openai/", "text-embedding-3-", "text-embedding-ada-"}
    assert _models(tmp_path / "new") == expected


def test_the_variables_of_an_address_are_named_and_optional_ones_say_so(tmp_path: Path) -> None:
    engine("init", tmp_path / "new", "--providers", "azure,openai")
    lines = (tmp_path / "new/.env.example").read_text().splitlines()
    assert {"AZURE_OPENAI_API_KEY=", "AZURE_OPENAI_RESOURCE=", "OPENAI_API_KEY="} < {*lines}
    assert lines[lines.index("OPENAI_ORG_ID=") - 1] == "# optional"
    assert lines[lines.index("OPENAI_API_KEY=") - 1] != "# optional"


@pytest.mark.parametrize("is_set", [True, False])
def test_it_says_to_set_variables_if_one_is_not_set(
    is_set: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "value" if is_set else "")
    result = engine("init", tmp_path / "new", "--providers", "openai")
    assert (f"set what {tmp_path / 'new' / '.env.example'} names" in result.output) is not is_set


def test_a_name_with_a_typo_is_asked_for_again() -> None:
    runner = CliRunner()
    with runner.isolation(input="opnai\nopenai\nchat\nembeddings\n") as (output, _, _):
        assert _ask() == ("openai", "embeddings")
    text = output.getvalue().decode()
    assert "there is no provider `opnai`; did you mean `openai`?" in text
    assert text.count("endpoints, or all") == 2
