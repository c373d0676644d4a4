"""`when` of a model rule: which requests meet conditions, at a running gateway."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from engine.gateway.routing.listing import render_listing
from engine.plan.plan import Dialect
from tests.integration.gateway.stand import Stand, standing

RULES = """
  - {model: fast, provider: plain}
  - {model: fast, provider: team, when: {header: {x-team: [search, ads]}}}
  - {model: fast, provider: gold, when: {body: {/metadata/tier: [gold, "1", "true"]}}}
  - {model: fast, provider: both, when: {header: {x-team: [search, ads]}, body: {/metadata/tier: [gold, "1", "true"]}}}
  - {model: keys, provider: plain, when: {key: [joe]}}
  - {model: other, provider: plain}
tests:
  - {endpoint: talk, model: fast, header: {x-team: search}, body: {metadata: {tier: gold}}, expect: {provider: both}}
  - {endpoint: talk, model: fast, body: {metadata: {tier: 1}}, expect: {provider: plain}}
  - {endpoint: talk, model: keys, key: joe, expect: {provider: plain}}
  - {endpoint: talk, model: keys, key: ann, account: a, expect: {error: model_not_found}}
"""
PROVIDERS = dict.fromkeys(("plain", "team", "gold", "both"), "200")
GOLD: dict[str, Any] = {"metadata": {"tier": "gold"}}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with standing(tmp_path_factory.mktemp("conditions"), RULES, PROVIDERS) as running:
        yield running


@pytest.mark.parametrize(
    ("headers", "body", "provider"),
    [
        ({}, {}, "plain"),
        ({b"x-team": b"search"}, {}, "team"),
        ({b"x-team": b" ads\t"}, {}, "team"),
        ({b"x-team": b"Search"}, {}, "plain"),
        ({b"x-team": b"search, ads"}, {}, "plain"),
        ({b"x-team": b""}, {}, "plain"),
        ({}, GOLD, "gold"),
        ({b"x-team": b"search"}, GOLD, "both"),
        ({}, {"metadata": {"tier": "gold "}}, "plain"),
        ({}, {"metadata": {"tier": 1}}, "plain"),
        ({}, {"metadata": {"tier": True}}, "plain"),
        ({}, {"metadata": ["tier", "gold"]}, "plain"),
        ({}, {"metadata": None}, "plain"),
        ({}, {"metadata": "gold"}, "plain"),
        ({}, {"text": "x" * 200_000, **GOLD}, "gold"),
    ],
)
def test_a_request_gets_the_rule_whose_conditions_it_meets(
    stand: Stand, headers: Mapping[bytes, bytes], body: Mapping[str, Any], provider: str
) -> None:
    for _ in range(2):  # nothing of the first request decides the second
        assert stand.ask({"model": "fast", **body}, headers=headers).status == 200
        assert stand.providers == [provider]


def test_a_header_that_is_sent_twice_meets_no_condition(stand: Stand) -> None:
    class Twice(dict[bytes, bytes]):
        def items(self) -> Any:
            return [(b"x-team", b"ads"), (b"x-team", b"ads")]

    stand.ask({"model": "fast"}, headers=Twice({b"x-team": b"ads"}))
    assert stand.providers == ["plain"]


@pytest.mark.parametrize(
    "metadata",
    [
        '"metadata": {"tier": "gold", "tier": "x"}',
        '"metadata": {"tier": "gold", "TIER": "x"}',
        '"metadata": {"tier": "gold"}, "metadata": {}',
        '"metadata": {"tier": "gold"}, "Metadata": {}',
    ],
)
def test_what_parsers_may_read_differently_is_refused(stand: Stand, metadata: str) -> None:
    response = stand.ask(f'{{"model": "fast", {metadata}}}'.encode())
    assert (response.status, response.code, stand.providers) == (400, "duplicate_field", [])
    stand.ask(f'{{"model": "other", {metadata}}}'.encode())  # no rule of this model reads it
    assert stand.providers == ["plain"]


def test_a_key_is_known_by_its_name(stand: Stand) -> None:
    assert stand.ask({"model": "keys"}).status == 200
    assert stand.ask({"model": "keys"}, key="ann").code == "model_not_found"
    assert stand.ask({"model": "keys"}).status == 200


def listed(stand: Stand, key: str) -> dict[str, str]:
    """The models in the list of this key, each with its provider."""
    callers = {caller.name: caller for caller in (stand.plan.callers or {}).values()}
    listing = json.loads(render_listing(stand.plan, callers[key], Dialect.OPENAI, b""))
    return {model["id"]: model["owned_by"] for model in listing["data"]}


def test_a_key_has_the_models_in_its_list_that_it_may_get(stand: Stand) -> None:
    everybody = {"fast": "plain", "other": "plain"}
    assert listed(stand, "ann") == everybody
    assert listed(stand, "joe") == {**everybody, "keys": "plain"}


def test_budgets_reserve_the_highest_price_of_all_rules(stand: Stand) -> None:
    possible = [rule.provider for rule in stand.plan.models.possible("talk", "fast")]
    assert sorted(possible) == ["both", "gold", "plain", "team"]


def test_escapes_in_a_body_are_read(stand: Stand) -> None:
    stand.ask(rb'{"model": "fast", "met\u0061data": {"tier": "g\u006fld"}}')
    assert stand.providers == ["gold"]
    assert stand.body() == {"model": "fast", **GOLD} == json.loads(stand.upstream.sent[0][1])
