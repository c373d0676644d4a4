"""A credential that a caller brings reaches the providers that take it, and no other, in any order."""

import json
from collections.abc import Iterator
from itertools import product

import httpx2
import pytest

from tests import loopback
from tests.recorder import Recorder, Reply, recording
from tests.servers import KEY, Server, free_port, gateway, write_keys

# `no_*` listen nowhere, so the second target of a rule is asked.
ROUTES = """
version: 1
endpoints: {talk: {path: /talk, body: [json, form]}}
models:
  - {model: first, targets: [{provider: no_taker}, {provider: other}]}
  - {model: second, targets: [{provider: other}, {provider: taker}]}
  - {model: both, targets: [{provider: no_taker}, {provider: taker, as: renamed}]}
  - {model: drawn, targets: [{provider: no_taker, weight: 1}, {provider: taker, weight: 999}]}
  - {model: shared, targets: [{provider: broken}, {provider: taker}]}
  - {model: two, targets: [{provider: no_two}, {provider: other}, {provider: taker}]}
  - {model: weighed, targets: [{provider: other, weight: 9}, {provider: taker, weight: 1}]}
  - {model: sticky, targets: [{provider: other}, {provider: taker}], sticky: key}
  - {model: alone, provider: other}
  - {model: httpx, targets: [{provider: other}, {provider: by_httpx}]}
  - {model: accounts, targets: [{provider: accounts}, {provider: taker}]}
"""
_TAKES = "caller_credentials: {headers: {x-provider-api-key: key}, body: {api_key: key}}"
_OWN = 'credentials: {key: {env: OWN_KEY}}, headers: {x-key: "{{ credentials.key }}"}, endpoints: {talk: /talk}'
_TWO = 'credentials: {id: {env: OWN_KEY}, secret: {env: OWN_KEY}}, headers: {x-key: "{{ credentials.id }}{{ credentials.secret }}"}, endpoints: {talk: /talk}'
PROVIDERS = f"""
version: 1
providers:
  taker: {{base_url: "http://127.0.0.1:PORT/taker", {_OWN}, {_TAKES}}}
  no_taker: {{base_url: "http://127.0.0.1:CLOSED", {_OWN}, {_TAKES}}}
  broken: {{base_url: "http://127.0.0.1:PORT/broken", {_OWN}, {_TAKES}}}
  by_httpx: {{base_url: "http://127.0.0.1:PORT/taker", client: httpx, {_OWN}, {_TAKES}}}
  no_two: {{base_url: "http://127.0.0.1:CLOSED", {_TWO}, caller_credentials: {{body: {{aws_id: id, aws_secret: secret}}}}}}
  other: {{base_url: "http://127.0.0.1:PORT/other", forward_headers: ["x-*"], {_OWN}}}
  accounts: {{base_url: "http://127.0.0.1:PORT/other", {_OWN}, accounts: [{{credentials: {{key: {{env: OWN_KEY}}}}}}]}}
"""
SECRET = "sk-of-the-caller"
TAKEN = "second", "two", "weighed", "sticky", "httpx", "accounts"
REFUSED = "first", "alone", "both", "drawn"
WAYS = "header", "json", "form"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("caller_credentials")
    (folder / "routes.yaml").write_text(ROUTES)
    ports = PROVIDERS.replace("PORT", str(upstream.port)).replace("CLOSED", str(free_port()))
    (folder / "providers.yaml").write_text(ports)
    write_keys(folder)
    with gateway(folder, folder / "log", environ={"OWN_KEY": "sk-of-the-operator"}) as running:
        yield running


def ask(server: Server, model: str, way: str, **fields: str) -> httpx2.Response:
    """The caller's secret in a header, in a JSON body, or in a form."""
    headers = {"x-api-key": KEY}
    with loopback.Client(base_url=server.url, headers=headers, timeout=60) as client:
        if way == "header":
            return client.post("/talk", json={"model": model, **fields}, headers={"x-provider-api-key": SECRET})  # fmt: skip
        if way == "json":
            return client.post("/talk", json={"model": model, "api_key": SECRET, **fields})
        files = {"file": ("x", b"RIFF" * 50_000)}
        return client.post("/talk", data={"model": model, "api_key": SECRET, **fields}, files=files)


@pytest.mark.parametrize(("model", "way"), [*product(TAKEN, WAYS)])
def test_who_brings_a_credential_reaches_those_that_take_it(
    server: Server, upstream: Recorder, model: str, way: str
) -> None:
    for _ in range(3 if model == "weighed" else 1):
        answer = ask(server, model, way)
        assert answer.status_code == 200, answer.text
        arrival = upstream.take()
        assert arrival.target == "/taker/talk"
        assert arrival.values("x-key") == [SECRET]
        assert SECRET.encode() not in arrival.body
        assert not arrival.values("x-provider-api-key")
        assert server.record(answer.headers["x-engine-request-id"])["credential"] == "caller"


