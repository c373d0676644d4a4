"""`engine prices`: a list becomes a prices.yaml, and the price of a model is shown."""

import os
from pathlib import Path

import pytest

from tests.unit.cli.running import engine
from tests.unit.config.test_price_lists import LISTS, PROVIDERS, ROUTES

AT = 1_790_000_000  # 2026-09-21


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "providers.yaml").write_text(PROVIDERS)
    (tmp_path / "list.json").write_bytes((LISTS / "by_model.json").read_bytes())
    os.utime(tmp_path / "list.json", (AT, AT))
    return tmp_path


def test_a_list_is_imported_once_and_its_prices_are_shown(folder: Path) -> None:
    words = ("prices", "import", folder / "list.json", "--provider", "acme=acme_ai", "-C", folder)
    done = engine(*words)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(
        "wrote 12 prices of 2 providers, and those of service tiers batch, fast, flex, priority, ultrafast to"
    )
    assert "skipped 1 model: no model rule sends them: openai dall-e-3" in done.stdout
    text = (folder / "prices.yaml").read_text()
    assert text.startswith('version: 1\nsource: "list.json"\ndate: 2026-09-21\n')
    assert engine("fmt", "--check", folder / "prices.yaml").exit_code == 0
    again = engine(*words)
    assert (again.exit_code, "--replace" in again.stderr) == (2, True)
    (folder / "prices.yaml").write_text("broken: [")
    assert engine(*words, "--replace", "--source", "the web", "--date", "2026-01-31").exit_code == 0
    assert "the web" in (folder / "prices.yaml").read_text()
    shown = engine("prices", "show", "acme/big-1", "-C", folder).stdout.splitlines()
    assert shown[0].startswith("prices 2026-01-31-")
    assert shown[1].startswith("acme big-1: input_usd_per_million 3, cache_write_usd_per_million 3.75, output_usd_per_million 15 (prices.yaml:")  # fmt: skip
    long = engine("prices", "show", "acme/claude-opus-4-6", "-C", folder).stdout
    assert "output_usd_per_million 25; above 200k of input input_usd_per_million 10" in long
    assert "acme claude-opus-4-6 in fast: input_usd_per_million 30" in long
    unknown = engine("prices", "show", "gpt-5", "-C", folder)
    assert (unknown.exit_code, "openai gpt-5: no price" in unknown.stdout) == (2, True)
    assert engine("prices", "show", "none", "-C", folder).exit_code == 2


@pytest.mark.parametrize("words", [("--date", "yesterday"), ("--source", ""), ("--provider", "acme")])  # fmt: skip
def test_what_would_be_wrong_is_not_written(folder: Path, words: tuple[str, str]) -> None:
    (folder / "prices.yaml").write_text("kept")
    done = engine("prices", "import", folder / "list.json", "--replace", *words, "-C", folder)
    expected = 0 if words == ("--source", "") else 2  # the name of the file takes its place
    assert done.exit_code == expected, done.output
    assert ((folder / "prices.yaml").read_text() == "kept") == (expected == 2)


def test_a_file_that_is_no_list_is_refused(folder: Path) -> None:
    done = engine("prices", "import", folder / "routes.yaml", "-C", folder)
    assert (done.exit_code, "is no price list" in done.stderr) == (2, True)
    assert engine("prices", "show", "gpt-4o", "-C", folder).exit_code == 2


def test_the_prices_that_a_budget_asks_for_can_be_imported(folder: Path) -> None:
    (folder / "keys.yaml").write_text(
        f"version: 1\nlimits: {{budgets: [{{usd: 1, per: day}}]}}\nkeys:\n  - {{name: app, sha256: {'0' * 63}1}}\n"
    )
    done = engine("prices", "import", folder / "list.json", "-C", folder)
    assert done.exit_code == 0, done.output


def test_a_list_of_which_nothing_can_be_used_erases_no_prices(folder: Path) -> None:
    (folder / "prices.yaml").write_text("kept")
    (folder / "list.json").write_text(
        '{"m": {"litellm_provider": "other", "input_cost_per_token": 0.1}}'
    )
    done = engine("prices", "import", folder / "list.json", "--replace", "-C", folder)
    assert (done.exit_code, (folder / "prices.yaml").read_text()) == (2, "kept")
    assert "no provider of providers.yaml has this name" in done.stderr
