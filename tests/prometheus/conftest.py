"""A gateway under mixed load and faults, with a Prometheus that scrapes it and has the alerts."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.config.new_key import digest
from tests import loopback
from tests.prometheus.server import Prometheus, prometheus
from tests.servers import KEY, ROOT, Server, free_port, gateway, ship, write_keys

ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
LIMITED = "sk-orq-" + "1d" * 32
PRICES = """
version: 1
source: a test
date: 2026-11-20
models:
  gpt-mock*: {input_usd_per_million: 1, output_usd_per_million: 2}
"""
PROVIDER = """
  flaky:
    base_url: https://flaky.example
    retry: {attempts: 2, max_wait: 1s}
    breaker: {failures: 50, open: 1s}
    endpoints: {chat_completions: /v1/chat/completions}
"""
SECONDS = 4.0
CALLS = (
    ("gpt-mock-a", KEY),
    ("gpt-mock-events-3-10", KEY),
    ("gpt-mock-status-500", KEY),
    ("gpt-mock-cut", KEY),
    ("flaky/mock-status-503", KEY),
    ("nobody-serves-it", KEY),
    ("gpt-mock-a", LIMITED),
)


@pytest.fixture(scope="session")
def alerting(
    tmp_path_factory: pytest.TempPathFactory, mock: Server, canaries: dict[str, str]
) -> Iterator[Prometheus]:
    """The Prometheus, after some seconds of load."""
    folder, port = prepared(tmp_path_factory.mktemp("gateway")), free_port()
    (folder / "server.yaml").write_text(f"version: 1\nmetrics: {{port: {port}}}\n")
    options = ("--mock-port", str(mock.port), "--workers", "2")
    with (
        gateway(folder, folder / "log", *options, environ=canaries) as server,
        prometheus(tmp_path_factory.mktemp("prometheus"), port, rules=(ALERTS,)) as scraping,
        ThreadPoolExecutor(4) as pool,
    ):
        assert scraping.waits_for('up{job="orqen"} == 1')  # a rate needs what was before
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            list(pool.map(lambda call: ask(server, *call), CALLS))
        yield scraping


def prepared(folder: Path) -> Path:
    """The shipped configuration with a provider that is tried again, a limited key, and prices."""
    ship(folder)
    write_keys(folder, f"{{name: limited, sha256: {digest(LIMITED)}, limits: {{requests: 2/m}}}}")
    (folder / "prices.yaml").write_text(PRICES)
    providers = (folder / "providers.yaml").read_text()
    (folder / "providers.yaml").write_text(providers + PROVIDER)
    routes = (folder / "routes.yaml").read_text()
    rule = "\nmodels:\n  - {prefix: flaky/, provider: flaky, strip: true}\n"
    (folder / "routes.yaml").write_text(routes.replace("\nmodels:\n", rule, 1))
    return folder


def ask(server: Server, model: str, key: str) -> None:
    body = {"model": model, "messages": [], "stream": "events" in model}
    url, headers = f"{server.url}/v1/chat/completions", {"authorization": f"Bearer {key}"}
    try:
        loopback.post(url, json=body, headers=headers)
    except loopback.RemoteProtocolError:
        assert "cut" in model
