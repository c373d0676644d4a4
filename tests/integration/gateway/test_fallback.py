"""`fallback_on` and `drop_unknown` of a model rule: what the providers get, and what the record says."""

import json
from collections.abc import Iterator

import pytest

from engine.gateway.routing.match import find_target, find_targets
from tests.integration.gateway.stand import Stand, standing

OWN = 'credentials: {key: {env: SET}}, headers: {x-key: "{{ credentials.key }}"}, caller_credentials: {headers: {x-own-key: key}}'
FIRST = "timeouts: {first_byte: 100ms}"
PATIENT = "timeouts: {first_byte: 60s}"
RULES = """
  - {model: silent, fallback_on: [timeout], targets: [{provider: silent}, {provider: good}]}
  - {model: closed, fallback_on: [closed], targets: [{provider: closed}, {provider: good}]}
  - {model: error, fallback_on: [5xx], targets: [{provider: error}, {provider: good}]}
  - {model: cut, fallback_on: [timeout, closed, 5xx], targets: [{provider: cut}, {provider: good}]}
  - {model: default, targets: [{provider: closed}, {provider: good}]}
  - {model: own, fallback_on: [closed], targets: [{provider: own}, {provider: good}, {provider: theirs}]}
  - {model: all, fallback_on: [closed, 5xx], targets: [{provider: closed}, {provider: error, fallback_on: []}, {provider: good}]}
  - {model: mixed, fallback_on: [5xx], targets: [{provider: error}, {provider: busy}]}
  - {model: wrong, fallback_on: [5xx], targets: [{provider: error}, {provider: picky}]}
  - {model: broken, fallback_on: [closed], targets: [{provider: closed}, {provider: error}]}
  - {model: busy, provider: busy}
  - {model: rule, provider: slow, timeouts: {first_byte: 100ms}}
  - {model: target, timeouts: {first_byte: 50s}, fallback_on: [timeout], targets: [{provider: slow, timeouts: {first_byte: 100ms}}, {provider: good}]}
  - {prefix: "mine/", provider: good, as: "theirs/*", body: {set: {echo: 1}}}
  - {model: "Größtes Modell", provider: good}
  - {model: tiers, targets: [{provider: good, tier: 2}, {provider: down, weight: 1}, {provider: lean, tier: 3}]}
  - {model: least, balance: least_in_flight, targets: [{provider: good}, {provider: lean, weight: 2}]}
  - {prefix: "all-", provider: good, as: one}
  - {model: lean, provider: lean, body: {drop_unknown: true, set: {temperature: 1}}}
  - {model: fat, provider: lean}
  - {model: both, targets: [{provider: down, body: {drop_unknown: true}}, {provider: lean}]}
"""
TAKES = "endpoints: {talk: {path: /talk, takes: [messages, temperature]}}"
PROVIDERS = {
    "good": "200",
    "silent": f"silent, {FIRST}",
    "slow": f"silent, {PATIENT}",
    "closed": "closed",
    "error": "500",
    "cut": f"cut, {FIRST}",
    "own": f"closed, {OWN}",
    "theirs": f"200, {OWN}",
    "lean": f"200, {TAKES}",
    "busy": "429",
    "picky": "400",
    "down": f"503, {TAKES}",
}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with standing(tmp_path_factory.mktemp("fallback"), RULES, PROVIDERS) as running:
        yield running


@pytest.mark.parametrize(
    ("model", "tried"),
    [
        ("silent", "silent timeout_headers"),
        ("closed", "closed sent_unknown"),
        ("error", "error 500"),
    ],
)
def test_the_next_target_gets_what_may_have_been_paid_where_the_rule_says_so(
    stand: Stand, model: str, tried: str
) -> None:
    response = stand.ask({"model": model})
    assert (response.status, response.text) == (200, "good")
    assert stand.providers == [model, "good"]
    record = stand.record()
    assert (record["tried"], record["may_be_paid_twice"], record["attempts"]) == ([tried], True, 2)


def test_without_that_it_is_sent_once(stand: Stand) -> None:
    response = stand.ask({"model": "default"})
    assert (response.code, stand.providers) == ("upstream_closed", ["closed"])
    assert response.headers[b"x-should-retry"] == b"false"
    assert "may_be_paid_twice" not in stand.record()


@pytest.mark.parametrize(("model", "status"), [("mixed", 429), ("broken", 500), ("wrong", 400)])
def test_an_error_that_is_relayed_after_what_may_have_been_paid_asks_not_to_try_again(
    stand: Stand, model: str, status: int
) -> None:
    response = stand.ask({"model": model})
    assert (response.status, response.headers[b"x-should-retry"]) == (status, b"false")


