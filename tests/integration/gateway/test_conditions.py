"""`when` of a model rule: which requests meet conditions, at a running gateway."""

import json
from collections.abc import Iterator, Mapping
from time import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.load import Loaded, load
from engine.gateway.routing.listing import render_listing
from engine.plan.plan import Dialect
from engine.report.route import ExplainedRequest, view_route
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
    possible = [rule.provider for rule in stand.plan.models.possible_rules("talk", "fast")]
    assert sorted(possible) == ["both", "gold", "plain", "team"]


def test_escapes_in_a_body_are_read(stand: Stand) -> None:
    stand.ask(rb'{"model": "fast", "met\u0061data": {"tier": "g\u006fld"}}')
    assert stand.providers == ["gold"]
    assert stand.body() == {"model": "fast", **GOLD} == json.loads(stand.upstream.sent[0][1])


MIXED = """
  - {prefix: a, provider: r0}
  - {prefix: a, provider: r1, when: {header: {x-t: ["1"]}}}
  - {prefix: a, provider: r2, endpoint: say, when: {body: {/m/a~1b: ["1", "2"]}}}
  - {prefix: ab, provider: r3, when: {key: [joe]}}
  - {prefix: ab, provider: r4, when: {key: [joe], header: {x-t: ["1", "2"]}}}
  - {model: abc, provider: r5, when: {body: {/m/~0c: ["1"]}}}
  - {model: abc, provider: r6, endpoint: [talk, say], when: {body: {/m/~0c: ["1"]}, key: [ann]}}
  - {model: abc, provider: r7, endpoint: say}
"""
NAMES = [f"r{number}" for number in range(8)]
BODIES = [
    "",
    *(f'"m": {value}' for value in ("null", "1", "1e400", '"1"', "[]", '[{"a/b": "1"}]', "{}")),
    *(f'"m": {{"a/b": {value}}}' for value in ('"1"', '"2"', '"3"', "1", "null", '["1"]', '"\\ud800"')),
    *(f'"m": {{"~c": {value}}}' for value in ('"1"', '"\\u0031"', "1.0", '" 1"', '{"~c": "1"}')),
    '"m": {"~c": "1", "a/b": "1"}',
    '"m": {"~C": "1"}',
    '"m": {"~c": "1", "~c": "2"}',
    '"M": {"~c": "1"}',
    '"m": {"~c": "1"}, "m": null',
    '"m~1~0c": "1", "/m/~c": "1"',
]  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    both = "200, endpoints: {talk: /talk, say: /say}"
    endpoints = "talk: {path: /talk}\n  say: {path: /say}"
    folder = tmp_path_factory.mktemp("mixed")
    with standing(folder, MIXED, dict.fromkeys(NAMES, both), endpoints) as running:
        yield running


@pytest.fixture(scope="module")
def turned(mixed: Stand, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """The same rules from the last to the first."""
    folder = tmp_path_factory.mktemp("turned")
    for name in ("routes.yaml", "providers.yaml", "keys.yaml"):
        text = (mixed.log.parent / name).read_text()
        (folder / name).write_text(
            text.replace(MIXED, "\n".join(reversed(MIXED.split("\n"))) + "\n")
        )
    loaded = load(folder, {}, time())
    assert loaded.plan is not None
    return loaded


def explained(loaded: Loaded, path: str, key: str, model: str, header: bytes, raw: bytes) -> Any:
    """What `engine route` says: the winner or the error, and of each loser the reason."""
    assert loaded.plan is not None
    callers = {caller.name: caller for caller in (loaded.plan.callers or {}).values()}
    headers = [(b"x-t", header.strip())] if header else []
    asked = ExplainedRequest("POST", path, model, callers[key], time(), headers=headers, body=raw)
    view = view_route(loaded.plan, loaded.documents, asked)
    won = [(rule["provider"], rule["where"]) for rule in view["rules"] if rule["won"]]
    reasons = sorted((rule["provider"], rule["reason"] or "") for rule in view["rules"])
    return won, view["error"] and view["error"]["code"], reasons


REQUESTS = st.tuples(
    st.sampled_from(["/talk", "/say"]),
    st.sampled_from(["joe", "ann"]),
    st.sampled_from(["a1", "ab1", "abc", "zz"]),
    st.sampled_from([b"", b"1", b"2", b" 1\t", b"3", b"\xff", b"1, 1"]),
    st.sampled_from(BODIES),
)


def test_what_is_explained_is_what_is_served_in_any_order_of_the_rules(
    mixed: Stand, turned: Loaded
) -> None:
    @settings(deadline=None, max_examples=150)
    @given(REQUESTS)
    def compare(request: tuple[str, str, str, bytes, str]) -> None:
        path, key, model, header, field = request
        raw = f'{{"model": "{model}"{", " * bool(field)}{field}}}'.encode()
        headers = {b"x-t": header} if header else {}
        response = mixed.ask(raw, path=path.encode(), key=key, headers=headers)
        won, error, reasons = explained(mixed.loaded, path, key, model, header, raw)
        assert response.code == error
        assert mixed.providers == [name for name, _ in won if not error]
        in_other_order = explained(turned, path, key, model, header, raw)
        assert [name for name, _ in in_other_order[0]] == [name for name, _ in won]
        assert in_other_order[1:] == (error, reasons)

    compare()


def test_a_field_in_two_spellings_is_a_reason_where_the_winner_does_not_read_it(
    mixed: Stand,
) -> None:
    raw = b'{"model": "ab1", "M": {"a/b": "1"}}'
    won, error, reasons = explained(mixed.loaded, "/say", "joe", "ab1", b"", raw)
    assert mixed.ask(raw, path=b"/say").status == 200
    assert ([name for name, _ in won], error, mixed.providers) == (["r3"], None, ["r3"])
    assert ("r2", "asks for body /m/a~1b = 1 or 2") in reasons


def test_the_record_has_the_rule_that_is_explained(mixed: Stand) -> None:
    raw = b'{"model": "abc", "m": {"~c": "1"}}'
    for key, provider in (("ann", "r6"), ("joe", "r5")):
        mixed.ask(raw, key=key)
        won, _, _ = explained(mixed.loaded, "/talk", key, "abc", b"", raw)
        record = mixed.record()
        assert (record["provider"], record["rule"]) == won[0]
        assert record["provider"] == provider
