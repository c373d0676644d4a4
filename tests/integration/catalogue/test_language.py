"""What providers need of the language, over the wire: edits, defaults, accounts, picks, signers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from engine.config.new_key import digest
from tests import loopback
from tests.recorder import Arrival, Recorder, Reply, as_json, recording
from tests.servers import KEY, Server, gateway, write_keys

ROUTES = """
version: 1
endpoints:
  words: {path: /v1/words, also: [/words, /other/v1/words]}
  sounds: {path: /v1/sounds, body: [form, json]}
listing:
  path: /v1/models
  also: [/other/models]
  shape_by_header: {anthropic-version: anthropic}
models:
  - {prefix: edited/, provider: edited, strip: true}
  - {prefix: pathed/, provider: pathed, strip: true}
  - {prefix: slashed/, provider: slashed, strip: true}
  - {prefix: turns/, provider: turns, strip: true}
  - {prefix: weighed/, provider: weighed, strip: true}
  - {prefix: picked/, provider: picked, strip: true}
  - {prefix: aws/, provider: aws, strip: true}
  - {prefix: oauth/, provider: oauth, strip: true}
  - {model: alias, provider: edited, as: one}
  - {model: exact, provider: turns}
"""

PROVIDERS = """
version: 1
providers:
  edited:
    base_url: http://127.0.0.1:{port}
    default_headers: {x-dialect: plain}
    models: [one, two]
    endpoints:
      words:
        path: /w
        body:
          drop: [user, tags]
          rename: {dimensions: size, alike: same}
          default: {kind: query, deep: {a: [1, null, "é"]}}
          set: {version: "9", strict: true}
      sounds:
        path: /s
        body: {drop: [user], rename: {language: tongue}, default: {kind: query}, set: {strict: true}}
  pathed:
    base_url: http://127.0.0.1:{port}/at
    forward_headers: [x-note]
    headers: {x-tag: "{{ request.headers['x-note'] | default('none') }}"}
    endpoints:
      words:
        path: "/{{ model | segment }}:raw"
        stream_path: "/{{ model | segment }}:streamRaw"
        body: {drop: [model]}
      sounds: {path: /hear, stream_path: /hear-stream}
  slashed:
    base_url: http://127.0.0.1:{port}
    endpoints:
      words: "/keep/{{ model | segments }}/end"
      sounds: "/one/{{ model | encoded }}/end"
  turns:
    base_url: http://127.0.0.1:{port}
    variables: {side: left}
    credentials: {key: {env: TURN_1}}
    headers: {authorization: "Bearer {{ credentials.key }}"}
    caller_credentials: {headers: {x-own: key}}
    accounts:
      - credentials: {key: {env: TURN_2}}
        variables: {side: right}
      - credentials: {key: {env: TURN_NOT_SET}}
      - {callers: [guest-*], credentials: {key: {env: TURN_GUEST}}}
      - {callers: [poor], credentials: {key: {env: TURN_POOR}}}
      - {models: [big-*], credentials: {key: {env: TURN_BIG}}}
      - {callers: [guest-b], models: [big-*], credentials: {key: {env: TURN_BIG_B}}}
    endpoints: {words: "/{{ variables.side }}"}
  weighed:
    extends: {provider: turns, drop: [/accounts]}
    accounts:
      - {weight: 4, credentials: {key: {env: TURN_2}}}
      - {weight: 90, credentials: {key: {env: TURN_NOT_SET}}}
      - {weight: 2, credentials: {key: {env: TURN_BIG}}}
      - {weight: 9, callers: [guest-*], credentials: {key: {env: TURN_GUEST}}}
  picked:
    base_url: http://127.0.0.1:{port}/{{ variables.region }}
    variables: {region: {env: PICKED_REGION, default: north, choices: [north, south]}}
    credentials: {key: {env: TURN_1}}
    headers: {authorization: "Bearer {{ credentials.key }}"}
    caller_variables: {headers: {x-region: region}, body: {region_name: region}}
    endpoints: {words: /w, sounds: /s}
  aws:
    base_url: http://127.0.0.1:{port}/model
    credentials:
      token: {env: AWS_TOKEN, optional: true}
      access_key_id: {env: AWS_ID, optional: true}
      secret_access_key: {env: AWS_SECRET, optional: true}
      session_token: {env: AWS_SESSION, optional: true}
    headers: {authorization: "Bearer {{ credentials.token }}"}
    caller_credentials:
      body: {bearer: token, id: access_key_id, secret: secret_access_key, session: session_token}
    sign: {with: aws_sigv4, service: oracle, region: mid-1}
    endpoints: {words: "/{{ model | encoded }}/invoke", sounds: /s}
  oauth:
    base_url: http://127.0.0.1:{port}
    credentials: {credentials_file: {env: OAUTH_FILE}}
    sign: {with: google_oauth, scope: "https://example.com/all"}
    endpoints: {words: /o, sounds: /form}
