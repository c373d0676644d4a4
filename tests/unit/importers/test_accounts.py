"""More deployments than a rule has targets: those that differ in their keys alone become `accounts` of fewer providers."""

from pathlib import Path
from typing import Any

from engine.importers.result import ImportResult
from tests.servers import dump_yaml, parse_yaml
from tests.unit.importers.sources import import_text, loaded


def _imported(deployments: list[dict[str, Any]], **settings: Any) -> ImportResult:
    models = [{"model_name": "m", "litellm_params": params} for params in deployments]
    text = dump_yaml({"model_list": models, **settings})
    return import_text("litellm", "config.yaml", text.encode())


def _keys(number: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"model": "groq/a", "api_key": f"os.environ/GROQ_{n}", **more} for n in range(1, number + 1)
    ]


def _targets(outcome: ImportResult) -> list[dict[str, Any]]:
    rule = parse_yaml(outcome.files["routes.yaml"])["models"][0]
    return list(rule.get("targets", [rule]))


def _variables(outcome: ImportResult) -> dict[str, list[str]]:
    """The variables of each provider's credential sets."""
    providers = parse_yaml(outcome.files["providers.yaml"])["providers"]
    return {
        name: [
            each["credentials"]["api_key"]["env"] for each in (entry, *entry.get("accounts", ()))
        ]
        for name, entry in providers.items()
    }


def _asked(outcome: ImportResult) -> list[Any]:
    return [row.path for row in outcome.rows if row.status == "asks_you"]


def test_eight_keys_are_eight_targets_so_that_a_429_goes_to_the_next() -> None:
    found = _variables(_imported(_keys(8)))
    assert [len(names) for names in found.values()] == [1] * 8


def test_more_keys_share_the_targets_that_there_are(tmp_path: Path) -> None:
    outcome = _imported(_keys(20))
    found = _variables(outcome)
    assert sorted(map(len, found.values())) == [2, 2, 2, 2, 3, 3, 3, 3]
    assert {n for names in found.values() for n in names} == {f"GROQ_{n}" for n in range(1, 21)}
    assert [target["weight"] for target in _targets(outcome)] == [3, 3, 3, 3, 2, 2, 2, 2]
    assert _asked(outcome) == []
    assert "GROQ_20=" in outcome.files[".env.example"].splitlines()
    assert loaded(outcome, tmp_path).plan is not None


def test_a_fallback_and_another_model_keep_their_places() -> None:
    outcome = _imported([*_keys(20), {"model": "openai/b"}], router_settings={"fallbacks": []})
    assert [t.get("as") for t in _targets(outcome)] == ["a"] * 7 + ["b"]
    assert _asked(outcome) == []


def test_weights_are_added_up() -> None:
    outcome = _imported([*_keys(9, weight=2), {"model": "openai/b", "weight": 6}])
    weights = {t["as"]: t["weight"] for t in reversed(_targets(outcome))}
    assert sum(t["weight"] for t in _targets(outcome) if t["as"] == "a") == 3 * weights["b"]


def test_a_key_that_is_there_twice_is_one() -> None:
    outcome = _imported(_keys(8) * 2)
    assert [len(names) for names in _variables(outcome).values()] == [1] * 8


def test_what_differs_in_more_than_keys_is_reported() -> None:
    outcome = _imported([{"model": f"openai/m{n}"} for n in range(10)])
    assert [path[1] for path in _asked(outcome) if path[-1] == "model"] == [8, 9]
