"""What commands print fits a terminal of 80 columns, and one thing is not told as several."""

from pathlib import Path

from engine.cli import main
from engine.config.load import load
from engine.report.routing import render_text, view_routes
from tests.servers import ROOT
from tests.tables import each
from tests.unit.cli.running import engine, plain
from tests.unit.config.folders import minimal, write

__all__ = ["plain"]
OTHER = """  other:
    base_url: https://other.example/v1
    credentials: {api_key: {env: OTHER_API_KEY}}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    endpoints: {chat_completions: /chat}
"""


@each("command", ["", *main.commands])
def test_help_fits_a_terminal(command: str) -> None:
    text = engine(*([command] if command else []), "-h").stdout
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_a_table_fits_a_terminal_and_loses_nothing() -> None:
    loaded = load(ROOT, {}, 0.0)
    assert loaded.plan is not None
    view = view_routes(loaded.plan, loaded.documents)
    wide, narrow = render_text(view), render_text(view, 80)
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines()))
    assert narrow.split() == wide.split()


def test_what_works_here_is_shown_alone(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        routes=minimal("routes") + "  - {model: fast, provider: other}\n",
        providers=minimal("providers") + OTHER,
    )
    text = engine("routes", "--configured", folder).stdout
    assert "openai" in text
    assert "other" not in text
    assert "other" in engine("routes", folder).stdout


def test_one_is_not_told_as_several(tmp_path: Path) -> None:
    assert "1 provider," in engine("check", write(tmp_path)).stdout