"""

GUEST_A, GUEST_B, POOR, LIMITED = (f"sk-orq-{letter * 64}" for letter in "abcd")
ENVIRON = {
    name: f"canary-{name.lower()}"
    for name in ("TURN_1", "TURN_2", "TURN_GUEST", "TURN_BIG", "TURN_BIG_B", "AWS_ID", "AWS_SECRET")
}


@dataclass
class Stand:
    """A gateway in front of a recorder."""

    server: Server
    upstream: Recorder

    def send(
        self,
        body: dict[str, Any] | str,
        path: str = "/v1/words",
        key: str = KEY,
        **headers: str,
    ) -> Arrival:
        """What arrives upstream of a JSON call."""
        answer = self.call(body, path, key, **headers)
        assert answer.status_code == 200, answer.text
        return self.upstream.take()

    def call(
        self, body: dict[str, Any] | str, path: str = "/v1/words", key: str = KEY, **headers: str
    ) -> httpx2.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        sent = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return loopback.post(self.server.url + path, content=text, headers=sent)

    def get(self, path: str, key: str = KEY, **headers: str) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return loopback.get(self.server.url + path, headers={"x-api-key": key, **sent})

    def form(self, model: str, parts: list[tuple[str, Any]]) -> Arrival:
        """What arrives upstream of a form with these parts, the model first."""
        request = httpx2.Request(
            "POST",
            self.server.url + "/v1/sounds",
            files=[("model", (None, model)), *parts],
            headers={"authorization": f"Bearer {KEY}"},
        )
        with loopback.Client() as client:
            answer = client.send(request)
        assert answer.status_code == 200, answer.text
        return self.upstream.take()


def oauth_file(folder: Path, token_url: str) -> Path:
    """A service account whose tokens come from `token_url`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    account = {
        "type": "service_account", "client_email": "a@example.com", "private_key": pem,
        "private_key_id": "1", "project_id": "p", "token_uri": token_url,
    }  # fmt: skip
    file = folder / "account.json"
    file.write_text(json.dumps(account))
    return file


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("language")
    with recording() as upstream:
        upstream.answer = token_or_nothing
        (folder / "routes.yaml").write_text(ROUTES)
        (folder / "providers.yaml").write_text(PROVIDERS.replace("{port}", str(upstream.port)))
        write_keys(
            folder,
            f"{{name: guest-a, sha256: {digest(GUEST_A)}}}",
            f"{{name: guest-b, sha256: {digest(GUEST_B)}}}",
            f"{{name: poor, sha256: {digest(POOR)}}}",
            f"{{name: limited, sha256: {digest(LIMITED)}, models: [al*], endpoints: [words]}}",
        )
        file = str(oauth_file(folder, upstream.url + "/token"))
        environ = {**ENVIRON, "OAUTH_FILE": file}
        with gateway(folder, folder / "log", environ=environ) as server:
            yield Stand(server, upstream)


def token_or_nothing(arrival: Arrival) -> Reply:
    token = {"access_token": "canary-oauth-token", "expires_in": 3600, "token_type": "Bearer"}
    return as_json(token) if arrival.target == "/token" else Reply()


# -- fields of a body ----------------------------------------------------------------------------


def test_fields_are_dropped_renamed_added_and_set_and_no_other_byte_changes(stand: Stand) -> None:
    body = '{ "dimensions" : 1.50,"model":"edited/one",\n"user":"u", "x": {"user": 1e2},"version": "1" }'
    assert stand.send(body).body.decode() == (
        '{"strict": true, "deep": {"a": [1, null, "\\u00e9"]}, "kind": "query",  "size" : 1.50,'
        '"model":"one",\n "x": {"user": 1e2},"version": "9" }'
    )


