"""/metrics of two workers: exact after a worker was killed and after reloads."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from engine.cli import main
from tests import loopback
from tests.e2e.server.small import eventually, write_small
from tests.servers import KEY, ROOT, WAIT, Server, free_port, gateway

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
HEADERS = {"authorization": f"Bearer {KEY}"}
# A shell lets what it starts in the background ignore SIGINT, these tests among it.
INTERRUPTIBLE = """import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from engine.cli import main
main()
"""
KINDS = {
    dict: "object",
    list: "list",
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
NAMES = ("endpoint", "provider", "model", "status", "outcome")


class Stand:
    """A gateway of two workers with metrics. `counted` is what the callers have seen."""

    def __init__(self, server: Server, folder: Path, port: int) -> None:
        self.server, self.folder = server, folder
        self.url = f"http://127.0.0.1:{port}/metrics"
        self.counted: Counter[tuple[str, ...]] = Counter()

    def ask(self, model: str, endpoint: str, provider: str, pattern: str, key: str = KEY) -> None:
        body = {"model": model, "messages": [], "input": "x", "stream": "stream" in model}
        path = "/v1/embeddings" if endpoint == "embeddings" else "/v1/chat/completions"
        response = loopback.post(
            self.server.url + path, json=body, headers={"authorization": f"Bearer {key}"}
        )
        is_ours = "x-engine-error" in response.headers
        outcome = "refused" if is_ours else "ok"
        self.counted[endpoint, provider, pattern, str(response.status_code), outcome] += 1

    def ask_all(self, times: int) -> None:
        calls: list[tuple[str, ...]] = [
            ("gpt-mock-a", "chat_completions", "openai", "gpt-*"),
            ("gpt-mock-stream", "chat_completions", "openai", "gpt-*"),
            ("gpt-mock-status-429", "chat_completions", "openai", "gpt-*"),
            ("text-embedding-3-small", "embeddings", "openai", "text-embedding-3-*"),
            ("nobody-serves-it", "chat_completions", "", ""),
            ("gpt-mock-a", "chat_completions", "", "", "sk-orq-wrong"),
        ]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda call: self.ask(*call), calls * times))

    def scrape(self) -> dict[str, Metric]:
        text = loopback.get(self.url).text
        return {metric.name: metric for metric in text_string_to_metric_families(text)}

    def requests(self) -> Counter[tuple[str, ...]]:
        samples = self.scrape()["orqen_requests"].samples
        return Counter({tuple(s.labels[n] for n in NAMES): int(s.value) for s in samples})

    def value(self, name: str, **labels: str) -> float | None:
        for metric in self.scrape().values():
            for sample in metric.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None


def documented(command: str) -> dict[str, str]:
    """The fields of the JSON of a command and their types, by its section in docs/cli.md."""
    section = (ROOT / "docs/cli.md").read_text("utf-8").split(f"\n## `{command}`\n")[1]
    rows = re.findall(r"^\| (`.*?`) \| ([a-z ]+) \| ", section.split("\n## ")[0], re.M)
    return {name: kind for names, kind in rows for name in re.findall(r"`([^-`]+)`", names)}


def fields(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each field of a JSON object by its path, with its type; of some objects the names are data."""
    if path:
        yield path, KINDS[type(value)]
    if isinstance(value, dict) and path not in {"server.breakers", "server.limits"}:
        for name, inside in value.items():
            yield from fields(inside, f"{path}.{name}".lstrip("."))
    for inside in value if isinstance(value, list) else ():
        if isinstance(inside, dict):
            yield from (pair for pair in fields(inside, f"{path}[]") if pair[0] != f"{path}[]")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, mock: Server) -> Iterator[Stand]:
    folder, port = write_small(tmp_path_factory.mktemp("metrics")), free_port()
    (folder / "server.yaml").write_text(f"version: 1\nmetrics: {{port: {port}}}\n")
    options = ("--mock-port", str(mock.port), "--workers", "2")
    with gateway(folder, folder / "log", *options) as server:
        yield Stand(server, folder, port)


