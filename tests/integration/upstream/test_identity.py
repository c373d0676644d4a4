"""Workload identity: what the metadata server is asked, how often, and what waits for it."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth.exceptions import DefaultCredentialsError

from engine.plan.plan import Origin, Sign
from engine.upstream import Attempt, Pairs, RequestHead
from engine.upstream.signers import google_oauth
from engine.upstream.signers.aws_sigv4 import make_signer
from tests import loopback
from tests.recorder import Arrival, Recorder, Reply, as_json, recording
from tests.servers import KEY, Server, gateway, write_keys

ROUTES = """
version: 1
endpoints:
  talk: {path: /talk}
models:
  - {model: amazon, provider: amazon}
  - {model: google, provider: google}
  - {model: plain, provider: plain}
"""
PROVIDERS = """
version: 1
providers:
  amazon:
    base_url: http://127.0.0.1:PORT/amazon
    credentials:
      access_key_id: {env: NOT_SET, optional: true}
      secret_access_key: {env: NOT_SET, optional: true}
    caller_credentials: {body: {id: access_key_id, secret: secret_access_key}}
    sign: {with: aws_sigv4, service: s, region: r, identity: machine}
    endpoints: {talk: /talk}
  google:
    base_url: http://127.0.0.1:PORT/google
    sign: {with: google_oauth, scope: "https://example.com/all", identity: machine}
    endpoints: {talk: /talk}
  plain: {base_url: "http://127.0.0.1:PORT/plain", endpoints: {talk: /talk}}
"""
FLAVOR = (("content-type", "application/json"), ("metadata-flavor", "Google"))


def keys(number: int = 1, minutes: float = 60) -> Reply:
    """Credentials of a container, good for some minutes."""
    end = datetime.now(UTC) + timedelta(minutes=minutes)
    told = {
        "AccessKeyId": f"CANARY{number}", "SecretAccessKey": "canary-secret", "Token": "canary-token",
        "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    return as_json(told)


def metadata(arrival: Arrival) -> Reply:
    """The machine's own services: a container's role, and Google's metadata server."""
    path = arrival.target.partition("?")[0]
    if path == "/role":
        return keys()
    if path.endswith("/token"):
        token = {"access_token": "canary-token", "expires_in": 3600, "token_type": "Bearer"}
        return Reply(json.dumps(token).encode(), headers=FLAVOR)
    if path.startswith("/computeMetadata"):
        text = json.dumps({"email": "a@example.com", "scopes": [], "aliases": []}).encode()
        return Reply(b"project" if path.endswith("project-id") else text, headers=FLAVOR)
    return Reply(headers=FLAVOR)


@contextmanager
def standing(folder: Path, port: int, *options: str) -> Iterator[Server]:
    """A gateway on a machine whose services answer on `port`."""
    (folder / "routes.yaml").write_text(ROUTES)
    (folder / "providers.yaml").write_text(PROVIDERS.replace("PORT", str(port)))
    write_keys(folder)
    environ = {
        "HOME": str(folder),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}/role",
        "AWS_EC2_METADATA_DISABLED": "true",
        "GCE_METADATA_HOST": f"127.0.0.1:{port}",
        "GCE_METADATA_IP": f"127.0.0.1:{port}",
    }
    with gateway(folder, folder / "log", *options, environ=environ) as server:
        yield server