def test_a_default_yields(stand: Stand) -> None:
    body = stand.send({"model": "edited/one", "kind": None, "deep": 0}).body
    assert json.loads(body) == {"model": "one", "kind": None, "deep": 0, "version": "9", "strict": True}  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        '{"model": "edited/one", "dimensions": 1, "size": 2}',
        '{"model": "edited/one", "user": 1, "user": 2}',
        '{"model": "edited/one", "User": 1}',
        '{"model": "edited/one", "us\\u0065r": 1, "user": 1}',
    ],
)
def test_a_field_that_could_be_read_twice_is_refused(stand: Stand, body: str) -> None:
    answer = stand.call(body)
    assert answer.status_code == 400
    assert answer.headers["x-engine-error"] == "duplicate_field"
    assert stand.upstream.arrivals == []


def test_parts_of_a_form_are_edited_and_no_other_byte_changes(stand: Stand) -> None:
    file = ("file", ("a.bin", b"\r\n--x\0" * 40_000))
    plain = stand.form("slashed/a", [("language", (None, "en")), ("user", (None, "u")), file])
    sent = stand.form("edited/one", [("language", (None, "en")), ("user", (None, "u")), file])
    parts = plain.body.split(plain.body[: plain.body.index(b"\r\n")])
    boundary = sent.body[: sent.body.index(b"\r\n")]
    model, language, _, uploaded, end = parts[1:]
    added = b'\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    expected = [added % (b"kind", b"query"), added % (b"strict", b"true")]
    expected += [model.replace(b"a\r\n", b"one\r\n"), language.replace(b'"language"', b'"tongue"')]
    assert sent.body == boundary + boundary.join([*expected, uploaded, end])


