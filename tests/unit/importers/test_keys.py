"""LiteLLM's virtual keys move by their hashes: who has a key goes on with it, and nothing of the list is lost."""

import hashlib
import json
from typing import Any

from engine.config.source.any_yaml import read_foreign
from engine.importers.draft import ImportContext
from engine.importers.litellm import import_litellm
from engine.importers.notes import SettingStatus
from engine.importers.result import ImportResult
from tests.servers import parse_yaml
from tests.tables import each
from tests.unit.importers.sources import document, leaves, loaded

MODELS = document("model_list:\n  - {model_name: a, litellm_params: {model: openai/gpt-4o}}\n")
DIGEST = hashlib.sha256(b"sk-of-a-caller").hexdigest()  # as LiteLLM's hash_token has it


def with_keys(*entries: dict[str, Any]) -> ImportResult:
    keys = read_foreign("keys.json", json.dumps({"keys": entries}).encode())
    return import_litellm([MODELS], ImportContext({}, "2026-11-27", keys))


def written(outcome: ImportResult) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parse_yaml(outcome.files["keys.yaml"])["keys"]
    return found


def test_a_key_keeps_its_hash_its_models_and_its_limits(tmp_path: Any) -> None:
    entry = {
        "token": DIGEST, "key_alias": "team search", "models": ["a", "gpt-*"], "rpm_limit": 60, "tpm_limit": 100000,
        "max_parallel_requests": 5, "expires": "2027-01-01T00:00:00+00:00", "blocked": None, "spend": 1.5,
    }  # fmt: skip
    outcome = with_keys(entry)
    limits = {"requests": "60/m", "tokens": "100000/m", "concurrent": 5}
    assert written(outcome) == [
        {"name": "team-search", "sha256": DIGEST, "models": ["a", "gpt-*"], "expires": "2027-01-01T00:00:00+00:00", "limits": limits}
    ]  # fmt: skip
    assert loaded(outcome, tmp_path).plan is not None


@each("field", [{"token": "sk-a-key-itself"}, {"token": None}, {"blocked": True}])
def test_a_key_that_may_not_call_is_left_out(field: dict[str, Any]) -> None:
    outcome = with_keys({"token": DIGEST, **field})
    assert "keys.yaml" not in outcome.files


@each(
    ("field", "expected"),
    [
        ({"models": ["all-team-models"]}, {"expires": "2000-01-01"}),
        ({"models": ["with space"], "expires": "2030-01-01"}, {"expires": "2000-01-01"}),
        ({"expires": "soon"}, {"expires": "2000-01-01"}),
    ],
)
def test_what_is_not_understood_never_gives_more_rights(
    field: dict[str, Any], expected: dict[str, Any], tmp_path: Any
) -> None:
    outcome = with_keys({"token": DIGEST, **field})
    assert expected.items() <= written(outcome)[0].items()
    assert loaded(outcome, tmp_path).plan is not None
    assert [
        row.status
        for row in outcome.rows
        if row.path[-1] == next(iter(field)) or next(iter(field)) in row.path
    ] == [SettingStatus.ASKS]


def test_names_are_unique_and_every_field_has_a_row() -> None:
    entries = [
        {
            "token": hashlib.sha256(bytes([n])).hexdigest(),
            "key_alias": "same",
            "unheard_of": {"x": [1, 2]},
        }
        for n in range(3)
    ]
    outcome = with_keys(*entries)
    assert len({key["name"] for key in written(outcome)}) == 3
    rows = [row for row in outcome.rows if row.file == "keys.json"]
    assert len(rows) == len(list(leaves({"keys": entries})))
