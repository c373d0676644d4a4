"""Several targets, retries and breakers over real sockets: what is sent, where, and how often."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator

import httpx2
import pytest

from engine.config.new_key import digest
from tests import loopback
from tests.integration.upstream.fault_server import FaultServer
from tests.servers import KEY, Server, free_port, unharmed, write_keys

ROUTES = """
version: 1
defaults:
  timeouts: {connect: 300ms, first_byte: 400ms, idle: 400ms, total: 2s}
endpoints:
  talk: {path: /talk, body: [json, form]}
  other: {path: /other}
models:
  - {prefix: h-, targets: [{provider: first}, {provider: second}]}
  - {prefix: refused-, targets: [{provider: refused}, {provider: second, strip: true}]}
  - {prefix: nowhere-, targets: [{provider: nowhere}, {provider: second, strip: true}]}
  - {prefix: plain-, targets: [{provider: plain}, {provider: second, strip: true}]}
  - {prefix: keyless-, targets: [{provider: keyless}, {provider: second, strip: true}]}
  - {prefix: dead-, targets: [{provider: refused}, {provider: refused}]}
  - {prefix: alone-, provider: first, strip: true}
  - {prefix: breaking-, provider: breaking, strip: true}
  - {prefix: spare-, targets: [{provider: spare, strip: true}, {provider: second, strip: true}]}
  - {prefix: shared-, targets: [{provider: first, strip: true, weight: 3}, {provider: second, strip: true, weight: 1}]}
  - {prefix: sticky-, targets: [{provider: first, strip: true}, {provider: second, strip: true}], sticky: key}
  - {model: alias, targets: [{provider: refused, as: h-no}, {provider: second, as: h-ok}]}
"""
PROVIDERS = """
version: 1
providers:
  first: {{base_url: "http://127.0.0.1:{first}", endpoints: {{talk: /talk}}, retry: {{attempts: 2, max_wait: 1s}}}}
  second: {{base_url: "http://127.0.0.1:{second}", endpoints: {{talk: /talk, other: /other}}}}
  refused: {{base_url: "http://127.0.0.1:{closed}", endpoints: {{talk: /talk}}}}
  nowhere: {{base_url: "http://nowhere.invalid.localhost.test.internal", timeouts: {{connect: 20s}}, endpoints: {{talk: /talk}}}}
  plain: {{base_url: "https://127.0.0.1:{first}", endpoints: {{talk: /talk}}}}
  keyless: {{base_url: "http://127.0.0.1:{first}", credentials: {{key: {{env: NOT_SET_HERE}}}},
    headers: {{x-key: "{{{{ credentials.key }}}}"}}, endpoints: {{talk: /talk}}}}
  breaking: {{base_url: "http://127.0.0.1:{first}", endpoints: {{talk: /talk}}, breaker: {{failures: 20, open: 700ms}}}}
  spare: {{base_url: "http://127.0.0.1:{first}", endpoints: {{talk: /talk}}, breaker: {{failures: 1, open: 1h}}}}
