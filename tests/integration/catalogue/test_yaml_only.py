"""Providers and endpoints that nobody has ever heard of, made by YAML alone."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from engine.config.new_key import digest
from tests import loopback
from tests.recorder import Arrival, Recorder, Reply, recording
from tests.servers import KEY, Server, gateway, write_keys

PASS, SEAL, OWN = "canary-delphi-pass", "canary-delphi-seal", "canary-of-the-caller"

ROUTES = """
version: 1
endpoints:
  horoscope:
    path: /stars/v9/horoscope
    default_model: crystal-ball-1
  divination:
    path: /stars/v9/divine
    body: [form, json]
  smoke:
    path: /stars/v9/smoke
    body: form
  tea_leaves:
    path: /tea/leaves
    errors: anthropic
  omens:
    path: /omens
    method: GET
    default_model: crystal-birds
not_exposed:
  - {paths: [/entrails/*], reason: nobody reads entrails any more}
models:
  - {prefix: crystal-, provider: delphi}
  - {model: oracle, provider: delphi, as: crystal/oracle-7}
  - {prefix: delphi/, provider: delphi, strip: true}
  - {prefix: oak-, provider: dodona}
"""

PROVIDERS = """
version: 1
providers:
  delphi:
    base_url: http://127.0.0.1:{port}/temple
    variables:
      realm: {env: DELPHI_REALM, default: apollo}
      edition: "9 & 3/4"
    credentials:
      pass: {env: DELPHI_PASS}
      seal: {env: DELPHI_SEAL, optional: true}
    headers:
      x-delphi-pass: "Pythia {{ credentials.pass }}"
      x-delphi-seal: "{{ credentials.seal | b64encode }}"
      x-delphi-dialect: "{{ request.headers['x-delphi-dialect'] | default('riddle') }}"
      x-delphi-asked: "{{ endpoint }} of {{ model | upper }}"
      x-delphi-fixed: laurel
    forward_headers: [x-delphi-dialect, x-note-*]
    caller_credentials:
      headers: {x-bring-pass: pass}
      body: {delphi_pass: pass}
    endpoints:
      horoscope:
        path: /{{ variables.realm }}/read
        query: {edition: "{{ variables.edition }}", lang: grc}
      divination: /pool/{{ model | segment }}/gaze
      smoke: /altar
      tea_leaves: http://127.0.0.1:{port}/kitchen/leaves
      omens: /birds
  dodona:  # its credential is not set
    base_url: http://127.0.0.1:{port}/oak
    credentials:
      bark: {env: DODONA_BARK}
      root: {env: DODONA_ROOT}
    headers:
      authorization: "Oak {{ credentials.bark }}.{{ credentials.root }}"
    caller_credentials:
      headers: {x-bark: bark, x-root: root}
    endpoints: {horoscope: /rustle, tea_leaves: /rustle/tea}
"""

LIMITED, EXPIRED, ACTIVE = (f"sk-orq-{letter * 64}" for letter in "abd")
KEYS = [
    f"{{name: limited, sha256: {digest(LIMITED)}, endpoints: [horoscope, smoke, tea_leaves],"
    " models: [oracle, crystal-b*]}",
    f'{{name: expired, sha256: {digest(EXPIRED)}, expires: "2020-01-01"}}',
    f'{{name: active, sha256: {digest(ACTIVE)}, expires: "2999-01-01"}}',
]


RIDDLE = Reply(
    b"know thyself\r\n",
    status=(218, "This is fine"),
    headers=(("content-type", "text/x-riddle"), ("x-laurel", "green")),
)


def write(folder: Path, port: int) -> Path:
    (folder / "routes.yaml").write_text(ROUTES)
    (folder / "providers.yaml").write_text(PROVIDERS.replace("{port}", str(port)))
    write_keys(folder, *KEYS)
    return folder


@pytest.fixture(scope="module")
def temple() -> Iterator[Recorder]:
    with recording(RIDDLE) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def fictional(tmp_path_factory: pytest.TempPathFactory, temple: Recorder) -> Iterator[Server]:
    folder = write(tmp_path_factory.mktemp("fictional"), temple.port)
    environ = {"DELPHI_PASS": PASS, "DELPHI_SEAL": SEAL}
    with gateway(folder, folder / "log", environ=environ) as server:
        yield server


@pytest.fixture
def caller(fictional: Server, temple: Recorder) -> Iterator[httpx2.Client]:
    temple.arrivals.clear()
    headers = {"authorization": f"Bearer {KEY}"}
    with loopback.Client(base_url=fictional.url, headers=headers, timeout=60) as client:
        yield client


def assert_refused(answer: httpx2.Response, temple: Recorder, status: int, code: str) -> Any:
    """An answer of the gateway's own, with nothing sent upstream; gives its body."""
    assert (answer.status_code, answer.headers["x-engine-error"]) == (status, code)
    assert temple.arrivals == []
    assert not [s for s in (PASS, SEAL, OWN, KEY) if s in answer.text]
    return answer.json()


def assert_only_caller_credential(arrival: Arrival) -> None:
    """The caller's credential in its header; the operator's, even an optional one, nowhere."""
    assert arrival.values("x-delphi-pass") == [f"Pythia {OWN}"]
    assert arrival.values("x-delphi-seal") == []
    assert arrival.values("x-delphi-fixed") == ["laurel"]
    assert arrival.values("x-bring-pass") == []
    everything = repr(arrival)
    assert not [s for s in (PASS, SEAL, encoded(SEAL), KEY) if s in everything]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# -- where it goes, and as what ----------------------------------------------------------------


def test_path_query_headers_and_body(caller: httpx2.Client, temple: Recorder) -> None:
    body = b'{ "sign":"leo" ,"model": "crystal-ball", "n": 1.50 }'
    answer = caller.post(
        "/stars/v9/horoscope", content=body, headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.content) == (218, b"know thyself\r\n")
    assert answer.headers["content-type"] == "text/x-riddle"
    assert answer.headers["x-laurel"] == "green"
    arrival = temple.take()
    assert arrival.method == "POST"
    assert arrival.target == "/temple/apollo/read?edition=9%20%26%203%2F4&lang=grc"
    assert arrival.body == body
    assert arrival.values("host") == [f"127.0.0.1:{temple.port}"]
    assert arrival.values("x-delphi-pass") == [f"Pythia {PASS}"]
    assert arrival.values("x-delphi-seal") == [encoded(SEAL)]
    assert arrival.values("x-delphi-dialect") == ["riddle"]
    assert arrival.values("x-delphi-asked") == ["horoscope of CRYSTAL-BALL"]
    assert arrival.values("x-delphi-fixed") == ["laurel"]
    assert KEY not in repr(arrival)


def test_a_query_of_the_caller_is_kept_but_for_fixed_names(
    caller: httpx2.Client, temple: Recorder
) -> None:
    query = "a=1&lang=en&b=%2F&l%61ng=de&LANG=it&x=1;Edition=3&c"
    caller.post(f"/stars/v9/horoscope?{query}", json={"model": "crystal-ball"})
    target = "/temple/apollo/read?a=1&b=%2F&x=1&c&edition=9%20%26%203%2F4&lang=grc"
    assert temple.take().target == target


def test_headers_of_the_caller(caller: httpx2.Client, temple: Recorder) -> None:
    headers = {
        "x-delphi-dialect": "hexameter",
        "x-note-one": "1",
        "x-notes": "not listed",
        "x-delphi-pass": "forged",
        "x-delphi-fixed": "forged",
        "x-forwarded-for": "10.0.0.1",
        "cookie": "a=b",
        "x-secret": "mine",
        "accept-language": "el",
    }
    caller.post("/stars/v9/horoscope", json={"model": "crystal-ball"}, headers=headers)
    arrival = temple.take()
    assert arrival.values("x-delphi-dialect") == ["hexameter"]
    assert arrival.values("x-note-one") == ["1"]
    assert arrival.values("accept-language") == ["el"]
    assert arrival.values("x-delphi-pass") == [f"Pythia {PASS}"]
    assert arrival.values("x-delphi-fixed") == ["laurel"]
    names = {name for name, _ in arrival.headers}
    assert names & {"x-notes", "x-forwarded-for", "cookie", "x-secret", "authorization"} == set()


@pytest.mark.http1("HTTP/2 has no `connection` (RFC 9113, 8.2.2)")
@pytest.mark.parametrize("unlisted", ["x-delphi-pass", "x-note-one"])
def test_connection_cannot_remove_what_the_provider_needs(
    caller: httpx2.Client, temple: Recorder, unlisted: str
) -> None:
    headers = {"connection": f"close, {unlisted}", "x-note-one": "1"}
    caller.post("/stars/v9/horoscope", json={"model": "crystal-ball"}, headers=headers)
    arrival = temple.take()
    assert arrival.values("x-delphi-pass") == [f"Pythia {PASS}"]
    assert arrival.values("x-note-one") == ([] if unlisted == "x-note-one" else ["1"])


def test_an_alias_changes_the_model_alone(caller: httpx2.Client, temple: Recorder) -> None:
    body = b'{"q": {"model": "oracle"},\n "model" : "oracle", "x": "\\u00e9 \xc3\xa9", "n": 1E2}'
    caller.post("/stars/v9/horoscope", content=body, headers={"content-type": "application/json"})
    arrival = temple.take()
    assert arrival.body == body.replace(b'"model" : "oracle"', b'"model" : "crystal/oracle-7"')
    assert arrival.values("content-length") == [str(len(arrival.body))]
    assert arrival.values("x-delphi-asked") == ["horoscope of CRYSTAL/ORACLE-7"]


def test_a_stripped_prefix_and_the_model_in_the_path(
    caller: httpx2.Client, temple: Recorder
) -> None:
    caller.post("/stars/v9/divine", json={"model": "delphi/deep@v:1pool"})
    arrival = temple.take()
    assert arrival.target == "/temple/pool/deep@v:1pool/gaze"
    assert json.loads(arrival.body) == {"model": "deep@v:1pool"}


@pytest.mark.parametrize("model", ["oracle", "delphi/..", "delphi/a/b", "delphi/%2e", "delphi/"])
def test_a_model_that_is_no_segment_never_reaches_the_path(
    caller: httpx2.Client, temple: Recorder, model: str
) -> None:
    answer = caller.post("/stars/v9/divine", json={"model": model})
    missing = model == "delphi/"
    status, code = (404, "model_not_found") if missing else (400, "invalid_model")
    assert_refused(answer, temple, status, code)


def test_a_form_keeps_every_other_byte(caller: httpx2.Client, temple: Recorder) -> None:
    fields = {"before": "delphi/deep", "model": "delphi/deep", "after": "x\r\ny"}
    files = {"picture": ("\u00e9 palm.png", bytes(range(256)) * 300, "image/png")}
    asked = caller.build_request("POST", "/stars/v9/divine", data=fields, files=files)
    assert caller.send(asked).status_code == 218
    arrival = temple.take()
    named = b'name="model"\r\n\r\n'
    assert arrival.target == "/temple/pool/deep/gaze"
    assert arrival.body == asked.read().replace(named + b"delphi/deep", named + b"deep")
    assert arrival.values("content-type") == [asked.headers["content-type"]]


def test_a_default_model_routes_and_leaves_the_body_alone(
    caller: httpx2.Client, temple: Recorder
) -> None:
    caller.post("/stars/v9/horoscope", json={"sign": "leo"})
    arrival = temple.take()
    assert json.loads(arrival.body) == {"sign": "leo"}
    assert arrival.values("x-delphi-asked") == ["horoscope of CRYSTAL-BALL-1"]


def test_another_method(caller: httpx2.Client, temple: Recorder) -> None:
    assert caller.get("/omens?from=east").status_code == 218
    arrival = temple.take()
    assert (arrival.method, arrival.target) == ("GET", "/temple/birds?from=east")
    assert arrival.body == b""
    answer = caller.post("/omens", json={})
    assert_refused(answer, temple, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


def test_an_absolute_url_leaves_the_base_url(caller: httpx2.Client, temple: Recorder) -> None:
    caller.post("/tea/leaves", json={"model": "crystal-tea"})
    assert temple.take().target == "/kitchen/leaves"


def test_a_variable_from_the_environment(tmp_path: Path, temple: Recorder) -> None:
    folder = write(tmp_path, temple.port)
    environ = {"DELPHI_PASS": PASS, "DELPHI_REALM": "artemis"}
    with gateway(folder, folder / "log", environ=environ) as server:
        headers = {"authorization": f"Bearer {KEY}"}
        answer = loopback.post(f"{server.url}/stars/v9/horoscope", json={}, headers=headers)
    assert answer.status_code == 218
    arrival = temple.take()
    assert arrival.target.startswith("/temple/artemis/read?")
    assert arrival.values("x-delphi-seal") == []  # its optional credential is not set


# -- whose credential --------------------------------------------------------------------------


def test_a_credential_of_the_caller_in_a_header(caller: httpx2.Client, temple: Recorder) -> None:
    asked = caller.build_request(
        "POST",
        "/stars/v9/horoscope",
        json={"model": "crystal-ball"},
        headers={"x-bring-pass": OWN},
    )
    caller.send(asked)
    arrival = temple.take()
    assert_only_caller_credential(arrival)
    assert arrival.body == asked.read()


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        (b'{"delphi_pass": "%b", "model": "crystal-b"}', b'{ "model": "crystal-b"}'),
        (b'{"model": "crystal-b",  "delphi_pass": "%b"}', b'{"model": "crystal-b"}'),
        (b'{"model": "crystal-b", "delphi_pass" : "%b" , "n": 1.0}', None),
    ],
)
def test_a_credential_of_the_caller_in_json(
    caller: httpx2.Client, temple: Recorder, sent: bytes, left: bytes | None
) -> None:
    caller.post(
        "/stars/v9/horoscope",
        content=sent % OWN.encode(),
        headers={"content-type": "application/json"},
    )
    arrival = temple.take()
    assert_only_caller_credential(arrival)
    assert OWN.encode() not in arrival.body
    if left is not None:
        assert arrival.body == left
    else:
        assert arrival.body.endswith(b'"n": 1.0}')
        assert json.loads(arrival.body) == {"model": "crystal-b", "n": 1.0}


def test_a_credential_of_the_caller_in_a_form(caller: httpx2.Client, temple: Recorder) -> None:
    picture = {"picture": ("a.png", bytes(range(256)), "image/png")}
    fields = {"first": "1", "delphi_pass": OWN, "model": "crystal-pool", "last": "2"}
    asked = caller.build_request("POST", "/stars/v9/divine", data=fields, files=picture)
    assert caller.send(asked).status_code == 218
    arrival = temple.take()
    assert_only_caller_credential(arrival)
    boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
    part = b'--%b\r\nContent-Disposition: form-data; name="delphi_pass"\r\n\r\n%b\r\n'
    removed = part % (boundary, OWN.encode())
    assert removed in asked.read()
    assert arrival.body == asked.read().replace(removed, b"")


def test_both_ways_at_once_leave_no_trace_of_either(
    caller: httpx2.Client, temple: Recorder
) -> None:
    caller.post(
        "/stars/v9/horoscope",
        json={"model": "crystal-ball", "delphi_pass": "canary-in-the-body"},
        headers={"x-bring-pass": OWN},
    )
    arrival = temple.take()
    assert_only_caller_credential(arrival)
    assert json.loads(arrival.body) == {"model": "crystal-ball"}


def test_a_provider_without_its_credential(caller: httpx2.Client, temple: Recorder) -> None:
    """It is refused as the caller's to solve, while the others go on."""
    answer = caller.post("/stars/v9/horoscope", json={"model": "oak-1"})
    error = assert_refused(answer, temple, 401, "provider_key_missing")["error"]
    assert "`dodona`" in error["message"]
    assert error["code"] == "provider_key_missing"
    assert error["type"] == "authentication_error"
    assert caller.post("/stars/v9/horoscope", json={}).status_code == 218


def test_a_caller_brings_all_that_a_provider_needs_or_nothing(
    caller: httpx2.Client, temple: Recorder
) -> None:
    half = caller.post("/stars/v9/horoscope", json={"model": "oak-1"}, headers={"x-bark": OWN})
    body = assert_refused(half, temple, 401, "provider_key_missing")
    assert "root" in body["error"]["message"]
    both = {"x-bark": OWN, "x-root": "deep"}
    whole = caller.post("/stars/v9/horoscope", json={"model": "oak-1"}, headers=both)
    assert whole.status_code == 218
    arrival = temple.take()
    assert arrival.target == "/oak/rustle"
    assert arrival.values("authorization") == [f"Oak {OWN}.deep"]


# -- who may -----------------------------------------------------------------------------------


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("model", ["oracle", "crystal-b", "crystal-ball-9"])
def test_a_limited_key_within_its_limits(
    caller: httpx2.Client, temple: Recorder, model: str
) -> None:
    answer = caller.post("/stars/v9/horoscope", json={"model": model}, headers=bearer(LIMITED))
    assert answer.status_code == 218
    assert temple.take().values("x-delphi-pass") == [f"Pythia {PASS}"]


@pytest.mark.parametrize(
    ("path", "model", "named"),
    [
        ("/stars/v9/divine", "oracle", "divination"),
        ("/stars/v9/horoscope", "crystal-", None),
        ("/stars/v9/horoscope", "oracle-2", None),
        ("/stars/v9/horoscope", "delphi/oracle", None),
    ],
)
def test_a_limited_key_beyond_its_limits(
    caller: httpx2.Client, temple: Recorder, path: str, model: str, named: str | None
) -> None:
    answer = caller.post(path, json={"model": model}, headers=bearer(LIMITED))
    error = assert_refused(answer, temple, 403, "not_allowed")["error"]
    assert error["type"] == "permission_error"
    assert error["param"] == (None if named else "model")
    assert (named or "model") in error["message"]


@pytest.mark.parametrize("further", ["models", "fallbacks"])
@pytest.mark.parametrize("value", [["forbidden"], "forbidden", [{"model": "forbidden"}], {}])
def test_a_limited_key_names_no_further_models(
    caller: httpx2.Client, temple: Recorder, further: str, value: object
) -> None:
    path, asked = "/stars/v9/horoscope", {"model": "oracle", further: value}
    answer = caller.post(path, json=asked, headers=bearer(LIMITED))
    error = assert_refused(answer, temple, 403, "not_allowed")["error"]
    assert error["param"] == further
    answer = caller.post(
        path, json={"model": "oracle", further.title(): 1}, headers=bearer(LIMITED)
    )
    assert_refused(answer, temple, 400, "duplicate_field")
    for nothing in (b"null", b"[]"):
        body = b'{"model": "oracle", "%b": %b}' % (further.encode(), nothing)
        headers = {**bearer(LIMITED), "content-type": "application/json"}
        assert caller.post(path, content=body, headers=headers).status_code == 218
        temple.take()
    answer = caller.post(path, json=asked, headers=bearer(ACTIVE))
    assert answer.status_code == 218
    assert json.loads(temple.take().body)[further] == value


@pytest.mark.parametrize("name", ["models", "fallbacks[]", "Models", "models[0]"])
@pytest.mark.parametrize("size", [10, 300_000], ids=["small", "large"])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_limited_key_names_no_further_models_in_a_form(
    caller: httpx2.Client, temple: Recorder, name: str, size: int, *, is_late: bool
) -> None:
    further = (name, (None, b"forbidden"))
    picture = ("picture", ("palm.png", bytes(size), "image/png"))
    model = ("model", (None, b"oracle"))
    parts: Any = [model, picture, further] if is_late else [model, further, picture]
    answer = caller.post("/stars/v9/smoke", files=parts, headers=bearer(LIMITED))
    assert_refused(answer, temple, 403, "not_allowed")
    assert caller.post("/stars/v9/smoke", files=parts, headers=bearer(ACTIVE)).status_code == 218
    assert b"forbidden" in temple.take().body
    answer = caller.post("/stars/v9/smoke", files=[model, picture], headers=bearer(LIMITED))
    assert answer.status_code == 218
    temple.take()


@pytest.mark.parametrize(
    ("tools", "code"),
    [
        (b'[{"type": "image_generation", "model": "forbidden"}]', "not_allowed"),
        (b'[{"name": "a"}, {"\\u006dodel": "forbidden"}]', "not_allowed"),
        (b'[{"model": "oracle", "model": "forbidden"}]', "duplicate_field"),
        (b'[{"model": "oracle", "Model": "forbidden"}]', "duplicate_field"),
        (b'[{"model": ["forbidden"]}]', "invalid_model"),
        (b'{"model": "forbidden"}', "not_allowed"),
        (b"[" + b"{}," * 1024 + b"{}]", "not_allowed"),
        (b"[" + b" " * 2**20 + b"]", "not_allowed"),
        (b'[{"model": "oracle"}, {"name": "a", "input_schema": {"model": "forbidden"}}, 1]', None),
        (b"null", None),
        (b"[]", None),
    ],
)
def test_a_limited_key_names_no_model_of_a_tool(
    caller: httpx2.Client, temple: Recorder, tools: bytes, code: str | None
) -> None:
    path, body = "/stars/v9/horoscope", b'{"model": "oracle", "tools": %b}' % tools
    json_type = {"content-type": "application/json"}
    answer = caller.post(path, content=body, headers=json_type | bearer(LIMITED))
    if code is None:
        assert (answer.status_code, tools in temple.take().body) == (218, True)
        return
    assert_refused(answer, temple, 403 if code == "not_allowed" else 400, code)
    assert caller.post(path, content=body, headers=json_type | bearer(ACTIVE)).status_code == 218
    assert tools in temple.take().body


def test_a_limit_holds_for_a_default_model_too(caller: httpx2.Client, temple: Recorder) -> None:
    assert caller.post("/stars/v9/horoscope", json={}, headers=bearer(LIMITED)).is_success
    assert temple.take().values("x-delphi-asked") == ["horoscope of CRYSTAL-BALL-1"]
    answer = caller.get("/omens", headers=bearer(LIMITED))
    assert_refused(answer, temple, 403, "not_allowed")


def test_expiry(caller: httpx2.Client, temple: Recorder) -> None:
    path, asked = "/stars/v9/horoscope", {"model": "oracle"}
    answer = caller.post(path, json=asked, headers=bearer(EXPIRED))
    assert_refused(answer, temple, 401, "expired_api_key")
    assert caller.post(path, json=asked, headers=bearer(ACTIVE)).status_code == 218


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key", "x-goog-api-key"])
def test_the_gateway_key_in_any_header(fictional: Server, temple: Recorder, name: str) -> None:
    temple.arrivals.clear()
    value = f"Bearer {KEY}" if name == "authorization" else KEY
    url = f"{fictional.url}/stars/v9/horoscope"
    assert loopback.post(url, json={}, headers={name: value}).status_code == 218
    arrival = temple.take()
    assert arrival.values(name) == []
    assert KEY not in repr(arrival)
    refused = loopback.post(url, json={}, headers={name: value + "0"})
    assert_refused(refused, temple, 401, "invalid_api_key")


# -- how it is told ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "body", "status", "kind", "code"),
    [
        (KEY, {"model": "nobody"}, 404, "not_found_error", "model_not_found"),
        (KEY, {"model": "oak-1"}, 401, "authentication_error", "provider_key_missing"),
        (KEY, {}, 400, "invalid_request_error", "model_required"),
        (LIMITED, {"model": "crystal-x"}, 403, "permission_error", "not_allowed"),
        (EXPIRED, {"model": "oracle"}, 401, "authentication_error", "expired_api_key"),
    ],
)
def test_the_other_error_dialect(
    caller: httpx2.Client,
    temple: Recorder,
    key: str,
    body: dict[str, str],
    status: int,
    kind: str,
    code: str,
) -> None:
    answer = caller.post("/tea/leaves", json=body, headers=bearer(key))
    told = assert_refused(answer, temple, status, code)
    assert set(told) == {"type", "error", "request_id"}
    assert told["type"] == "error"
    assert told["error"]["type"] == kind
    assert told["error"]["message"].endswith(f"({code})")
    assert told["request_id"] == answer.headers["request-id"]
    assert told["request_id"] == answer.headers["x-engine-request-id"]


def test_reasons_are_the_operators_own_words(caller: httpx2.Client, temple: Recorder) -> None:
    body = assert_refused(caller.get("/entrails/liver"), temple, 404, "not_exposed")
    assert "nobody reads entrails any more" in body["error"]["message"]
    unserved = caller.post("/stars/v9/divine", json={"model": "oak-1"})
    body = assert_refused(unserved, temple, 404, "endpoint_not_supported")
    assert "`dodona`" in body["error"]["message"]
    assert "horoscope" in body["error"]["message"]
    unknown = caller.post("/v1/chat/completions", json={"model": "oracle"})
    assert_refused(unknown, temple, 404, "unknown_path")


def test_the_access_record(fictional: Server, caller: httpx2.Client, temple: Recorder) -> None:
    """It names things as the YAML does, points at the rule, and holds no secret."""
    answer = caller.post(
        "/stars/v9/horoscope", json={"model": "oracle"}, headers={"x-bring-pass": OWN}
    )
    record = fictional.record(answer.headers["x-engine-request-id"])
    line = ROUTES.splitlines().index("  - {model: oracle, provider: delphi, as: crystal/oracle-7}")
    assert record["endpoint"] == "horoscope"
    assert record["provider"] == "delphi"
    assert (record["model"], record["sent_model"]) == ("oracle", "crystal/oracle-7")
    assert record["status"] == 218
    assert f"routes.yaml:{line + 1}" in record.values()
    assert not [s for s in (OWN, PASS, SEAL, KEY) if s in fictional.text]
