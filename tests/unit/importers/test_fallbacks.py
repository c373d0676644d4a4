"""Fallbacks of a source stay behind its primaries, and the report says which of them a rule has no place for."""

from typing import Any

from engine.importers.result import ImportResult
from tests.servers import dump_yaml, parse_yaml
from tests.tables import each
from tests.unit.importers.sources import import_text


def _model(name: str, sent: str, **params: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": sent, **params}}


def _imported(models: list[dict[str, Any]], router: dict[str, Any]) -> ImportResult:
    text = dump_yaml({"model_list": models, "router_settings": router})
    return import_text("litellm", "config.yaml", text.encode())


def _targets(outcome: ImportResult, model: str) -> list[dict[str, Any]]:
    rules = parse_yaml(outcome.files["routes.yaml"])["models"]
    rule = next(r for r in rules if r.get("model") == model)
    return list(rule.get("targets", [rule]))


def _row(outcome: ImportResult, *path: str | int) -> tuple[str, str]:
    row = next(r for r in outcome.rows if r.path == path)
    return row.status, row.note


MODELS = [_model("a", "openai/gpt-4o"), _model("b", "groq/b"), _model("c", "mistral/c")]


@each("strategy", ["least-busy", "usage-based-routing", "latency-based-routing"])
def test_under_a_balance_each_group_of_fallbacks_has_a_later_tier(strategy: str) -> None:
    router = {"routing_strategy": strategy, "fallbacks": [{"a": ["b"]}, {"a": ["c"]}]}
    found = _targets(_imported(MODELS, router), "a")
    assert [(t["provider"], t.get("tier", 1)) for t in found] == [("openai", 1), ("groq", 2), ("mistral", 3)]  # fmt: skip


def test_without_a_balance_the_order_of_the_file_is_enough() -> None:
    found = _targets(_imported(MODELS, {"fallbacks": [{"a": ["c", "b"]}]}), "a")
    assert [(t["provider"], t.get("tier")) for t in found] == [("openai", None), ("mistral", None), ("groq", None)]  # fmt: skip


def test_orders_and_default_fallbacks_come_one_after_the_other() -> None:
    models = [_model("a", "openai/x", order=1), _model("a", "openai/y", order=2), *MODELS[1:]]
    router = {"routing_strategy": "least-busy", "fallbacks": [{"*": ["b"]}]}
    found = _targets(_imported(models, router), "a")
    assert [(t.get("as"), t.get("tier", 1)) for t in found] == [("x", 1), ("y", 2), ("b", 3)]


def test_own_fallbacks_replace_the_default_ones() -> None:
    router = {"fallbacks": [{"a": ["b"]}, {"*": ["c"]}]}
    outcome = _imported(MODELS, router)
    assert [t["provider"] for t in _targets(outcome, "a")] == ["openai", "groq"]
    assert [t["provider"] for t in _targets(outcome, "b")] == ["groq", "mistral"]


def test_a_fallback_keeps_its_place_behind_many_deployments() -> None:
    models = [_model("big", f"openai/m{i}") for i in range(12)] + MODELS[1:]
    outcome = _imported(models, {"fallbacks": [{"big": ["b", "c"]}]})
    found = _targets(outcome, "big")
    assert [t.get("as") for t in found] == ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "b"]
    lost = [r.path[1] for r in outcome.rows if r.status == "asks_you" and r.path[0] == "model_list"]
    assert sorted(set(lost)) == [7, 8, 9, 10, 11]
    at = ("router_settings", "fallbacks", 0, "big")
    assert _row(outcome, *at, 0)[0] == "carried_otherwise"
    assert _row(outcome, *at, 1) == ("asks_you", "no rule has a place for it: a rule has at most 8 targets")  # fmt: skip


def test_a_default_fallback_without_a_place_is_reported() -> None:
    models = [_model("big", f"openai/m{i}") for i in range(7)] + MODELS[1:]
    outcome = _imported(models, {"fallbacks": [{"*": ["b", "c"]}]})
    at = ("router_settings", "fallbacks", 0, "*")
    assert [_row(outcome, *at, i)[0] for i in (0, 1)] == ["carried_otherwise", "asks_you"]


WILD = [_model("openai/*", "openai/*"), _model("g-*", "groq/llama-*"), _model("c", "mistral/c")]


def test_fallbacks_from_and_to_a_name_that_a_wildcard_covers_are_carried() -> None:
    router = {"fallbacks": [{"openai/gpt-4o": ["g-3", "c"]}, {"c": ["openai/o3"]}]}
    outcome = _imported(WILD, {**router, "model_group_alias": {"fast": "g-4"}})
    targets = {name: _targets(outcome, name) for name in ("openai/gpt-4o", "c", "fast")}
    assert {n: [(t["provider"], t.get("as")) for t in found] for n, found in targets.items()} == {
        "openai/gpt-4o": [("openai", "gpt-4o"), ("groq", "llama-3"), ("mistral", "c")],
        "c": [("mistral", None), ("openai", "o3")],
        "fast": [("groq", "llama-4")],
    }
    rules = parse_yaml(outcome.files["routes.yaml"])["models"]
    assert len(rules) == len(WILD) + 2  # g-3, g-4 and openai/o3 have none of their own
    rows = {r.path[1:]: r.status for r in outcome.rows if r.path[0] == "router_settings"}
    assert rows["fallbacks", 0, "openai/gpt-4o", 0] == "carried_otherwise"
    assert rows["fallbacks", 1, "c", 0] == "carried_otherwise"
    assert rows["model_group_alias", "fast"] == "carried"


def test_the_longest_wildcard_covers_a_name() -> None:
    models = [_model("*", "mistral/*"), *WILD, _model("g-1*", "openai/x")]
    outcome = _imported(models, {"fallbacks": [{"c": ["g-1"]}, {"openai/o3": ["other"]}]})
    found = [(t["provider"], t.get("as")) for t in _targets(outcome, "c")]
    assert found == [("mistral", None), ("openai", "x")]
    found = [(t["provider"], t.get("as")) for t in _targets(outcome, "openai/o3")]
    assert found == [("openai", "o3"), ("mistral", "other")]