"""
NOT_RESENT = ["close", "reset", "reset-in-head", "hang", "garbage", "status-099", "two-lengths"]


@pytest.fixture(scope="module")
def first() -> Iterator[FaultServer]:
    with FaultServer().running() as fault_server:
        yield fault_server


@pytest.fixture(scope="module")
def second() -> Iterator[FaultServer]:
    with FaultServer().running() as fault_server:
        yield fault_server


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, first: FaultServer, second: FaultServer
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("failover")
    (folder / "routes.yaml").write_text(ROUTES)
    ports = {"first": first.port, "second": second.port, "closed": free_port()}
    (folder / "providers.yaml").write_text(PROVIDERS.format(**ports))
    keys = [f"{{name: caller-{n}, sha256: {digest(KEY + str(n))}}}" for n in range(16)]
    write_keys(folder, *keys)
    with unharmed(folder, folder / "log") as running:
        yield running
        assert "Traceback" not in running.text
        assert "internal_error" not in running.text


@pytest.fixture
def http(server: Server) -> Iterator[httpx2.Client]:
    headers = {"x-api-key": KEY}
    with loopback.Client(base_url=server.url, headers=headers, timeout=60) as client:
        yield client


def send_request(http: httpx2.Client, model: str, path: str = "/talk") -> httpx2.Response:
    return http.post(path, json={"model": model})


@pytest.mark.parametrize(
    ("prefix", "outcome"),
    [("refused", "connect_failed"), ("nowhere", "dns_failed"), ("plain", "tls_failed")],
)
def test_what_cannot_be_reached_is_replaced(
    http: httpx2.Client, server: Server, second: FaultServer, prefix: str, outcome: str
) -> None:
    answer = send_request(http, f"{prefix}-h-ok@{prefix}")
    assert (answer.status_code, second.seen[f"h-ok@{prefix}"]) == (200, 1)
    record = server.record(answer.headers["x-engine-request-id"])
    assert (record["outcome"], record["provider"], record["attempts"]) == ("ok", "second", 2)
    assert record["tried"] == [f"{prefix} {outcome}"]
    assert record["sent_model"] == f"h-ok@{prefix}"


def test_the_last_failure_is_told(http: httpx2.Client, server: Server) -> None:
    answer = send_request(http, "dead-x")
    assert answer.headers["x-engine-error"] == "upstream_connect_failed"
    assert "x-should-retry" not in answer.headers
    assert server.record(answer.headers["x-engine-request-id"])["attempts"] == 2


@pytest.mark.parametrize("name", NOT_RESENT)
def test_what_may_have_been_processed_goes_nowhere_else(
    http: httpx2.Client, first: FaultServer, second: FaultServer, name: str
) -> None:
    answer = send_request(http, f"h-{name}")
    assert answer.status_code in (502, 504)
    assert answer.headers["x-should-retry"] == "false"
    assert (first.seen[f"h-{name}"], second.seen[f"h-{name}"]) == (1, 0)


@pytest.mark.parametrize("name", ["cut-length", "cut-chunked", "cut-events", "hang-events"])
def test_an_answer_that_has_begun_is_never_replaced(
    http: httpx2.Client, first: FaultServer, second: FaultServer, name: str
) -> None:
    try:
        answer = send_request(http, f"h-{name}")
        assert "upstream_" in answer.text
    except httpx2.TransportError:
        assert "events" not in name
    assert (first.seen[f"h-{name}"], second.seen[f"h-{name}"]) == (1, 0)


def test_a_refusal_is_retried_and_then_answered(http: httpx2.Client, first: FaultServer) -> None:
    assert send_request(http, "alone-h-first-busy").status_code == 200
    assert first.seen["h-first-busy"] == 2


def test_a_refusal_that_stays_goes_to_the_next_target(
    http: httpx2.Client, server: Server, first: FaultServer, second: FaultServer
) -> None:
    answer = send_request(http, "h-busy")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "0")
    assert (first.seen["h-busy"], second.seen["h-busy"]) == (2, 1)
    assert "x-engine-error" not in answer.headers
    record = server.record(answer.headers["x-engine-request-id"])
    assert record["tried"] == ["first 429", "first 429"]
    assert (record["status"], record["outcome"], record["attempts"]) == (429, "ok", 3)


def test_a_long_retry_after_is_passed_on(http: httpx2.Client, first: FaultServer) -> None:
    answer = send_request(http, "alone-h-busy-long")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert (answer.content, first.seen["h-busy-long"]) == (b"{}", 1)


def test_a_status_that_is_not_listed_is_passed_on(
    http: httpx2.Client, first: FaultServer, second: FaultServer
) -> None:
    assert send_request(http, "h-error").status_code == 500
    assert (first.seen["h-error"], second.seen["h-error"]) == (1, 0)


def test_a_target_without_the_endpoint_is_left_out(
    http: httpx2.Client, first: FaultServer, second: FaultServer
) -> None:
    assert send_request(http, "h-ok@other", "/other").status_code == 200
    assert (first.seen["h-ok@other"], second.seen["h-ok@other"]) == (0, 1)


def test_a_target_without_a_key_is_left_out(http: httpx2.Client, second: FaultServer) -> None:
    assert send_request(http, "keyless-h-ok@keyless").status_code == 200
    assert second.seen["h-ok@keyless"] == 1


def test_each_target_gets_its_own_name(http: httpx2.Client, second: FaultServer) -> None:
    before = second.seen["h-ok"]
    assert send_request(http, "alias").status_code == 200
    assert second.seen["h-ok"] == before + 1


def test_an_upload_goes_to_the_next_target_while_nothing_of_it_was_sent(
    http: httpx2.Client, second: FaultServer
) -> None:
    files = {"file": ("x.bin", b"\x00\xff" * 1_000_000)}
    answer = http.post("/talk", data={"model": "refused-h-ok@upload"}, files=files)
    assert (answer.status_code, second.seen["h-ok@upload"]) == (200, 1)


def test_an_upload_that_is_gone_is_not_sent_again(
    http: httpx2.Client, first: FaultServer, second: FaultServer
) -> None:
    files = {"file": ("x.bin", b"\x00\xff" * 1_000_000)}
    answer = http.post("/talk", data={"model": "h-overloaded@upload"}, files=files)
    assert (answer.status_code, answer.content) == (529, b"{}")
    assert (first.seen["h-overloaded@upload"], second.seen["h-overloaded@upload"]) == (1, 0)


def test_weights_share_the_requests(
    http: httpx2.Client, first: FaultServer, second: FaultServer
) -> None:
    for _ in range(120):
        assert send_request(http, "shared-h-ok@shared").status_code == 200
    share = first.seen["h-ok@shared"]
    assert share + second.seen["h-ok@shared"] == 120
    assert 65 < share < 112, "three in four, give or take five standard deviations"


def test_a_key_keeps_to_its_target(server: Server, first: FaultServer, second: FaultServer) -> None:
    def ask_as(number: int, word: str) -> None:
        headers = {"x-api-key": f"{KEY}{number}"}
        body = {"model": f"sticky-h-ok@{word}-{number}"}
        assert loopback.post(server.url + "/talk", json=body, headers=headers).status_code == 200

    sides: Counter[str] = Counter()
    for number in range(16):
        for word in ("once", "twice"):
            ask_as(number, word)
        at_first = [first.seen[f"h-ok@{word}-{number}"] for word in ("once", "twice")]
        at_second = [second.seen[f"h-ok@{word}-{number}"] for word in ("once", "twice")]
        assert sorted([at_first, at_second]) == [[0, 0], [1, 1]]
        sides["first" if at_first[0] else "second"] += 1
    assert len(sides) == 2, "sixteen callers are spread over both"


@pytest.mark.http1("httpx2 gives two requests at once the number of one stream")
def test_an_open_breaker_rejects_at_once_and_lets_one_probe_through(
    http: httpx2.Client, server: Server, first: FaultServer
) -> None:
    for number in range(20):
        answer = send_request(http, "breaking-h-close@break")
        assert answer.headers["x-engine-error"] == "upstream_closed", number
    times = []
    for _ in range(20):
        started = time.perf_counter()
        answer = send_request(http, "breaking-h-ok@break")
        times.append(time.perf_counter() - started)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["x-engine-error"] == "upstream_unavailable"
        assert "x-should-retry" not in answer.headers
    print(f"\nopen breaker rejects in {sorted(times)[10] * 1000:.1f} ms (median)")  # noqa: T201 reported
    assert (first.seen["h-close@break"], first.seen["h-ok@break"]) == (20, 0)
    record = server.record(answer.headers["x-engine-request-id"])
    assert (record["outcome"], record["attempts"]) == ("unavailable", 0)
    time.sleep(0.75)

    async def crowd() -> list[int]:
        headers = {"x-api-key": KEY}
        async with loopback.AsyncClient(base_url=server.url, headers=headers) as client:
            body = {"model": "breaking-h-hang@probe"}
            asks = [client.post("/talk", json=body) for _ in range(10)]
            return [answer.status_code for answer in await asyncio.gather(*asks)]

    assert Counter(asyncio.run(crowd())) == {504: 1, 503: 9}
    assert first.seen["h-hang@probe"] == 1
    time.sleep(0.75)
    assert send_request(http, "breaking-h-ok@break").status_code == 200
    assert send_request(http, "breaking-h-ok@break").status_code == 200


def test_an_open_breaker_sends_to_the_next_target(
    http: httpx2.Client, first: FaultServer, second: FaultServer
) -> None:
    assert send_request(http, "spare-h-close@spare").status_code == 502
    assert send_request(http, "spare-h-ok@spare").status_code == 200
    assert (first.seen["h-ok@spare"], second.seen["h-ok@spare"]) == (0, 1)


def test_callers_are_told_in_their_own_dialect(http: httpx2.Client) -> None:
    body = json.loads(send_request(http, "dead-y").text)
    assert body["error"]["code"] == "upstream_connect_failed"