@pytest.mark.parametrize(("model", "way"), [*product(REFUSED, WAYS)])
def test_who_brings_a_credential_is_never_served_with_that_of_the_operator(
    server: Server, upstream: Recorder, model: str, way: str
) -> None:
    answer = ask(server, model, way)
    wanted = "provider_key_missing" if model == "alone" else "upstream_connect_failed"
    assert answer.headers["x-engine-error"] == wanted
    assert not upstream.arrivals
    assert SECRET not in answer.text


@pytest.mark.parametrize("way", ["json", "form"])
def test_what_another_provider_takes_goes_to_none(
    server: Server, upstream: Recorder, way: str
) -> None:
    """`taker` has no use for the fields of `no_two`, and gets what it takes itself."""
    answer = ask(server, "two", way, aws_id="sk-id", aws_secret="sk-secret")
    assert answer.status_code == 200, answer.text
    arrival = upstream.take()
    assert arrival.values("x-key") == [SECRET]
    assert b"sk-" not in arrival.body
    assert b"aws_" not in arrival.body


def test_providers_of_one_origin_share_a_credential(server: Server, upstream: Recorder) -> None:
    upstream.answer = lambda got: Reply(
        status=(503, "Busy") if got.target.startswith("/broken") else (200, "OK")
    )
    try:
        assert ask(server, "shared", "header").status_code == 200
    finally:
        upstream.answer = lambda _: Reply()
    assert [arrival.target for arrival in upstream.arrivals] == ["/broken/talk", "/taker/talk"]
    upstream.arrivals.clear()


def test_too_little_of_a_credential_skips_a_provider(server: Server, upstream: Recorder) -> None:
    assert ask(server, "two", "json", aws_id="sk-id").status_code == 200
    assert upstream.take().values("x-key") == [SECRET]


def test_without_one_the_operator_pays(server: Server, upstream: Recorder) -> None:
    """Before and after a caller with a credential, by the head that is remembered as by a new one."""
    for model in ("alone", "second"):
        for _ in range(2):
            headers = {"x-api-key": KEY, "x-model": model}
            answer = loopback.post(f"{server.url}/talk", json={"model": model}, headers=headers)
            assert answer.status_code == 200
            assert upstream.take().values("x-key") == ["sk-of-the-operator"]
            assert "credential" not in server.record(answer.headers["x-engine-request-id"])
            body = json.dumps({"model": model, "api_key": SECRET})
            headers["content-type"] = "application/json"
            status = loopback.post(f"{server.url}/talk", content=body, headers=headers).status_code
            assert status == {"alone": 401, "second": 200}[model]
            if status == 200:
                assert upstream.take().values("x-key") == [SECRET]


@pytest.mark.parametrize(
    "headers",
    [
        [("x-provider-api-key", SECRET), ("x-provider-api-key", SECRET)],
        [("x-provider-api-key", "sk of-the-caller")],
        [("x-provider-api-key", "sk-of-the-c\u00e4ller")],
        [("x-provider-api-key", "")],
        [("x-provider-api-key", "k" * 4097)],
    ],
    ids=["twice", "space", "umlaut", "empty", "long"],
)
def test_a_credential_that_cannot_be_one_is_refused(
    server: Server, upstream: Recorder, headers: list[tuple[str, str]]
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    body = json.dumps({"model": "second"})
    sent = [(b"x-api-key", KEY.encode()), (b"content-type", b"application/json"), *raw]
    answer = loopback.post(f"{server.url}/talk", content=body, headers=sent)
    assert answer.status_code == 400
    assert answer.headers["x-engine-error"] == "invalid_request"
    assert "sk" not in answer.text
    assert not upstream.arrivals


@pytest.mark.parametrize("length", [1, 4096])
def test_a_credential_may_be_as_long_as_a_token_gets(
    server: Server, upstream: Recorder, length: int
) -> None:
    headers = {"x-api-key": KEY, "x-provider-api-key": "k" * length}
    assert loopback.post(f"{server.url}/talk", json={"model": "second"}, headers=headers).status_code == 200  # fmt: skip
    assert upstream.take().values("x-key") == ["k" * length]


@pytest.mark.parametrize("model", ["second", "httpx"])
def test_a_cookie_of_a_provider_is_neither_kept_nor_sent_back(
    server: Server, upstream: Recorder, model: str
) -> None:
    """By neither client: it would carry what belongs to one caller to the next."""
    upstream.answer = lambda _: Reply(headers=(("set-cookie", "who=first; Path=/"),))
    try:
        for _ in range(2):
            answer = ask(server, model, "json")
            assert answer.status_code == 200, answer.text
            assert "set-cookie" not in answer.headers
            assert upstream.take().values("cookie") == []
    finally:
        upstream.answer = lambda _: Reply()
