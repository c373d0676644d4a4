"""Changes to bodies that a model rule and its targets ask for: what the provider gets."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.gateway.stand import Stand, standing

RULES = """
  - {model: plain, provider: a}
  - {model: one, provider: a, body: {set: {temperature: 0.2}, default: {/reasoning/effort: low}, drop: [user]}}
  - {prefix: "own/", provider: renames, strip: true, body: {set: {size: 5}, rename: {max: limit}}}
  - model: two
    body: {set: {temperature: 1, top_p: 1}}
    targets:
      - {provider: down, body: {set: {temperature: 2}}}
      - {provider: a, body: {set: {temperature: 3, "/a/b/c": [1, null]}}}
  - {model: heard, endpoint: hear, provider: renames, body: {set: {language: de}}}
"""
ENDPOINTS = "talk: {path: /talk}\n  hear: {path: /hear, body: form}"
PROVIDERS = {
    "a": "200",
    "down": "503",
    "renames": "200, endpoints: {talk: {path: /talk, body: {rename: {size: dimensions}, drop: [limit]}}, hear: /hear}",
}
FORM = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nheard\r\n--x\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n--x--\r\n'


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with standing(tmp_path_factory.mktemp("rules"), RULES, PROVIDERS, ENDPOINTS) as running:
        yield running


def test_a_rule_changes_the_body_of_its_models_alone(stand: Stand) -> None:
    stand.ask({"model": "one", "user": "u", "reasoning": {"x": 1}})
    assert stand.body() == {"model": "one", "temperature": 0.2, "reasoning": {"x": 1, "effort": "low"}}  # fmt: skip
    stand.ask(b'{"model": "plain",  "temperature": 1.0, "user": "u"}')
    assert stand.upstream.sent == [("a", b'{"model": "plain",  "temperature": 1.0, "user": "u"}')]


def test_the_provider_changes_what_the_rule_has_made(stand: Stand) -> None:
    stand.ask({"model": "own/x", "max": 7})
    assert stand.body() == {"model": "x", "dimensions": 5}


def test_a_target_changes_the_body_after_its_rule_and_for_itself_alone(stand: Stand) -> None:
    stand.ask({"model": "two", "temperature": 0})
    assert stand.providers == ["down", "a"]
    first, second = (json.loads(body) for _, body in stand.upstream.sent)
    assert first == {"model": "two", "temperature": 2, "top_p": 1}
    assert second == {"model": "two", "temperature": 3, "top_p": 1, "a": {"b": {"c": [1, None]}}}


def test_a_rule_changes_the_parts_of_a_form(stand: Stand) -> None:
    stand.ask(FORM, path=b"/hear", content_type=b"multipart/form-data; boundary=x")
    assert stand.upstream.sent[0][1].count(b'name="language"\r\n\r\nde\r\n') == 1
    assert b"en\r\n" not in stand.upstream.sent[0][1]


def test_a_changed_field_that_is_there_twice_is_refused(stand: Stand) -> None:
    response = stand.ask(b'{"model": "one", "temperature": 1, "temperature": 2}')
    assert (response.code, stand.providers) == ("duplicate_field", [])
