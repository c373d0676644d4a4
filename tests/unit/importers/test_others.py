"""What Portkey and one-api mean by a mode, a list of models and a key: nothing is called that the source would not call."""

import json
from typing import Any

from engine.importers.result import ImportResult
from tests.servers import parse_yaml
from tests.tables import each
from tests.unit.importers.sources import import_text


def _imported(program: str, data: Any) -> ImportResult:
    return import_text(program, "config.json", json.dumps(data).encode())


def _rules(outcome: ImportResult) -> list[dict[str, Any]]:
    if "routes.yaml" not in outcome.files:
        return []
    return list(parse_yaml(outcome.files["routes.yaml"])["models"])


def _statuses(outcome: ImportResult) -> dict[str, str]:
    return {".".join(map(str, r.path)): r.status for r in outcome.rows}


TARGETS = [{"provider": "openai"}, {"provider": "groq"}]


@each("mode", ["conditional", "unheard-of"])
def test_targets_of_a_mode_that_is_not_known_get_nothing(mode: str) -> None:
    strategy = {"mode": mode, "conditions": [{"query": {}, "then": "a"}], "default": "b"}
    outcome = _imported("portkey", {"strategy": strategy, "targets": TARGETS})
    assert _rules(outcome) == []
    found = _statuses(outcome)
    assert {found["strategy.default"], found["strategy.mode"]} == {"asks_you", "not_carried"}
    assert not {*found.values()} & {"carried", "carried_otherwise"}


def test_of_a_single_target_the_others_get_nothing() -> None:
    outcome = _imported("portkey", {"strategy": {"mode": "single"}, "targets": TARGETS})
    assert [rule["provider"] for rule in _rules(outcome)] == ["openai"]
    assert _statuses(outcome)["targets.1.provider"] == "not_carried"


@each(
    ("codes", "expected"),
    [
        (None, ["timeout", "closed", "5xx"]),
        ([429, 500], ["5xx"]),
        ([429], None),
    ],
)
def test_fallback_falls_back_after_errors(codes: Any, expected: Any) -> None:
    strategy = {"mode": "fallback"} | ({"on_status_codes": codes} if codes else {})
    outcome = _imported("portkey", {"strategy": strategy, "targets": TARGETS})
    assert _rules(outcome)[0].get("fallback_on") == expected
    assert _statuses(outcome)["strategy.mode"] == "carried_otherwise"


def test_one_bad_name_does_not_lose_its_channel() -> None:
    channel = {"type": 1, "key": "canary-key-12345678", "models": "gpt-4o,a bad*name,gpt-4o-mini"}
    outcome = _imported("one-api", [channel])
    assert [rule["model"] for rule in _rules(outcome)] == ["gpt-4o", "gpt-4o-mini"]
    assert _statuses(outcome) == {
        "0.type": "carried",
        "0.key": "carried_otherwise",
        "0.models": "asks_you",
    }


def test_two_keys_of_a_channel_are_two_accounts() -> None:
    outcome = _imported("one-api", [{"type": 1, "key": "canary-a-1\ncanary-b-2", "models": "gpt-4o"}])  # fmt: skip
    assert _statuses(outcome)["0.key"] == "carried_otherwise"
    provider = parse_yaml(outcome.files["providers.yaml"])["providers"]["openai"]
    first, second = provider["credentials"], provider["accounts"][0]["credentials"]
    assert first["api_key"] == {"env": "OPENAI_API_KEY"}
    assert second["api_key"] == {"env": "OPENAI_API_KEY_2"}
    assert "OPENAI_API_KEY_2=" in outcome.files[".env.example"].splitlines()
    assert "canary" not in "".join(outcome.files.values())


def test_two_keys_in_one_are_no_key_of_litellm() -> None:
    params = {"model": "openai/gpt-4o", "api_key": "canary-a-1\ncanary-b-2"}
    outcome = _imported("litellm", {"model_list": [{"model_name": "a", "litellm_params": params}]})
    assert _statuses(outcome)["model_list.0.litellm_params.api_key"] == "asks_you"
    assert "canary" not in "".join(outcome.files.values())


def test_one_entry_that_cannot_be_dropped_keeps_the_others() -> None:
    params = {"model": "openai/gpt-4o", "additional_drop_params": ["logit_bias", "tools[*].strict"]}
    data = {"model_list": [{"model_name": "a", "litellm_params": params}]}
    outcome = _imported("litellm", data)
    assert _rules(outcome)[0]["body"] == {"drop": ["logit_bias"]}


def test_a_secret_within_a_list_does_not_leave() -> None:
    key = "sk-proj-" + "aB3dE5fG7hJ9kL1mN3pQ5rS7"
    params = {"model": "openai/gpt-4o", "stop": ["a", [key]], "temperature": 0}
    outcome = _imported("litellm", {"model_list": [{"model_name": "a", "litellm_params": params}]})
    assert _rules(outcome)[0]["body"] == {"default": {"temperature": 0}}
    assert key not in "".join(outcome.files.values())
