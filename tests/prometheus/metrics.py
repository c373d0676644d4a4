"""A real Prometheus scrapes a gateway under mixed load: `make test-prometheus`."""

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import loopback
from tests.prometheus.server import Prometheus, prometheus
from tests.servers import KEY, ROOT, Server, free_port, gateway, ship

PAGE = (ROOT / "docs/observability.md").read_text("utf-8")
MODELS = (
    "gpt-mock-a",
    "gpt-mock-events-3-10",
    "gpt-mock-status-500",
    "gpt-mock-cut",
    "nobody-serves-it",
)


@pytest.fixture(scope="module")
def metrics_port(
    tmp_path_factory: pytest.TempPathFactory, mock: Server, canaries: dict[str, str]
) -> Iterator[int]:
    """The port of the metrics of a gateway that has served and refused requests."""
    folder, port = ship(tmp_path_factory.mktemp("gateway")), free_port()
    (folder / "server.yaml").write_text(f"version: 1\nmetrics: {{port: {port}}}\n")
    options = ("--mock-port", str(mock.port), "--workers", "2")
    with (
        gateway(folder, folder / "log", *options, environ=canaries) as server,
        ThreadPoolExecutor(4) as pool,
    ):
        list(pool.map(lambda model: ask(server, model), MODELS * 4))
        yield port


def ask(server: Server, model: str) -> None:
    body = {"model": model, "messages": [], "stream": "events" in model}
    url, headers = f"{server.url}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
    try:
        loopback.post(url, json=body, headers=headers)
    except loopback.RemoteProtocolError:
        assert "cut" in model


@pytest.fixture(scope="module")
def scraped(metrics_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), metrics_port) as server:
        yield server


@pytest.mark.needs("promtool")
def test_the_linter_of_prometheus_finds_nothing(metrics_port: int) -> None:
    text = loopback.get(f"http://127.0.0.1:{metrics_port}/metrics").content
    linted = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, b"")


@pytest.mark.needs("prometheus")
def test_prometheus_reads_all_that_is_exposed(metrics_port: int, scraped: Prometheus) -> None:
    assert scraped.waits_for('up{job="orqen"} == 1')
    text = loopback.get(f"http://127.0.0.1:{metrics_port}/metrics").text
    exposed = {
        re.split(r"[{ ]", line, maxsplit=1)[0] for line in text.splitlines() if line[0] != "#"
    }
    assert exposed - set(scraped.get("label/__name__/values")) == set()
    assert float(scraped.query('sum(orqen_requests_total{status="404"})')[0]["value"][1]) == 4
    assert scraped.get("targets")["activeTargets"][0]["lastError"] == ""


@pytest.mark.needs("prometheus")
def test_the_queries_of_the_page_give_data(scraped: Prometheus) -> None:
    block = re.search(r"<!-- test: queries -->\n```promql\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    queries = block[1].splitlines()
    assert len(queries) == 3
    for query in queries:
        assert scraped.waits_for(query), query


def test_the_scrape_job_of_the_page_is_one(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(scrape_configs:.*?)```", PAGE, re.DOTALL)
    assert block is not None
    (tmp_path / "prometheus.yml").write_text(block[1])
    checked = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
