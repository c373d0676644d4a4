"""What each failure of a provider looks like from outside, over real sockets."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests import loopback
from tests.integration.upstream.fault_server import FAULTS, FaultServer
from tests.servers import KEY, Rest, Server, free_port, unharmed, write_keys

ROUTES = """
version: 1
defaults:
  timeouts: {connect: 300ms, first_byte: 500ms, idle: 500ms, total: 1500ms}
endpoints:
  talk: {path: /talk}
  claude: {path: /claude, errors: anthropic}
  reply: {path: /reply, errors: responses}
models:
  - {prefix: h-, provider: faulty}
  - {prefix: patient/, provider: patient, strip: true}
  - {model: refused, provider: refused}
  - {model: nowhere, provider: nowhere}
  - {model: plain, provider: plain}
  - {model: full, provider: full}
"""
PROVIDERS = """
version: 1
providers:
  faulty: {{base_url: "http://127.0.0.1:{port}", client: {client}, endpoints: {{talk: /talk, claude: /claude, reply: /reply}}}}
  patient: {{base_url: "http://127.0.0.1:{port}", client: {client}, timeouts: {{idle: 60s, total: 60s}}, endpoints: {{talk: /talk}}}}
  refused: {{base_url: "http://127.0.0.1:{closed}", client: {client}, endpoints: {{talk: /talk}}}}
  nowhere: {{base_url: "http://nowhere.invalid.localhost.test.internal", timeouts: {{connect: 20s}}, client: {client}, endpoints: {{talk: /talk}}}}
  plain: {{base_url: "https://127.0.0.1:{port}", client: {client}, endpoints: {{talk: /talk}}}}
  full: {{base_url: "http://127.0.0.1:{full}", client: {client}, endpoints: {{talk: /talk}}}}
"""


@pytest.fixture(scope="module", params=["http1", "httpx"])
def client(request: pytest.FixtureRequest) -> str:
    """Every fault looks the same through each client of the gateway."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def upstream(client: str) -> Iterator[FaultServer]:
    with FaultServer().running() as fault_server:
        yield fault_server