def test_the_counts_are_those_of_the_callers(stand: Stand) -> None:
    stand.ask_all(5)
    assert eventually(lambda: stand.requests() == stand.counted), (stand.requests(), stand.counted)
    assert {key[3] for key in stand.counted} == {"200", "429", "404", "401"}
    scraped = stand.scrape()
    durations = [
        s for s in scraped["orqen_request_duration_seconds"].samples if s.name.endswith("_count")
    ]
    assert sum(s.value for s in durations) == stand.counted.total()
    assert stand.value("orqen_key_requests_total", key="tests") == 25
    assert (
        stand.value("orqen_errors_total", endpoint="chat_completions", code="model_not_found") == 5
    )
    assert stand.value("orqen_config_generation") == 1
    processes = {s.labels["process"] for s in scraped["process_resident_memory_bytes"].samples}
    assert processes == {"parent", "worker_1", "worker_2", "metrics"}


def test_a_killed_worker_keeps_its_counts(stand: Stand) -> None:
    victim = stand.server.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    assert eventually(lambda: stand.value("orqen_worker_deaths_total") == 1)
    assert eventually(lambda: len(stand.server.worker_pids()) == 2)
    assert stand.requests() == stand.counted
    time.sleep(0.3)
    stand.ask_all(5)
    assert eventually(lambda: stand.requests() == stand.counted), (stand.requests(), stand.counted)


def test_a_reload_keeps_the_counts_and_is_counted(stand: Stand) -> None:
    routes = stand.folder / "routes.yaml"
    text = routes.read_text()
    routes.write_text(text + "\n# another\n")
    assert eventually(lambda: stand.value("orqen_config_generation") == 2)
    stand.ask_all(2)
    assert eventually(lambda: stand.requests() == stand.counted), (stand.requests(), stand.counted)
    routes.write_text("version: 2\n")
    assert eventually(lambda: stand.value("orqen_config_refused") == 1)
    assert stand.value("orqen_config_reloads_refused_total") >= 1  # type: ignore[operator]
    routes.write_text(text)
    assert eventually(lambda: stand.value("orqen_config_refused") == 0)


def test_models_of_callers_make_no_series(stand: Stand) -> None:
    stand.ask("gpt-mock-0", "chat_completions", "openai", "gpt-*")
    before = len(stand.requests())
    for number in range(1, 30):
        stand.ask(f'gpt-mock-{number}"{{', "chat_completions", "openai", "gpt-*")
    assert eventually(lambda: stand.requests() == stand.counted)
    assert len(stand.requests()) == before


def test_what_is_under_way_is_a_gauge(stand: Stand) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            stand.ask, "gpt-mock-events-3-700-stream", "chat_completions", "openai", "gpt-*"
        )
        assert eventually(lambda: stand.value("orqen_in_flight_requests") == 1)
        assert eventually(
            lambda: stand.value("orqen_provider_in_flight_requests", provider="openai") == 1
        )
        asked.result()
    assert eventually(lambda: stand.value("orqen_in_flight_requests") == 0)