def test_an_error_that_is_relayed_at_once_says_nothing_of_it(stand: Stand) -> None:
    assert b"x-should-retry" not in stand.ask({"model": "busy"}).headers


def test_nothing_follows_the_first_byte_of_a_response(stand: Stand) -> None:
    stand.ask({"model": "cut"})
    assert stand.providers == ["cut"]
    assert "may_be_paid_twice" not in stand.record()


def test_a_callers_own_credential_goes_to_those_alone_that_take_it(stand: Stand) -> None:
    response = stand.ask({"model": "own"}, headers={b"x-own-key": b"sk-own"})
    assert (response.text, stand.providers) == ("theirs", ["own", "theirs"])
    assert stand.ask({"model": "own"}).text == "good"


def test_the_timeouts_of_a_rule_and_of_a_target_go_before_those_of_the_provider(
    stand: Stand,
) -> None:
    assert stand.ask({"model": "rule"}).code == "upstream_timeout"
    assert (stand.ask({"model": "target"}).text, stand.providers) == ("good", ["slow", "good"])


@pytest.mark.parametrize(
    ("model", "sent"), [("mine/x/y", "theirs/x/y"), ("all-x", "one"), ("mine/", None)]
)
def test_a_prefix_becomes_another_or_one_model(stand: Stand, model: str, sent: str | None) -> None:
    response = stand.ask({"model": model})
    if sent is None:
        assert (response.code, stand.providers) == ("model_not_found", [])
    else:
        assert stand.body()["model"] == stand.record()["sent_model"] == sent


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("Größtes Modell", ["good"]),
        ("größtes modell", []),
        ("Gro\u0308ßtes Modell", []),
        ("Größtes  Modell", []),
        ("Größtes Modell ", []),
        ("Größtes\u00a0Modell", []),
    ],
)
def test_an_exact_name_may_have_any_letters_and_is_compared_as_it_is(
    stand: Stand, name: str, provider: list[str]
) -> None:
    for raw in (json.dumps({"model": name}), json.dumps({"model": name}, ensure_ascii=False)):
        response = stand.ask(raw.encode())
        assert (stand.providers, response.code) == (provider, None if provider else "invalid_model")


def test_a_higher_tier_comes_after_all_of_the_lower_one(stand: Stand) -> None:
    for _ in range(5):
        assert (stand.ask({"model": "tiers"}).text, stand.providers) == ("good", ["down", "good"])


@pytest.mark.parametrize(
    ("under_way", "first"),
    [({"good": 1}, "lean"), ({"lean": 1}, "good"), ({"good": 2, "lean": 3}, "lean"), ({"good": 1, "lean": 3}, "good")],
)  # fmt: skip
def test_the_provider_with_the_fewest_requests_for_its_weight_comes_first(
    stand: Stand, under_way: dict[str, int], first: str
) -> None:
    endpoint = stand.plan.endpoint("talk")
    assert endpoint is not None
    target = find_target(stand.plan, endpoint, "least")
    for drawn in (0.1, 0.9):
        found = find_targets(stand.plan, endpoint, target, "joe", lambda: drawn, lambda name: under_way.get(name, 0))  # fmt: skip # noqa: B023 called at once
        assert found[0].provider.name == first
    draws = iter([0.9, 0.1])
    even = find_targets(stand.plan, endpoint, target, "joe", lambda: next(draws))
    assert [each.provider.name for each in even] == ["lean", "good"]


def test_requests_under_way_decide(stand: Stand) -> None:
    for busy, first in (("good", "lean"), ("lean", "good")):
        limiter = vars(stand.gateway)["_runtime"].limiters[busy]
        assert all(limiter.take() for _ in range(3))
        assert [stand.ask({"model": "least"}).text for _ in range(4)] == [first] * 4
        for _ in range(3):
            limiter.release()


def test_a_target_may_leave_out_what_its_rule_says(stand: Stand) -> None:
    assert (stand.ask({"model": "all"}).status, stand.providers) == (500, ["closed", "error"])


def test_fields_that_the_provider_does_not_take_are_dropped_where_the_rule_says_so(
    stand: Stand,
) -> None:
    stand.ask({"model": "lean", "logit_bias": {}, "messages": [], "user": "u", "naïve": 1})
    assert stand.body() == {"model": "lean", "messages": [], "temperature": 1}
    assert stand.record()["dropped"] == ["logit_bias", "user", "?"]
    stand.ask({"model": "fat", "logit_bias": {}, "stream": False})
    assert stand.body() == {"model": "fat", "logit_bias": {}, "stream": False}
    assert "dropped" not in stand.record()


def test_the_record_has_what_the_last_attempt_dropped(stand: Stand) -> None:
    stand.ask({"model": "both", "user": "u"})
    assert stand.providers == ["down", "lean"]
    assert "dropped" not in stand.record()