@pytest.fixture(scope="module")
def backlog() -> Iterator[int]:
    """A port whose backlog is full, so that a connection is never accepted."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        yield port
        for caller in callers:
            caller.close()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, upstream: FaultServer, backlog: int, client: str
) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("faults")
    (folder / "routes.yaml").write_text(ROUTES)
    ports = {"port": upstream.port, "closed": free_port(), "full": backlog}
    (folder / "providers.yaml").write_text(PROVIDERS.format(**ports, client=client))
    write_keys(folder)
    with unharmed(folder, folder / "log") as running:
        yield running


@pytest.fixture(scope="module")
def rest(server: Server) -> Rest:
    """What a worker holds at rest, after its first requests."""
    for model in ("h-ok", "h-events"):
        loopback.post(server.url + "/talk", json={"model": model}, headers={"x-api-key": KEY})
    return server.rest()


@pytest.fixture
def http(server: Server, upstream: FaultServer, rest: Rest) -> Iterator[httpx2.Client]:
    """After every fault: the next good request is answered, and nothing is left behind."""
    headers = {"x-api-key": KEY}
    with loopback.Client(base_url=server.url, headers=headers, timeout=60) as client:
        yield client
    wait_for_closes(upstream)
    answer = loopback.post(server.url + "/talk", json={"model": "h-ok"}, headers=headers)
    assert answer.status_code == 200
    server.comes_to(rest)


def wait_for_closes(upstream: FaultServer) -> None:
    """No next request may meet a connection that the upstream is about to close."""
    deadline = time.monotonic() + 60
    while upstream.closing and time.monotonic() < deadline:
        time.sleep(0.002)


def send_request(http: httpx2.Client, model: str, path: str = "/talk") -> httpx2.Response:
    return http.post(path, json={"model": model})


@pytest.mark.parametrize(
    ("model", "status", "code", "outcome", "is_sent"),
    [
        ("refused", 502, "upstream_connect_failed", "connect_failed", False),
        ("nowhere", 502, "upstream_dns_failed", "dns_failed", False),
        ("plain", 502, "upstream_tls_failed", "tls_failed", False),
        ("full", 504, "upstream_connect_timeout", "connect_timeout", False),
        ("h-close", 502, "upstream_closed", "sent_unknown", True),
        ("h-reset", 502, "upstream_closed", "sent_unknown", True),
        ("h-reset-in-head", 502, "upstream_closed", "sent_unknown", True),
        ("h-hang", 504, "upstream_timeout", "timeout_headers", True),
        ("h-garbage", 502, "upstream_bad_response", "bad_response", True),
        ("h-http2", 502, "upstream_bad_response", "bad_response", True),
        ("h-status-000", 502, "upstream_bad_response", "bad_response", True),
        ("h-status-099", 502, "upstream_bad_response", "bad_response", True),
        ("h-status-999", 502, "upstream_bad_response", "bad_response", True),
        ("h-status-1000", 502, "upstream_bad_response", "bad_response", True),
        ("h-two-lengths", 502, "upstream_bad_response", "bad_response", True),
        ("h-gzip-coding", 502, "upstream_bad_response", "bad_response", True),
        ("h-huge-head", 502, "upstream_bad_response", "bad_response", True),
        ("h-many-headers", 502, "upstream_bad_response", "bad_response", True),
        ("h-endless-head", 502, "upstream_bad_response", "bad_response", True),
        ("h-endless-early", 504, "upstream_timeout", "timeout_headers", True),
        ("h-switch", 502, "upstream_bad_response", "bad_response", True),
        ("h-control", 502, "upstream_bad_response", "bad_response", True),
    ],
)
def test_no_answer(
    http: httpx2.Client, server: Server, upstream: FaultServer,
    model: str, status: int, code: str, outcome: str, is_sent: bool,
) -> None:  # fmt: skip
    before = upstream.seen[model]
    answer = send_request(http, model)
    assert (answer.status_code, answer.headers["x-engine-error"]) == (status, code)
    assert answer.json()["error"]["code"] == code
    assert answer.headers.get("x-should-retry") == ("false" if is_sent else None)
    assert upstream.seen[model] - before == (1 if model.startswith("h-") else 0)
    record = server.record(answer.headers["x-engine-request-id"])
    assert (record["outcome"], record["error"], record["attempts"]) == (outcome, code, 1)
    wait_for_closes(upstream)
    assert send_request(http, "h-ok").status_code == 200


@pytest.mark.parametrize("name", ["cut-length", "reset-length", "cut-chunked", "bad-chunk"])
def test_a_cut_body_is_never_a_clean_end(
    http: httpx2.Client, server: Server, upstream: FaultServer, name: str
) -> None:
    with (
        pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)),
        http.stream("POST", "/talk", json={"model": f"h-{name}"}) as answer,
    ):
        assert answer.status_code == 200
        answer.read()
    record = server.record(answer.headers["x-engine-request-id"])
    assert record["outcome"] == "truncated"
    assert upstream.seen[f"h-{name}"] == 1


@pytest.mark.parametrize(
    ("name", "code", "outcome"),
    [
        ("cut-events", "upstream_truncated", "truncated"),
        ("reset-events", "upstream_truncated", "truncated"),
        ("cut-in-event", "upstream_truncated", "truncated"),
        ("hang-events", "upstream_idle_timeout", "timeout_idle"),
        ("drip", "upstream_timeout", "timeout_total"),
    ],
)
def test_a_broken_stream_ends_with_an_error_event(
    http: httpx2.Client, server: Server, name: str, code: str, outcome: str
) -> None:
    answer = send_request(http, f"h-{name}")
    events = [event for event in answer.text.split("\n\n") if event.strip()]
    assert answer.status_code == 200
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == code
    if name != "drip":
        assert events[:2] == ['data: {"n": 1}', 'data: {"n": 2}']
    assert server.record(answer.headers["x-engine-request-id"])["outcome"] == outcome


def test_a_whole_stream_passes(http: httpx2.Client) -> None:
    answer = send_request(http, "h-events")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert "upstream_" not in answer.text


def test_a_broken_stream_speaks_the_dialect_of_its_endpoint(http: httpx2.Client) -> None:
    answer = send_request(http, "h-cut-events@2", "/claude")
    name, data = answer.text.rstrip().split("\n\n")[-1].splitlines()
    assert name == "event: error"
    body = json.loads(data.removeprefix("data: "))
    assert body["type"] == "error"
    assert body["error"]["type"] == "api_error"
    assert body["request_id"] == answer.headers["x-engine-request-id"]


@pytest.mark.parametrize("name", ["cut-named", "cut-done", "hang-in-event"])
@pytest.mark.parametrize("path", ["/talk", "/claude", "/reply"])
def test_a_broken_event_is_dropped_in_each_dialect(
    http: httpx2.Client, name: str, path: str
) -> None:
    """Nothing of it leaves, and the error event follows the last whole one."""
    text = send_request(http, f"h-{name}", path).text
    if name == "cut-done" and path != "/claude":
        assert text.endswith("data: [DONE]\n\n")
        return
    *whole, last, after = text.split("\n\n")
    assert after == ""
    assert all(
        json.loads(event.rpartition("data: ")[2].replace("[DONE]", "0")) for event in whole[:-1]
    )
    named, _, data = last.rpartition("data: ")
    told = json.loads(data)
    names = {"/talk": "", "/claude": "event: error\n", "/reply": "event: response.failed\n"}
    assert named == names[path]
    if path == "/reply":
        code = "upstream_idle_timeout" if name.startswith("hang") else "upstream_truncated"
        assert (told["type"], told["response"]["error"]["code"]) == ("response.failed", code)
        known = ("resp_7", "h-9", 5) if name == "cut-named" else (None, f"h-{name}", 0)
        assert known[0] in (None, told["response"]["id"])
        assert (told["response"]["model"], told["sequence_number"]) == known[1:]


@pytest.mark.parametrize("name", ["cut-between-lines", "cut-in-long"])
def test_a_stream_that_breaks_off_in_an_event_drops_or_cuts_it(
    http: httpx2.Client, server: Server, name: str
) -> None:
    """Part of the event has left, so an error event would run into it."""
    text = b""
    with (
        pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)),
        http.stream("POST", "/talk", json={"model": f"h-{name}"}) as answer,
    ):
        for chunk in answer.iter_raw():
            text += chunk
    assert text.startswith(b'data: {"n": 1}\n\ndata: {"n": 2}\n\ndata: ')
    assert b"error" not in text
    assert not text.endswith(b"\n\n")
    record = server.record(answer.headers["x-engine-request-id"])
    assert (record["outcome"], record["error"]) == ("truncated", "upstream_truncated")


@pytest.mark.parametrize("path", ["/talk", "/claude", "/reply"])
def test_an_error_of_the_provider_is_followed_by_no_second_one(
    http: httpx2.Client, server: Server, path: str
) -> None:
    answer = send_request(http, "h-cut-error", path)
    assert answer.text.endswith('{"n": 2}\n\ndata: {"error": {"code": 502}}\n\n: ping\n\n')
    assert server.record(answer.headers["x-engine-request-id"])["outcome"] == "truncated"


def test_a_stream_is_whole_with_a_long_last_event(http: httpx2.Client, server: Server) -> None:
    answer = send_request(http, "h-cut-long-done", "/reply")
    assert answer.text.endswith('A"}\n\n')
    assert server.record(answer.headers["x-engine-request-id"])["outcome"] == "ok"


@pytest.mark.parametrize("name", ["cut-done", "hang-done", "drip-done"])
def test_a_stream_is_whole_with_its_last_event(
    http: httpx2.Client, server: Server, name: str
) -> None:
    """Whatever the provider does then: it breaks off, it is silent, or goes on until `total`."""
    answer = send_request(http, f"h-{name}")
    whole, _, after = answer.text.partition("data: [DONE]\n\n")
    assert whole == 'data: {"n": 1}\n\ndata: {"n": 2}\n\n'
    assert after == "" if name != "drip-done" else after.startswith(": ping\n\ndata: x\n\n")
    assert "error" not in after
    record = server.record(answer.headers["x-engine-request-id"])
    assert (record["outcome"], record["error"]) == ("ok", None)


def test_a_stream_held_open_after_its_last_event_is_ended(
    http: httpx2.Client, server: Server
) -> None:
    started = time.monotonic()
    answer = send_request(http, "patient/h-hang-done")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert server.record(answer.headers["x-engine-request-id"])["outcome"] == "ok"
    assert time.monotonic() - started < 20  # idle and total are a minute


@pytest.mark.http1("httpx2 resets no stream whose response is closed early")
def test_a_caller_who_leaves_behind_the_last_event_has_all_of_it(
    http: httpx2.Client, server: Server
) -> None:
    for name, outcome in (("hang-done", "ok"), ("hang-events", "client_cancelled")):
        with http.stream("POST", "/talk", json={"model": f"h-{name}"}) as answer:
            text = b""
            for chunk in answer.iter_raw():
                text += chunk
                if text.count(b"data: ") == (3 if name == "hang-done" else 2):
                    break
        assert server.record(answer.headers["x-engine-request-id"])["outcome"] == outcome


def test_a_stream_that_ends_as_it_should_ends_with_every_byte(http: httpx2.Client) -> None:
    assert send_request(http, "h-odd-end").text.endswith('data: {"n": 2}\n\ndata: {"n": 3}')


def test_host_policies_of_a_provider_stay_behind(http: httpx2.Client) -> None:
    headers = send_request(http, "h-odd-headers").headers
    policies = "set-cookie strict-transport-security access-control-allow-origin nel refresh"
    assert [name for name in (*policies.split(), "x-accel-redirect") if name in headers] == []
    assert headers["via"] == "1.1 x"


def test_deadlines_are_kept(http: httpx2.Client) -> None:
    """Bounds far from the deadlines: what is asserted is which one acted, not how fast."""
    for model, low, high in (("h-hang", 0.45, 5), ("h-hang-events", 0.45, 5), ("h-drip", 1.4, 8)):
        started = time.monotonic()
        send_request(http, model)
        assert low < time.monotonic() - started < high


def test_two_framings_become_one_or_none(http: httpx2.Client, client: str) -> None:
    """RFC 9112, 6.3 allows both: to refuse the answer, or to take the chunked reading of it."""
    answer = send_request(http, "h-both-framings")
    if client == "http1":
        assert answer.headers["x-engine-error"] == "upstream_bad_response"
    else:
        assert (answer.status_code, answer.content) == (200, b"{}")


@pytest.mark.parametrize("name", ["many-early", "hints", "some-headers", "ok"])
def test_oddities_that_are_http_pass(http: httpx2.Client, name: str) -> None:
    answer = send_request(http, f"h-{name}")
    assert (answer.status_code, answer.content) == (200, b"{}")
    framing = [n for n in answer.headers if n in ("content-length", "transfer-encoding")]
    assert len(framing) == 1


@pytest.mark.parametrize("name", ["folded", "bare-lines"])
def test_oddities_that_are_not_are_refused_or_framed_anew(http: httpx2.Client, name: str) -> None:
    answer = send_request(http, f"h-{name}")
    assert (answer.status_code, answer.content) == (200, b"{}") or (
        answer.status_code == 502 and answer.headers["x-engine-error"] == "upstream_bad_response"
    )
    framing = [n for n in answer.headers if n in ("content-length", "transfer-encoding")]
    assert len(framing) == 1


@pytest.mark.parametrize(
    ("name", "status"), [("no-content-body", 204), ("not-modified-body", 304), ("long-length", 200)]
)
def test_bytes_behind_an_answer_reach_nobody(
    http: httpx2.Client, upstream: FaultServer, name: str, status: int, client: str
) -> None:
    answer = send_request(http, f"h-{name}")
    assert answer.status_code == status
    assert len(answer.content) <= (status == 200)
    wait_for_closes(upstream)
    assert send_request(http, "h-ok").content == b"{}"


def test_an_answer_without_a_body_keeps_the_connection_usable(
    http: httpx2.Client, upstream: FaultServer
) -> None:
    answer = send_request(http, "h-no-content")
    assert (answer.status_code, answer.content) == (204, b"")
    wait_for_closes(upstream)
    assert send_request(http, "h-ok").status_code == 200


def test_a_redirect_is_passed_on_and_never_followed(http: httpx2.Client) -> None:
    """Not by a caller who follows redirects either: the key would go with the request."""
    body = {"model": "h-redirect"}
    answer = http.post("/talk", json=body, follow_redirects=True)
    assert (answer.status_code, answer.history) == (302, [])
    assert "location" not in answer.headers


def test_odd_headers(http: httpx2.Client) -> None:
    answer = send_request(http, "h-odd-headers")
    raw = dict(answer.headers.raw)
    for gone in (
        "set-cookie",
        "x-hop",
        "keep-alive",
        "strict-transport-security",
        "x-engine-error",
    ):
        assert gone not in answer.headers
    assert answer.headers["server"] == "odd"
    assert answer.headers["via"] == "1.1 x"
    assert raw[b"x-name"] == b"caf\xc3\xa9"


def test_every_play_is_tested() -> None:
    sources = "".join(p.read_text("utf-8") for p in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in FAULTS if name not in sources] == []


def test_connections_are_given_back(http: httpx2.Client, upstream: FaultServer) -> None:
    """After all of the above only idle keep-alives of `ok` may be open."""
    send_request(http, "h-ok")
    end = time.monotonic() + 60
    while upstream.open > 1 and time.monotonic() < end:
        time.sleep(0.05)
    assert upstream.open <= 1
