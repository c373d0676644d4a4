"""`engine route` and `engine routes` beyond their text: keys, origins, filters, and their JSON."""

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from engine.config.effective import fill_in, timeouts_of
from engine.config.model import parse_duration
from engine.load import load
from tests.cli.outputs import view_of
from tests.cli.running import engine, plain
from tests.config.folders import NOW, SECRET, TextSnapshot, provider, write
from tests.servers import ROOT

__all__ = ["plain"]

RULES = """version: 1
defaults: {timeouts: {idle: 3m}}
endpoints:
  chat_completions: {path: /v1/chat/completions, max_body: 1MiB}
  embeddings: {path: /v1/embeddings, timeouts: {total: 1h, connect: 2s}}
models:
  - prefix: gpt-
    provider: openai
    # a comment inside sk-aaaaaaaaaaaaaaaaaaaaaaaa
    endpoint: [chat_completions, embeddings]
  - {prefix: gpt-4, provider: openai}
"""
KEYS = f"""version: 1
keys:
  - {{name: all, sha256: "{"a" * 64}"}}
  - {{name: narrow, sha256: "{"b" * 64}", endpoints: [embeddings], models: [gpt-4o]}}
  - {{name: old, sha256: "{"c" * 64}", expires: 2020-01-01}}
"""
CHAT = ("route", "POST", "/v1/chat/completions")
EMBED = ("route", "POST", "/v1/embeddings")


@pytest.fixture
def routed(tmp_path: Path) -> Path:
    text = provider(
        credentials={"api_key": {"env": "OPENAI_API_KEY"}},
        headers={"authorization": "Bearer {{ credentials.api_key }}", "x-model": "{{ model }}"},
        timeouts={"connect": "1s"},
        limits={"in_flight": 7},
    )
    return write(tmp_path, routes=RULES, providers=text, keys=KEYS)


def test_the_lines_of_the_winner_and_every_origin(
    routed: Path, snapshot: SnapshotAssertion
) -> None:
    result = engine(*EMBED, "--model", "gpt-3", "-C", routed, "--key", "all")
    assert result.stdout == snapshot(extension_class=TextSnapshot)
    assert "sk-aaaa" not in result.stdout


@pytest.mark.parametrize(
    ("key", "words", "model", "code"),
    [
        ("all", CHAT, "gpt-4o", None),
        ("narrow", EMBED, "gpt-4o", None),
        ("narrow", CHAT, "gpt-4o", "not_allowed"),
        ("narrow", EMBED, "gpt-4", "not_allowed"),
        ("old", EMBED, "gpt-4o", "expired_api_key"),
        ("all", EMBED, "claude", "model_not_found"),
    ],
)  # fmt: skip
def test_a_key_is_asked_for(
    key: str, words: tuple[str, ...], model: str, code: str | None, routed: Path
) -> None:
    result = engine(*words, "--model", model, "--key", key, "-C", routed, "--format", "json")
    view = view_of("route", result)
    assert (view["error"] or {}).get("code") == code
    assert result.exit_code == (1 if code else 0)
    assert view["ok"] is (code is None)
    assert view["key"]["allowed"] is (code in {None, "model_not_found"})


def test_a_key_that_is_not_there_is_told_with_the_nearest(routed: Path) -> None:
    result = engine(*CHAT, "--model", "gpt-4o", "--key", "narow", "-C", routed)
    assert result.exit_code == 2
    assert "did you mean `narrow`?" in result.stderr


def test_json_tells_what_is_in_force_and_where_it_was_set(routed: Path) -> None:
    view = view_of("route", engine(*EMBED, "--model", "gpt-4o", "-C", routed, "--format", "json"))
    timeouts = {t["name"]: (t["value"], t["where"]) for t in view["target"]["timeouts"]}
    line = (routed / "providers.yaml").read_text().splitlines().index("      connect: 1s") + 1
    assert timeouts == {
        "connect": ("1s", f"providers.yaml:{line}"),
        "total": ("1h", "routes.yaml:5"),
        "idle": ("3m", "routes.yaml:2"),
        "first_byte": ("10m", "default"),
        "caller_idle": ("30s", "default"),
    }
    limits = {t["name"]: t["value"] for t in view["target"]["limits"]}
    assert limits == {"max_body": "32MiB", "in_flight": 7, "queue": 1024, "wait": "10s"}
    assert SECRET not in str(view)
    secret, made = view["target"]["headers"]
    assert (secret["value"], secret["secret"], made["value"], made["secret"]) == (None, True, None, False)  # fmt: skip


@pytest.mark.parametrize("words", [("GET", "/v1/embeddings"), ("POST", "/v1/embedding")])
def test_json_of_a_refusal_fits_its_schema(words: tuple[str, ...], routed: Path) -> None:
    result = engine("route", *words, "--model", "m", "-C", routed, "--format", "json")
    view = view_of("route", result)
    assert (view["target"], view["endpoint"], view["ok"]) == (None, None, False)


def test_the_timeouts_it_shows_are_those_of_the_plan() -> None:
    """For every endpoint and provider of the shipped files."""
    loaded = load(ROOT, {}, NOW)
    assert loaded.plan is not None
    routes = fill_in(loaded.documents["routes.yaml"], "routes")
    providers = fill_in(loaded.documents["providers.yaml"], "providers")
    compared = 0
    for name, each in loaded.plan.providers.items():
        for endpoint, upstream in each.upstreams.items():
            if upstream is not None:
                for setting in timeouts_of(routes, providers, endpoint, name):
                    assert parse_duration(setting.value) == getattr(upstream.timeouts, setting.name)
                    compared += 1
    assert compared > 100


def test_routes_narrowed(routed: Path) -> None:
    view = view_of(
        "routes", engine("routes", routed, "--endpoint", "embeddings", "--format", "json")
    )
    assert [e["name"] for e in view["endpoints"]] == ["embeddings"]
    assert view["providers"] == [{"name": "openai", "endpoints": ["embeddings"], "unset": []}]
    assert len(view["rules"]) == 2


def test_the_shipped_table_fits_a_terminal() -> None:
    text = engine("routes", ROOT).stdout
    matrix = text.split("\n\n")[1]
    assert max(len(line) for line in matrix.splitlines()) <= 80
    assert "azure_deployments  ?" in matrix
    view = view_of("routes", engine("routes", ROOT, "--provider", "groq", "--format", "json"))
    assert {rule["targets"][0]["provider"] for rule in view["rules"]} == {"groq"}


TARGETS = """version: 1
endpoints:
  embeddings: {path: /v1/embeddings}
  chat_completions: {path: /v1/chat/completions}
models:
  - prefix: m-
    sticky: key
    targets:
      - {provider: openai, weight: 3}
      - {provider: openai, as: other, weight: 1}
"""


def test_every_target_of_a_rule_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=TARGETS)
    result = engine(*EMBED, "--model", "m-1", "-C", folder)
    assert "or         openai as other  weight 1" in result.stdout
    view = view_of("route", engine(*EMBED, "--model", "m-1", "-C", folder, "--format", "json"))
    assert view["target"]["then"] == [{"provider": "openai", "sent_model": "other", "weight": 1}]
    rules = view_of("routes", engine("routes", folder, "--format", "json"))["rules"]
    assert [target["as"] for target in rules[0]["targets"]] == [None, "other"]
    assert "openai, openai  as it is, other" in engine("routes", folder).stdout
