"""`engine show`: defaults, origins, no secret; what it prints bare is the same configuration."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from engine.config.effective import LocatedValue
from engine.config.load import Loaded, load
from engine.config.source.document import parse_document
from engine.config.yaml_text import render_yaml
from tests.tables import each
from tests.unit.cli.outputs import view_of
from tests.unit.cli.running import engine, plain
from tests.unit.config.compile.test_compile import PLANS, view
from tests.unit.config.folders import ENVIRON, NOW, SECRET, TextSnapshot, provider, write

__all__ = ["plain"]

LITERAL = "sk-" + "a1b2c3d4" * 4


def bare(folder: Path, into: Path) -> Path:
    """What `show --bare` makes of `folder`, as a folder."""
    into.mkdir()
    for name in ("routes.yaml", "providers.yaml", "keys.yaml"):
        if (folder / name).exists():
            result = engine("show", folder, "--bare", "--file", name)
            assert (result.exit_code, result.stderr) == (0, "")
            (into / name).write_text(result.stdout, "utf-8")
    return into


def plan_of(loaded: Loaded) -> Any:
    """The plan without its fingerprint and the lines that rules stand on."""
    assert loaded.plan is not None
    whole = view(loaded.plan)
    del whole["fingerprint"]
    text = json.dumps(whole)
    return json.loads(
        text, object_hook=lambda item: {k: v for k, v in item.items() if k != "where"}
    )


@each("folder", sorted(PLANS.iterdir()))
def test_what_is_shown_bare_compiles_to_the_same_plan(folder: Path, tmp_path: Path) -> None:
    check_bare(folder, tmp_path)


def check_bare(folder: Path, tmp_path: Path) -> None:
    again = bare(folder, tmp_path / "again")
    shown, written = (load(side, ENVIRON, NOW) for side in (again, folder))
    assert plan_of(shown) == plan_of(written)
    assert shown.config.providers == written.config.providers
    assert engine("show", again, "--bare").stdout == engine("show", folder, "--bare").stdout


def test_text(snapshot: SnapshotAssertion) -> None:
    result = engine("show", PLANS / "routing")
    assert result.stdout == snapshot(extension_class=TextSnapshot)


def test_every_origin_is_the_line_that_says_so() -> None:
    folder = PLANS / "routing"
    shown = view_of("show", engine("show", folder, "--format", "json"))
    lines = {f.name: f.read_text("utf-8").splitlines() for f in folder.iterdir()}
    checked = 0

    def look(value: Any) -> None:
        nonlocal checked
        if isinstance(value, dict) and set(value) == {"value", "where"}:
            if value["where"] != "default":
                file, _, line = value["where"].rpartition(":")
                assert json.dumps(value["value"]).strip('"') in lines[file][int(line) - 1]
                checked += 1
        else:
            for inner in value.values() if isinstance(value, dict) else value:
                look(inner)

    look(shown["files"])
    assert checked > 50


@pytest.mark.parametrize("words", [("--endpoint", "images_edits"), ("--provider", "second"), ("--provider", "first", "--endpoint", "images_edits")])  # fmt: skip
def test_narrowed(words: tuple[str, ...], snapshot: SnapshotAssertion) -> None:
    result = engine("show", PLANS / "routing", *words, "--bare")
    assert result.stdout == snapshot(extension_class=TextSnapshot)


@each("words", [(), ("--bare",), ("--format", "json"), ("--format", "json", "--bare")])  # fmt: skip
def test_no_secret_is_shown(words: tuple[str, ...], tmp_path: Path) -> None:
    """Neither one of the environment nor one that was written down, with a comment to allow it."""
    text = provider(
        credentials={"api_key": {"env": "OPENAI_API_KEY"}, "file": {"file": "secret.txt"}},
        headers={"authorization": "Bearer {{ credentials.api_key }}", "x-api-key": "hunter2"},
        variables={"region": {"env": "OPENAI_API_KEY", "default": "eu"}},
    )
    text = text.replace(
        "x-api-key:", f"x-other: {LITERAL}  # engine: ignore[X218] a test\n      x-api-key:"
    )
    (tmp_path / "secret.txt").write_text(SECRET)
    result = engine("show", write(tmp_path, providers=text), *words)
    assert result.exit_code == 0, result.output
    assert "OPENAI_API_KEY" in result.stdout
    for secret in (SECRET, LITERAL, "hunter2"):
        assert secret not in result.output
    assert ("2 values may be secrets" in result.stderr) is ("--bare" in words)


SCALARS = (
    st.text(max_size=12) | st.sampled_from(["no", "1.0", "0o7", "1:30", "a: b", "a #b", "- x", "~", "2023-01-01", "=", "<<", "y", "1e3", "+1", "a:", " a", "10m", "{a"])
    | st.booleans() | st.none() | st.integers(-(10**15), 10**15)
)  # fmt: skip
KEYS = st.text(max_size=8) | st.sampled_from(["on", "null", "1", "a b", "? a", "a: b"])
DATA = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(deadline=None, max_examples=15)
@given(DATA)
def test_yaml_reads_back_as_what_was_written(data: dict[str, Any]) -> None:
    for text in (render_yaml(data), render_yaml(sourced(data))):
        document, found = parse_document("x.yaml", text.encode("utf-8"))
        assert document is not None, text
        assert (document.data, found) == (data, []), text
        assert yaml.safe_load(text) == data


def sourced(value: Any) -> Any:
    """`value` with one origin for every scalar, so that it is written on as few lines as fit."""
    if isinstance(value, dict):
        return {key: sourced(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [sourced(inner) for inner in value]
    return LocatedValue(value, "x.yaml:1")


SERVER = """version: 1
accounts:
  database: {env: DATABASE_URL}
  vault_keys: [{file: vault.key}]
admin: {oidc: {issuer: https://login.example.com, client_id: orqen, client_secret: {env: SECRET}}}
"""


def test_server_yaml_is_shown_with_its_defaults_and_without_what_it_names(tmp_path: Path) -> None:
    folder = write(tmp_path, server=SERVER)
    (folder / "vault.key").write_text(SECRET)
    text = engine("show", folder, "--file", "server.yaml").stdout
    assert "provider_keys: account_then_operator  # default" in text
    assert "client_secret: {env: SECRET}  # server.yaml:5" in text
    assert SECRET not in text
    view = view_of("show", engine("show", folder, "--format", "json"))
    assert view["files"]["server.yaml"]["admin"]["port"] == {"value": 8081, "where": "default"}
    (folder / "server.yaml").write_text(
        engine("show", folder, "--bare", "--file", "server.yaml").stdout
    )
    again = engine("show", folder, "--bare", "--file", "server.yaml").stdout
    assert again == (folder / "server.yaml").read_text()
