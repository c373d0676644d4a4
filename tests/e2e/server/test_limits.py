"""Limits of keys over four workers, with real processes and a reload."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx2
import pytest

from engine.config.new_key import digest
from engine.limits.table import IDENTITY
from tests import loopback
from tests.e2e.server.small import eventually
from tests.recorder import Arrival, Recorder, Reply, recording
from tests.servers import Server, gateway

WORKERS = 4
ROUTES = """
version: 1
endpoints:
  talk: {path: /v1/talk, timeouts: {first_byte: 60s}}
  messages: {path: /v1/messages, errors: anthropic}
models:
  - {prefix: m, provider: one}
"""
PROVIDERS = """
version: 1
providers:
  one:
    base_url: http://127.0.0.1:PORT
    credentials: {}
    endpoints: {talk: /talk, messages: /messages}
"""
PRICES = """version: 1
source: a list
date: 2026-11-20
models:
  m-1: {usd_per_request: 0.25}
"""
KEYS = {
    "rate": "{requests: 20/h}",
    "models": "{models: {m-2*: {requests: 1/h}}}",
    "budget": "{budgets: [{tokens: 30, per: month}]}",
    "once": "{concurrent: 1}",
    "headers": "{requests: 5/m, tokens: 100k/m}",
    "money": "{budgets: [{usd: 0.5, per: month}]}",
    "free": "{}",
}


def key_of(name: str) -> str:
    return f"sk-orq-{name}"


def write(folder: Path, port: int) -> None:
    (folder / "routes.yaml").write_text(ROUTES.lstrip())
    (folder / "providers.yaml").write_text(PROVIDERS.lstrip().replace("PORT", str(port)))
    entries = "".join(
        f"  - {{name: {name}, sha256: {digest(key_of(name))}, limits: {limits}}}\n"
        for name, limits in KEYS.items()
    )
    (folder / "prices.yaml").write_text(PRICES)
    (folder / "keys.yaml").write_text("version: 1\nlimits: {requests: 1/h}\nkeys:\n" + entries)


class Stand:
    """A gateway of four workers before a provider."""

    def __init__(self, folder: Path, server: Server, upstream: Recorder) -> None:
        self.folder, self.server, self.upstream = folder, server, upstream

    def ask(self, name: str, model: str = "m-1", path: str = "/v1/talk") -> httpx2.Response:
        """One request on a connection of its own."""
        headers = {"authorization": f"Bearer {key_of(name)}"}
        return loopback.post(f"{self.server.url}{path}", headers=headers, json={"model": model})

    def ask_often(self, name: str, count: int) -> list[int]:
        """The statuses of requests that are made at once."""
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda _: self.ask(name).status_code, range(count)))


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("limits")
    with recording() as upstream:
        write(folder, upstream.port)
        options = ("--workers", str(WORKERS))
        with gateway(folder, folder / "log", *options) as server:
            until(lambda: len(server.worker_pids()) == WORKERS)
            yield Stand(folder, server, upstream)
            assert "internal_error" not in server.text


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_rate_holds_over_all_workers_and_over_a_reload(stand: Stand) -> None:
    statuses = stand.ask_often("rate", 60)
    assert statuses.count(200) == 20
    assert set(statuses) == {200, 429}
    before = loopback.get(f"{stand.server.url}/healthz").json()["config"]
    keys = stand.folder / "keys.yaml"
    keys.write_text(keys.read_text().replace("20/h", "21/h"))
    until(lambda: loopback.get(f"{stand.server.url}/healthz").json()["config"] != before)
    statuses = stand.ask_often("rate", 20)
    assert statuses.count(200) <= 1, "what was used stays used, so one is left of 21"
    assert set(statuses) <= {200, 429}


def test_a_refusal_and_what_is_left_in_the_words_of_each_dialect(stand: Stand) -> None:
    first = stand.ask("headers")
    assert first.headers["x-ratelimit-limit-requests"] == "5"
    assert first.headers["x-ratelimit-remaining-requests"] == "4"
    assert first.headers["x-ratelimit-reset-requests"] == "12s"
    assert first.headers["x-ratelimit-limit-tokens"] == "100000"
    second = stand.ask("headers", path="/v1/messages")
    assert second.headers["anthropic-ratelimit-requests-remaining"] == "3"
    assert second.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert stand.ask_often("headers", 3) == [200] * 3
    refused = stand.ask("headers")
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == ("rate_limited", "rate_limit_error")
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert "x-should-retry" not in refused.headers
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    refused = stand.ask("headers", path="/v1/messages")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert refused.headers["anthropic-ratelimit-requests-remaining"] == "0"


def test_a_budget_in_dollars_is_spent_to_the_cent_and_needs_prices(stand: Stand) -> None:
    assert stand.ask("money", "m-9").status_code == 403
    statuses = stand.ask_often("money", 20)
    assert statuses.count(200) == 2
    until(lambda: stand.ask("money").json()["error"]["code"] == "budget_exceeded")
    spent = stand.ask("money")
    assert (spent.status_code, spent.headers["x-should-retry"]) == (429, "false")
    assert "key `money` allows 0.5 US dollars a month, which are spent" in spent.text
    assert int(spent.headers["retry-after"]) >= 1


def test_a_spent_budget_is_not_to_be_tried_again(stand: Stand) -> None:
    for _ in range(30):
        response = stand.ask("budget")
        if response.status_code != 200:
            break
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "budget_exceeded"
    assert response.headers["x-should-retry"] == "false"
    assert int(response.headers["retry-after"]) >= 1


def test_a_limit_of_a_model_applies_to_that_model(stand: Stand) -> None:
    asked = [stand.ask("models", model).status_code for model in ("m-2", "m-2b", "m-1", "m-1")]
    assert asked == [200, 429, 200, 200]


def test_a_key_without_limits_has_none_and_sees_the_headers_of_the_provider(stand: Stand) -> None:
    assert stand.ask_often("free", 10) == [200] * 10
    assert not [n for n in stand.ask("free").headers if "ratelimit" in n]


def test_requests_under_way_of_a_killed_worker_end_by_themselves(stand: Stand) -> None:
    held, leave = Event(), Event()

    def hold(_: Arrival) -> Reply:
        if not held.is_set():
            held.set()
            leave.wait(20)
        return Reply()

    stand.upstream.answer = hold
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stand.ask, "once", "m-1")
        assert held.wait(20)
        time.sleep(2.5)  # the others look for dead workers each second, and this one lives
        assert stand.ask_often("once", 8) == [429] * 8
        for pid in stand.server.worker_pids():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(httpx2.HTTPError):
            waiting.result(20)
        leave.set()
        until(lambda: status(stand) == 200)


def status(stand: Stand) -> int:
    """What a request gets; 0 while nobody listens."""
    try:
        return stand.ask("once").status_code
    except httpx2.HTTPError:
        return 0


def test_what_callers_have_used_outlives_a_restart_and_a_damaged_file_begins_anew(
    tmp_path: Path,
) -> None:
    (tmp_path / "server.yaml").write_text("version: 1\nlimits: {file: limits.state}\n")

    def remaining(server: Server) -> str:
        headers = {"authorization": f"Bearer {key_of('rate')}"}
        made = loopback.post(f"{server.url}/v1/talk", json={"model": "m-1"}, headers=headers)
        return str(made.headers["x-ratelimit-remaining-requests"])

    with recording() as upstream:
        write(tmp_path, upstream.port)
        with gateway(tmp_path, tmp_path / "first.log") as first:
            assert remaining(first) == "19"
        with gateway(tmp_path, tmp_path / "second.log", "--workers", "2") as second:
            assert remaining(second) == "18"
            assert "start at zero" not in second.text
        state = tmp_path / "limits.state"
        state.write_bytes(state.read_bytes()[: IDENTITY + 50])
        with gateway(tmp_path, tmp_path / "third.log") as third:
            assert remaining(third) == "19"
            assert eventually(lambda: "limits.state start at zero: it is damaged" in third.text)