@pytest.mark.parametrize("name", ["user", "tongue", "kind"])
def test_a_part_behind_a_large_file_cannot_be_edited_any_more(stand: Stand, name: str) -> None:
    boundary = b"--b\r\nContent-Disposition: form-data; name="
    body = boundary + b'"model"\r\n\r\nedited/one\r\n' + boundary
    body += b'"file"; filename=a\r\n\r\n' + b"x" * 3_000_000 + b"\r\n" + boundary
    body += f'"{name}"\r\n\r\nlate\r\n--b--\r\n'.encode()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "multipart/form-data; boundary=b"}
    answer = loopback.post(stand.server.url + "/v1/sounds", content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["x-engine-error"] == "invalid_form"
    stand.upstream.arrivals.clear()


def test_a_part_that_would_get_the_name_of_another_is_refused(stand: Stand) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    parts = [("model", (None, "edited/one")), ("language", (None, "en")), ("tongue", (None, "de"))]
    answer = loopback.post(f"{stand.server.url}/v1/sounds", headers=headers, files=parts)
    assert (answer.status_code, answer.headers["x-engine-error"]) == (400, "duplicate_field")
    assert stand.upstream.arrivals == []


# -- headers and paths ---------------------------------------------------------------------------


def test_a_default_header_yields_to_the_callers(stand: Stand) -> None:
    assert stand.send({"model": "edited/one"}).values("x-dialect") == ["plain"]
    assert stand.send({"model": "edited/one"}, x_dialect="own").values("x-dialect") == ["own"]


def test_a_stream_may_have_a_path_of_its_own(stand: Stand) -> None:
    arrival = stand.send({"model": "pathed/m@1", "stream": True})
    assert (arrival.target, arrival.body) == ("/at/m@1:streamRaw", b'{ "stream": true}')
    for stream in (False, None, "true", 1):
        assert stand.send({"model": "pathed/m@1", "stream": stream}).target == "/at/m@1:raw"


@pytest.mark.parametrize(
    ("parts", "target"),
    [
        ([], "/at/hear"),
        ([("stream", (None, "true"))], "/at/hear-stream"),
        ([("stream", (None, "false"))], "/at/hear"),
        ([("stream", (None, "True"))], "/at/hear"),
    ],
)
def test_a_form_that_asks_for_a_stream_has_that_path(
    stand: Stand, parts: list[tuple[str, Any]], target: str
) -> None:
    assert stand.form("pathed/m", parts).target == target


def test_what_no_header_can_hold_is_refused(stand: Stand) -> None:
    """A template puts what the caller sent into a header of the provider."""
    assert stand.send({"model": "pathed/m"}, "/v1/sounds", x_note="a b").values("x-tag") == ["a b"]
    url, body = stand.server.url + "/v1/sounds", json.dumps({"model": "pathed/m"})
    headers = [(b"x-api-key", KEY.encode()), (b"content-type", b"application/json")]
    answer = loopback.post(url, content=body, headers=[*headers, (b"x-note", b"\xfc")])
    assert (answer.status_code, answer.headers["x-engine-error"]) == (400, "invalid_request")
    assert stand.upstream.arrivals == []


@pytest.mark.parametrize(
    ("model", "kept", "encoded"),
    [
        ("org/m:1@2", "/keep/org/m:1@2/end", "/one/org%2Fm%3A1%402/end"),
        ("@cf/a;b?c#d", "/keep/@cf/a;b%3Fc%23d/end", "/one/%40cf%2Fa%3Bb%3Fc%23d/end"),
    ],
)
def test_a_model_with_slashes_in_a_path(stand: Stand, model: str, kept: str, encoded: str) -> None:
    assert stand.send({"model": f"slashed/{model}"}).target == kept
    assert stand.send({"model": f"slashed/{model}"}, "/v1/sounds").target == encoded


@pytest.mark.parametrize("model", ["a/../b", "./a", "a//b", "/a", "a/", "a%2fb", "a\\b"])
@pytest.mark.parametrize("path", ["/v1/words", "/v1/sounds"])
def test_a_model_that_leads_elsewhere_is_refused(stand: Stand, model: str, path: str) -> None:
    answer = stand.call({"model": f"slashed/{model}"}, path)
    assert answer.status_code == 400
    assert answer.headers["x-engine-error"] == "invalid_model"


def test_an_endpoint_may_have_more_paths(stand: Stand) -> None:
    for path in ("/words", "/other/v1/words"):
        assert stand.send({"model": "pathed/m"}, path).target == "/at/m:raw"
    assert stand.call({"model": "pathed/m"}, "/other/words").status_code == 404


# -- accounts and picks --------------------------------------------------------------------------


def keys_used(
    stand: Stand, model: str, key: str, times: int = 4, start: str = "turns"
) -> list[str]:
    sent = [stand.send({"model": f"{start}/{model}"}, key=key) for _ in range(times)]
    return [a.value("authorization").removeprefix("Bearer canary-turn_") for a in sent]


def test_accounts_are_used_in_turn_and_those_not_set_are_passed_over(stand: Stand) -> None:
    used = keys_used(stand, "small", KEY)
    assert sorted(used) == ["1", "1", "2", "2"]
    assert used[:2] == used[2:]
    targets = {stand.send({"model": "turns/small"}).target for _ in range(2)}
    assert targets == {"/left", "/right"}


def test_accounts_have_their_turns_by_weight(stand: Stand) -> None:
    """The provider's own has a weight of 1; the one that is not set counts for nothing."""
    used = keys_used(stand, "small", KEY, 14, start="weighed")
    assert used[:7] == used[7:] == ["2", "big", "2", "1", "2", "big", "2"]
    assert keys_used(stand, "small", GUEST_A, 2, start="weighed") == ["guest"] * 2


def test_the_most_narrowly_described_account_is_used(stand: Stand) -> None:
    assert keys_used(stand, "small", GUEST_A, 2) == ["guest"] * 2
    assert keys_used(stand, "big-1", GUEST_A, 2) == ["guest"] * 2
    assert keys_used(stand, "big-1", GUEST_B, 2) == ["big_b"] * 2
    assert keys_used(stand, "big-1", KEY, 2) == ["big"] * 2


def test_a_caller_never_gets_the_credential_of_others(stand: Stand) -> None:
    answer = stand.call({"model": "turns/small"}, key=POOR)
    assert answer.headers["x-engine-error"] == "provider_key_missing"
    assert stand.upstream.arrivals == []
    caller_credentials = stand.send({"model": "turns/small"}, key=POOR, x_own="mine")
    assert caller_credentials.value("authorization") == "Bearer mine"


def test_a_caller_picks_among_the_choices_alone(stand: Stand) -> None:
    assert stand.send({"model": "picked/m"}).target == "/north/w"
    assert stand.send({"model": "picked/m"}, x_region="south").target == "/south/w"
    arrival = stand.send({"model": "picked/m", "region_name": "south"})
    assert (arrival.target, arrival.body) == ("/south/w", b'{"model": "m"}')
    form = stand.form("picked/m", [("region_name", (None, "south")), ("file", ("f", b"1"))])
    assert form.target == "/south/s"
    assert b"region_name" not in form.body
    for bad in ("east", "", "north/..", "evil.example.com#"):
        answer = stand.call({"model": "picked/m", "region_name": bad})
        assert answer.headers["x-engine-error"] == "invalid_request", bad


# -- signers -------------------------------------------------------------------------------------


def signature(arrival: Arrival, key: str, secret: str, session: str | None) -> str:
    """The header that AWS's own code would sign `arrival` with, at the time it was signed at."""
    at = datetime.strptime(arrival.value("x-amz-date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
    url = f"http://{arrival.value('host')}{arrival.target}"
    request = AWSRequest(method=arrival.method, url=url, data=arrival.body)
    request.context["timestamp"] = arrival.value("x-amz-date")
    request.headers["X-Amz-Date"] = arrival.value("x-amz-date")
    if session:
        request.headers["X-Amz-Security-Token"] = session
    auth = SigV4Auth(Credentials(key, secret, session), "oracle", "mid-1")
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    signed = auth.signed_headers(auth.headers_to_sign(request))
    parts = [f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}", f"SignedHeaders={signed}"]
    return ", ".join([*parts, f"Signature={auth.signature(to_sign, request)}"])


def test_a_request_is_signed_as_it_stands_on_the_wire(stand: Stand) -> None:
    arrival = stand.send({"model": "aws/arn:x/y", "stream": True})
    assert arrival.target == "/model/arn%3Ax%2Fy/invoke"
    wanted = signature(arrival, ENVIRON["AWS_ID"], ENVIRON["AWS_SECRET"], None)
    assert arrival.value("authorization") == wanted


def test_a_caller_may_bring_what_signs_or_what_replaces_it(stand: Stand) -> None:
    arrival = stand.send({"model": "aws/m", "id": "i", "secret": "s", "session": "t"})
    assert arrival.body == b'{"model": "m"}'
    assert arrival.value("x-amz-security-token") == "t"
    assert arrival.value("authorization") == signature(arrival, "i", "s", "t")
    bearer = stand.send({"model": "aws/m", "bearer": "b"})
    assert bearer.value("authorization") == "Bearer b"
    assert bearer.values("x-amz-date") == []
    answer = stand.call({"model": "aws/m", "id": "i"})
    assert answer.headers["x-engine-error"] == "provider_key_missing"
    assert "secret_access_key" in answer.text


def test_a_form_is_not_signed_since_it_is_passed_on_as_it_arrives(stand: Stand) -> None:
    with pytest.raises(AssertionError, match="signature over the whole body"):
        stand.form("aws/m", [("file", ("f", b"1"))])
    assert stand.upstream.arrivals == []


def test_a_token_is_fetched_once_and_sent(stand: Stand) -> None:
    assert stand.call({"model": "oauth/m"}).status_code == 200
    fetched, sent = stand.upstream.arrivals
    stand.upstream.arrivals = []
    assert fetched.target == "/token"
    assert sent.value("authorization") == "Bearer canary-oauth-token"
    again = stand.form("oauth/m", [("file", ("f", b"1" * 3_000_000))])
    assert again.value("authorization") == "Bearer canary-oauth-token"


# -- the list of models --------------------------------------------------------------------------


def test_the_list_has_exact_names_aliases_and_what_providers_declare(stand: Stand) -> None:
    listed = stand.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [(m["id"], m["owned_by"]) for m in listed["data"]] == [
        ("alias", "edited"),
        ("edited/two", "edited"),
        ("exact", "turns"),
    ]
    assert stand.get("/other/models").json() == listed
    assert stand.get("/v1/models/edited%2Ftwo").json() == listed["data"][1]
    assert stand.get("/v1/models/edited/two").json() == listed["data"][1]


def test_the_list_in_the_other_shape(stand: Stand) -> None:
    listed = stand.get("/v1/models", anthropic_version="2023-06-01").json()
    assert [m["id"] for m in listed["data"]] == ["alias", "edited/two", "exact"]
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("alias", "exact", False)
    assert {m["type"] for m in listed["data"]} == {"model"}
    gone = stand.get("/v1/models/none", anthropic_version="2023-06-01")
    assert (gone.status_code, gone.json()["type"]) == (404, "error")


def test_the_list_is_that_of_the_key(stand: Stand) -> None:
    assert [m["id"] for m in stand.get("/v1/models", LIMITED).json()["data"]] == ["alias"]
    assert stand.get("/v1/models/exact", LIMITED).headers["x-engine-error"] == "model_not_found"
    assert stand.get("/v1/models", "sk-orq-none").status_code == 401
    posted = stand.call({}, "/v1/models")
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
    answer = stand.get("/v1/models")
    record = stand.server.record(answer.headers["x-engine-request-id"])
    assert (record["outcome"], record["status"], record["key"]) == ("ok", 200, "tests")
