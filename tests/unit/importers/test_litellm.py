"""What LiteLLM means by drop_params, by settings that it ignores, and by names that stand twice."""

import sys
from pathlib import Path
from typing import Any

from engine.importers.result import ImportResult
from engine.report.imported import render_import
from tests.servers import dump_yaml, parse_yaml
from tests.tables import each
from tests.unit.importers.sources import import_text, loaded


def _imported(*models: tuple[str, dict[str, Any]], **sections: Any) -> ImportResult:
    entries = [{"model_name": name, "litellm_params": params} for name, params in models]
    return import_text(
        "litellm", "config.yaml", dump_yaml({"model_list": entries, **sections}).encode()
    )


def _rules(outcome: ImportResult) -> list[dict[str, Any]]:
    return list(parse_yaml(outcome.files["routes.yaml"])["models"])


def _chat(outcome: ImportResult, provider: str) -> Any:
    providers = parse_yaml(outcome.files["providers.yaml"])["providers"]
    return providers[provider]["endpoints"]["chat_completions"]


def _row(outcome: ImportResult, *path: str | int) -> tuple[str, str]:
    row = next(r for r in outcome.rows if r.path == path)
    return row.status, row.note


ON = {"litellm_settings": {"drop_params": True}}


def test_drop_params_removes_what_the_provider_does_not_take(tmp_path: Path) -> None:
    outcome = _imported(("a", {"model": "groq/llama"}), ("b", {"model": "openai/gpt-4o"}), **ON)
    assert _chat(outcome, "groq")["body"] == {"drop": ["thinking", "user", "verbosity"]}
    assert _chat(outcome, "openai")["body"] == {"drop": ["thinking"]}
    assert _row(outcome, "litellm_settings", "drop_params")[0] == "carried_otherwise"
    assert loaded(outcome, tmp_path).plan is not None


def test_drop_params_removes_what_a_model_does_not_take() -> None:
    outcome = _imported(
        ("old", {"model": "openai/gpt-4o"}), ("new", {"model": "azure/gpt-5-mini", "temperature": 0.2}), **ON
    )  # fmt: skip
    old, new = _rules(outcome)
    assert old["body"] == {"drop": ["reasoning_effort", "verbosity"]}
    assert {"temperature", "top_p"} < {*new["body"]["drop"]}
    assert "default" not in new["body"]
    at = ("model_list", 1, "litellm_params", "temperature")
    assert _row(outcome, *at)[1] == "taken out by drop_params, as LiteLLM does it"


def test_drop_params_of_one_deployment_leaves_the_others_alone() -> None:
    outcome = _imported(
        ("a", {"model": "groq/llama"}), ("b", {"model": "groq/llama", "drop_params": "true"})
    )
    assert _chat(outcome, "groq") == "/chat/completions"
    assert _chat(outcome, "groq_2" if "groq_2:" in outcome.files["providers.yaml"] else "groq_groq_api_key")["body"]["drop"]  # fmt: skip


@each("off", [False, "false", None])
def test_nothing_is_removed_without_drop_params(off: Any) -> None:
    outcome = _imported(("a", {"model": "groq/llama"}), litellm_settings={"drop_params": off})
    assert _chat(outcome, "groq") == "/chat/completions"


def test_a_setting_that_litellm_ignores_is_named_so() -> None:
    outcome = _imported(("a", {"model": "groq/x"}), general_settings={"enable_batching": True}, log_things={"level": 1})  # fmt: skip
    for path in (("general_settings", "enable_batching"), ("log_things", "level")):
        treatment, words = _row(outcome, *path)
        assert treatment == "carried_otherwise"
        assert "ignores a setting of this name" in words


@each("section", ["general_setting", "general-settings"])
def test_a_section_with_a_typo_asks(section: str) -> None:
    outcome = _imported(("a", {"model": "groq/x"}), **{section: {"master_key": "os.environ/K"}})
    treatment, words = _row(outcome, section, "master_key")
    assert treatment == "asks_you"
    assert "`general_settings`" in words


def test_a_setting_that_litellm_reads_is_not_ignored() -> None:
    outcome = _imported(("a", {"model": "groq/x"}), general_settings={"enforce_rbac": True})
    assert _row(outcome, "general_settings", "enforce_rbac")[0] == "not_carried"