def send_request(server: Server, model: str, **fields: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {KEY}"}
    return loopback.post(f"{server.url}/talk", json={"model": model, **fields}, headers=headers)


def sent(upstream: Recorder, path: str) -> list[Arrival]:
    return [a for a in upstream.arrivals if a.target.startswith(path)]


def test_the_role_of_a_container_signs_and_is_asked_for_once(tmp_path: Path) -> None:
    with recording() as upstream, standing(tmp_path, upstream.port) as server:
        upstream.answer = metadata
        assert [send_request(server, "amazon").status_code for _ in range(3)] == [200] * 3
        arrivals = sent(upstream, "/amazon")
        assert {a.value("x-amz-security-token") for a in arrivals} == {"canary-token"}
        assert all("Credential=CANARY1/" in a.value("authorization") for a in arrivals)
        assert len(sent(upstream, "/role")) == 1
        caller_credentials = send_request(server, "amazon", id="callers", secret="s")
        assert caller_credentials.status_code == 200
        assert "Credential=callers/" in sent(upstream, "/amazon")[-1].value("authorization")
        assert "canary" not in server.text


def test_googles_metadata_server_gives_the_token_and_is_asked_for_it_once(tmp_path: Path) -> None:
    with recording() as upstream, standing(tmp_path, upstream.port) as server:
        upstream.answer = metadata
        assert [send_request(server, "google").status_code for _ in range(2)] == [200] * 2
        arrivals = sent(upstream, "/google")
        assert {a.value("authorization") for a in arrivals} == {"Bearer canary-token"}
        tokens = [a for a in sent(upstream, "/computeMetadata") if "/token" in a.target]
        assert len(tokens) == 1
        assert "canary" not in server.text


def test_a_mock_is_not_told_who_the_machine_is(tmp_path: Path) -> None:
    with (
        recording() as upstream,
        standing(tmp_path, upstream.port, "--mock-port", str(upstream.port)) as server,
    ):
        assert [send_request(server, model).status_code for model in ("amazon", "google")] == [
            200,
            200,
        ]
        assert [a.target for a in upstream.arrivals] == ["/amazon/talk", "/google/talk"]
        assert [a.values("authorization") for a in upstream.arrivals] == [[], []]


@pytest.mark.parametrize("model", ["amazon", "google"])
def test_other_requests_do_not_wait_for_a_machine_that_is_slow_to_tell(
    model: str, tmp_path: Path
) -> None:
    answered = threading.Event()

    def slow(arrival: Arrival) -> Reply:
        if not arrival.target.startswith(("/plain", f"/{model}")):
            assert answered.wait(10)
        return metadata(arrival)

    with recording() as upstream, standing(tmp_path, upstream.port) as server:
        upstream.answer = slow
        statuses: list[int] = []
        waiting = threading.Thread(
            target=lambda: statuses.append(send_request(server, model).status_code)
        )
        waiting.start()
        while not upstream.arrivals:
            waiting.join(0.01)
        assert send_request(server, "plain").status_code == 200
        answered.set()
        waiting.join(10)
        assert statuses == [200]


@pytest.mark.parametrize(("model", "service"), [("amazon", "/role"), ("google", "/compute")])
def test_a_machine_without_an_identity_is_a_failure_to_sign_in_and_is_not_asked_each_time(
    model: str, service: str, tmp_path: Path
) -> None:
    refused = Reply(b"{}", status=(404, "Not Found"))
    with recording(refused) as upstream, standing(tmp_path, upstream.port) as server:
        assert send_request(server, model).headers["x-engine-error"] == "upstream_sign_in_failed"
        asked = len(sent(upstream, service))
        assert [send_request(server, model).status_code for _ in range(5)] == [502] * 5
        assert len(sent(upstream, service)) <= 2 * asked
        assert "Traceback" not in server.text


async def signed(count: int) -> list[Pairs]:
    """The headers of some requests that are signed as the machine, one after the other."""
    sign = make_signer(pause=0)
    attempt = Attempt(RequestHead("POST", Origin("http", "h", 80), b"/", []), b"", 0, 1)
    by = Sign("aws_sigv4", {"service": "s", "region": "r"}, {}, by_workload_identity=True)
    return [await sign(by, attempt) for _ in range(count)]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """The credential service of a container in which this process seems to run."""
    with recording() as recorder:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{recorder.url}/role")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
            monkeypatch.delenv(name, raising=False)
        yield recorder


def test_credentials_that_are_about_to_expire_are_renewed(machine: Recorder) -> None:
    """And used to their end while the machine has no new ones."""
    numbers = iter((1, 2, 3))  # botocore renews at once what it finds to be so near its end

    def answer(_: Arrival) -> Reply:
        number = next(numbers, None)
        return keys(number, minutes=8) if number else Reply(status=(500, "No"))

    machine.answer = answer
    headers = [dict(pairs)[b"authorization"] for pairs in asyncio.run(signed(3))]
    told = [re.search(rb"CANARY([0-9])", header) for header in headers]
    assert [hit and hit[1] for hit in told] == [b"2", b"3", b"3"]


def test_credentials_that_end_within_seconds_sign_nothing(machine: Recorder) -> None:
    machine.answer = lambda _: keys(minutes=0.1)
    with pytest.raises(RuntimeError, match="no workload identity"):
        asyncio.run(signed(1))


@pytest.mark.filterwarnings("ignore:The load_credentials_from_file")
def test_after_a_failure_no_token_is_fetched_for_a_while(tmp_path: Path) -> None:
    sign = Sign("google_oauth", {"scope": "all"}, {"credentials_file": str(tmp_path / "none.json")})
    attempt = Attempt(RequestHead("GET", Origin("http", "a", 1), b"/", []), b"", 0, 5.0)

    async def main() -> None:
        tokens = google_oauth._Tokens()
        with pytest.raises(DefaultCredentialsError):
            await tokens.sign(sign, attempt)
        with pytest.raises(RuntimeError, match="a moment ago"):
            await tokens.sign(sign, attempt)

    asyncio.run(main())


def key_file(**more: str) -> str:
    """The key file of a service account, as Google's console gives it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key": pem,
        "private_key_id": "1", "project_id": "p", "token_uri": "https://oauth2.googleapis.com/token",
    }  # fmt: skip
    return json.dumps({**account, **more})


class TokenServer:
    """In place of the network of google-auth."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, url: str, **_: object) -> object:
        self.asked.append(url)
        body = json.dumps({"access_token": f"token-{len(self.asked)}", "expires_in": 3600}).encode()
        return SimpleNamespace(status=200, data=body, headers={})


def test_a_saved_service_account_is_a_text_whose_token_comes_from_google() -> None:
    network = TokenServer()
    tokens = google_oauth._AccountTokens(network)  # type: ignore[arg-type] # all that is called of it

    def sign(text: str) -> Sign:
        credentials = {"credentials_file": text}
        return Sign("google_oauth", {"scope": "all"}, credentials, is_of_account=True)

    async def main() -> None:
        one = sign(key_file(token_uri="https://elsewhere.example/token"))
        headers = await asyncio.gather(*(tokens.header(one) for _ in range(5)))
        assert set(headers) == {(b"authorization", b"Bearer token-1")}
        assert (await tokens.header(sign(key_file())))[1] == b"Bearer token-2"
        assert network.asked == ["https://oauth2.googleapis.com/token"] * 2
        assert tokens._refreshing == {}
        for text in (
            "/etc/passwd",
            '"/etc/passwd"',
            key_file(type="external_account"),
            key_file(type="authorized_user"),
            "{}",
        ):
            with pytest.raises((ValueError, AttributeError)):
                await tokens.header(sign(text))
        assert len(network.asked) == 2

    asyncio.run(main())
