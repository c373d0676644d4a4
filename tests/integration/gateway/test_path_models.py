"""A model in the path, from the caller to the upstream: it routes, and the body goes up with it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from engine.config.new_key import digest
from tests import loopback
from tests.recorder import Arrival, Recorder, recording
from tests.servers import KEY, Server, gateway, write_keys

ROUTES = """
version: 1
endpoints:
  words: {path: /v1/words, also: ["/at/{model}/words", /v1/words/], drop_query: [api-version]}
  sounds: {path: "/at/{model}/sounds", body: [form, json]}
  named: {path: /v1/named}
models:
  - {prefix: plain/, provider: plain, strip: true}
  - {prefix: placed/, provider: placed, strip: true}
  - {prefix: edited/, provider: edited, strip: true}
  - {prefix: m, provider: plain}
  - {model: alias, provider: plain, as: real/one}
"""
PROVIDERS = """
version: 1
providers:
  plain:
    base_url: http://127.0.0.1:{port}
    endpoints: {words: /w, sounds: /s, named: /n}
  placed:
    base_url: http://127.0.0.1:{port}
    endpoints:
      words: {path: "/in/{{ model | segment }}/words", query: {api-version: "9"}}
      sounds: {path: "/in/{{ model | segment }}/sounds", body: {drop: [model]}}
  edited:
    base_url: http://127.0.0.1:{port}
    endpoints:
      words: {path: /w, body: {rename: {model: model_id}}}
      sounds: {path: /s, body: {default: {kind: query}}}
"""
LIMITED = "sk-orq-" + "1" * 64


@dataclass
class Stand:
    server: Server
    upstream: Recorder

    def call(self, path: str, body: Any, key: str = KEY) -> httpx2.Response:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        text = body if isinstance(body, str) else json.dumps(body)
        return loopback.post(self.server.url + path, content=text, headers=headers)

    def sent(self, path: str, body: Any) -> Arrival:
        answer = self.call(path, body)
        assert answer.status_code == 200, answer.text
        return self.upstream.take()

    def form(self, path: str, parts: list[tuple[str, Any]]) -> Arrival:
        headers = {"authorization": f"Bearer {KEY}"}
        answer = loopback.post(self.server.url + path, files=parts, headers=headers)
        assert answer.status_code == 200, answer.text
        return self.upstream.take()

    def refused(self, path: str, body: Any, key: str = KEY) -> str:
        answer = self.call(path, body, key)
        assert self.upstream.arrivals == []
        return answer.headers["x-engine-error"]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("paths")
    with recording() as upstream:
        (folder / "routes.yaml").write_text(ROUTES)
        (folder / "providers.yaml").write_text(PROVIDERS.replace("{port}", str(upstream.port)))
        write_keys(folder, f"{{name: limited, sha256: {digest(LIMITED)}, models: [mini]}}")
        with gateway(folder, folder / "log") as server:
            yield Stand(server, upstream)


BODIES = {
    "the same": ('{"a": 1, "model":"mini"}', '{"a": 1, "model":"mini"}'),
    "none": ('{"a": 1}', '{"model": "mini", "a": 1}'),
    "nothing at all": ("{}", '{"model": "mini"}'),
    "another": ('{"a": 1.50, "model" : "max", "b": 2}', '{"a": 1.50, "model" : "mini", "b": 2}'),
    "empty": ('{"model": ""}', '{"model": "mini"}'),
}


@pytest.mark.parametrize(("body", "sent"), BODIES.values(), ids=BODIES.keys())
def test_the_path_decides_and_the_body_goes_up_with_it(stand: Stand, body: str, sent: str) -> None:
    arrival = stand.sent("/at/mini/words", body)
    assert (arrival.target, arrival.body.decode()) == ("/w", sent)


def test_it_is_routed_and_renamed_as_a_model_in_a_body_is(stand: Stand) -> None:
    for segment, target, model in (
        ("plain%2Fx%2Fy", "/w", "x/y"),
        ("alias", "/w", "real/one"),
        ("placed%2Fdep-1", "/in/dep-1/words?api-version=9", "dep-1"),
    ):
        for body in ({}, {"model": "gpt"}, {"model": model}):
            arrival = stand.sent(f"/at/{segment}/words", body)
            assert (arrival.target, json.loads(arrival.body)) == (target, {"model": model})


def test_what_the_provider_edits_is_edited(stand: Stand) -> None:
    assert json.loads(stand.sent("/at/edited%2Fx/words", {}).body) == {"model_id": "x"}
    assert json.loads(stand.sent("/at/placed%2Fx/sounds", {"model": "y"}).body) == {}
    added = {"kind": "query", "model": "x"}
    assert json.loads(stand.sent("/at/edited%2Fx/sounds", {}).body) == added


def test_a_form_gets_the_model_of_its_path(stand: Stand) -> None:
    sound = ("file", ("a.wav", b"RIFF" * 9))
    for parts in ([sound], [("model", (None, "max")), sound], [sound, ("model", (None, "max"))]):
        arrival = stand.form("/at/mini/sounds", parts)
        assert arrival.body.count(b'name="model"') == 1
        assert b"\r\n\r\nmini\r\n" in arrival.body
        assert b"RIFF" * 9 in arrival.body
        assert b"max" not in arrival.body


def test_a_key_is_held_to_the_model_that_goes_up(stand: Stand) -> None:
    """Neither the path nor the body gets a key past its limit."""
    answer = stand.call("/at/mini/words", {"model": "max"}, LIMITED)
    assert answer.status_code == 200
    assert json.loads(stand.upstream.take().body) == {"model": "mini"}
    assert stand.refused("/at/max/words", {"model": "mini"}, LIMITED) == "not_allowed"
    assert stand.refused("/at/m%69ni2/words", {"model": "mini"}, LIMITED) == "not_allowed"


REFUSED = {
    "two in the body": ('{"model": "mini", "model": "max"}', "duplicate_field"),
    "two by case": ('{"model": "mini", "Model": "max"}', "duplicate_field"),
    "no text": ('{"model": 7}', "invalid_model"),
    "null": ('{"model": null}', "invalid_model"),
}


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_a_body_that_could_be_read_otherwise_is_refused(stand: Stand, body: str, code: str) -> None:
    assert stand.refused("/at/mini/words", body) == code


def test_a_path_without_a_model_is_as_before(stand: Stand) -> None:
    assert stand.refused("/v1/words", {}) == "model_required"
    assert stand.sent("/v1/words/", {"model": "mini"}).target == "/w"
    assert stand.refused("/at/mini/named", {}) == "unknown_path"
    assert stand.refused("/at/nobody/words", {}) == "model_not_found"
    assert stand.refused("/at/placed%2Fa%2Fb/words", {}) == "invalid_model"


def test_parameters_of_the_path_stay_behind_and_all_others_pass(stand: Stand) -> None:
    query = "?api-version=2024-10-21&API-VERSION=1&a=b"
    assert stand.sent("/at/mini/words" + query, {}).target == "/w?a=b"
    assert stand.sent("/at/mini/words?%61pi-version=2", {}).target == "/w"
    assert stand.sent("/v1/words?api-version=3", {"model": "m"}).target == "/w?api-version=3"
    placed = stand.sent("/at/placed%2Fd/words" + query, {})
    assert placed.target == "/in/d/words?a=b&api-version=9"