def test_a_key_of_litellm_params_that_is_not_known_goes_to_the_provider() -> None:
    params = {"model": "groq/x", "new_field": 3, "supports_vision": True, "auto_router_config": "x"}
    outcome = _imported(("a", params))
    assert _rules(outcome)[0]["body"] == {"default": {"new_field": 3}}
    at = ("model_list", 0, "litellm_params")
    assert _row(outcome, *at, "supports_vision")[0] == "carried_otherwise"
    assert _row(outcome, *at, "auto_router_config")[0] == "not_carried"


def test_an_alias_that_stands_twice_is_one_rule(tmp_path: Path) -> None:
    aliases = {"fast": "a", "slow": ["a", "b"]}
    outcome = _imported(
        ("a", {"model": "groq/x"}), ("b", {"model": "groq/y"}),
        router_settings={"model_group_alias": aliases}, litellm_settings={"model_alias_map": {"fast": "a"}},
    )  # fmt: skip
    assert [rule["model"] for rule in _rules(outcome)] == ["a", "b", "fast", "slow"]
    assert _row(outcome, "litellm_settings", "model_alias_map", "fast")[0] == "carried"
    assert _row(outcome, "router_settings", "model_group_alias", "slow", 1)[0] == "asks_you"
    assert loaded(outcome, tmp_path).plan is not None


@each("base", ["http://llm.example.com:8000/v1", "http://8.8.8.8/v1", "http://[::1/v1"])  # fmt: skip
def test_an_address_without_tls_is_not_written(base: str, tmp_path: Path) -> None:
    outcome = _imported(("a", {"model": "openai/x", "api_base": base, "api_key": "os.environ/K"}))
    assert base not in "".join(outcome.files.values())
    assert _row(outcome, "model_list", 0, "litellm_params", "api_base")[0] == "asks_you"
    assert [d for d in loaded(outcome, tmp_path).diagnostics if d.severity.value == "error"] == []


def test_the_project_of_all_vertex_models_is_that_of_each() -> None:
    outcome = _imported(
        ("a", {"model": "vertex_ai/gemini-2.5-pro"}), ("b", {"model": "vertex_ai/gemini-2.5-pro", "vertex_project": "own"}),
        litellm_settings={"vertex_project": "shared"},
    )  # fmt: skip
    providers = parse_yaml(outcome.files["providers.yaml"])["providers"]
    assert sorted(p["variables"]["project"] for p in providers.values()) == ["own", "shared"]


def test_settings_that_ask_for_nothing_are_carried() -> None:
    outcome = _imported(
        ("a", {"model": "groq/x"}), general_settings=None, router_settings={"fallbacks": []},
        litellm_settings={"max_budget": None, "guardrails": [], "public_routes": False},
    )  # fmt: skip
    assert {row.status.value for row in outcome.rows} == {"carried"}


KEY = "sk-proj-" + "aB3dE5fG7hJ9kL1mN3pQ5rS7"


@each("secret", [KEY, f"https://user:{KEY[8:]}@llm.example.com/v1"])
@each("place", ["name", "model", "alias", "drop", "region"])
def test_a_key_in_the_place_of_a_name_is_never_written(place: str, secret: str) -> None:
    names = dict.fromkeys(("name", "model", "alias", "drop", "region"), "a-name") | {place: secret}
    params = {
        "model": f"bedrock/{names['model']}",
        "additional_drop_params": [names["drop"]],
        "aws_region_name": names["region"],
    }
    outcome = _imported(
        (names["name"], params), ("b", {"model": "groq/x"}),
        router_settings={"model_group_alias": {names["alias"]: "b"}},
    )  # fmt: skip
    texts = [*outcome.files.values(), render_import(outcome)]
    assert [text for text in texts if KEY[8:] in text] == []
    assert [rule["model"] for rule in _rules(outcome)][-1 if place != "alias" else 0] != secret


def test_many_deployments_take_no_time_for_each_pair() -> None:
    """A loop over all pairs of them would make a hundred thousand calls more, or several times that."""
    entry = b"  - {model_name: a, litellm_params: {model: openai/gpt-4o, weight: 1}}\n"
    calls = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        import_text("litellm", "config.yaml", b"model_list:\n" + entry * 300)
    finally:
        sys.setprofile(None)
    assert calls < 340_000