def test_the_listener_serves_metrics_and_nothing_else(stand: Stand) -> None:
    accepts = {
        "accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    }
    response = loopback.get(stand.url, headers=accepts)
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert "orqen_requests" in {metric.name for metric in open_metrics(response.text)}  # type: ignore[no-untyped-call]  # it has no types
    assert loopback.get(stand.url.replace("/metrics", "/readyz")).status_code == 404
    assert httpx2.post(stand.url, trust_env=False).status_code == 405
    assert httpx2.head(stand.url, trust_env=False).status_code == 200
    assert "KEY" not in response.text
    assert KEY not in response.text


def test_a_token_keeps_everybody_else_out(tmp_path: Path, mock: Server) -> None:
    folder, port, token = write_small(tmp_path), free_port(), "5c1e8705af29b3d64178eb5c3092fd64"
    (folder / "server.yaml").write_text(
        f"version: 1\nmetrics: {{port: {port}, token: {{file: token}}}}\n"
    )
    (folder / "token").write_text(f"{token}\n")
    url = f"http://127.0.0.1:{port}"
    asked = ["status", str(folder), "--format", "json", "--url"]
    run = CliRunner().invoke
    with gateway(folder, folder / "log", "--mock-port", str(mock.port)) as server:
        assert eventually(lambda: loopback.get(f"{url}/metrics").status_code == 401)
        assert loopback.get(f"{url}/metrics").headers["www-authenticate"] == "Bearer"
        for wrong in (
            token,
            f"Bearer {token[:-1]}",
            f"Bearer {token}0",
            f"Basic {token}",
        ):
            headers = {"authorization": wrong}
            assert loopback.get(f"{url}/metrics", headers=headers).status_code == 401, wrong
        for right in (f"Bearer {token}", f"bearer  {token}"):
            response = loopback.get(f"{url}/metrics", headers={"authorization": right})
            assert (response.status_code, token in response.text) == (200, False)
        given = run(main, ["top", "--once", "--url", url], env={"ORQEN_METRICS_TOKEN": token})
        assert (given.exit_code, given.output[:8]) == (0, "1 worker"), given.output
        state = json.loads(run(main, [*asked, server.url]).output)
        assert state["server"]["workers"] == 1
        for environ, word in (
            ({}, "a token"),
            ({"ORQEN_METRICS_TOKEN": "x" * 16}, "another token"),
        ):
            refused = run(main, ["top", "--once", "--url", url], env=environ)
            assert (refused.exit_code, f"wants {word} (ORQEN_METRICS" in refused.output) == (
                2,
                True,
            )
        assert token not in server.text


def test_top_and_status_show_what_runs(stand: Stand) -> None:
    run = CliRunner().invoke
    url = stand.url.removesuffix("/metrics")
    shown = run(main, ["top", "--once", "--url", url])
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("2 workers, ")
    assert any(line.split()[0] == "openai" for line in shown.output.splitlines() if line)
    values = json.loads(run(main, ["top", "--format", "json", "--by", "key", "--url", url]).output)
    assert sum(r["requests"] for r in values["traffic"] if r["key"] == "tests") > 0
    asked = ["status", str(stand.folder), "--url", stand.server.url]
    text, program = run(main, asked), run(main, [*asked, "--format", "json"])
    assert "server    2 workers, " in text.output
    state = json.loads(program.output)
    assert (text.exit_code, program.exit_code, state["disk"]["is_same"]) == (0, 0, True)
    assert state["server"]["generation"] > 1
    by_provider = json.loads(run(main, ["top", "--format", "json", "--url", url]).output)
    for shown_values, command in ((state, "engine status"), (by_provider, "engine top")):
        table = {**documented("engine top"), **documented(command)}
        found = dict(fields(shown_values))
        missing = set(documented(command)) - set(found)
        assert (missing, set(found) - set(table)) == (set(), set()), command
        wrong = {n: kind for n, kind in found.items() if kind not in table[n].split(" or ")}
        assert wrong == {}
    refused = run(main, ["top", "--url", stand.server.url])
    assert (refused.exit_code, "something else listens there" in refused.output) == (2, True)


def test_top_goes_on_in_a_terminal_until_it_is_interrupted(stand: Stand) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", INTERRUPTIBLE, "top", "--interval", "0.2"]
    command += ["--url", stand.url.removesuffix("/metrics")]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={"TERM": "xterm"})
    os.close(theirs)
    shown = b""
    while shown.count(b"Ctrl-C ends") < 3:
        shown += os.read(ours, 4096)
    assert b"openai" in shown
    process.send_signal(signal.SIGINT)
    end = b""
    with contextlib.suppress(OSError):  # the other end is closed (Linux)
        while chunk := os.read(ours, 4096):
            end += chunk
    assert process.wait(WAIT) == 0
    assert end.endswith(b"\x1b[?25h\x1b[?1049l")
    os.close(ours)
