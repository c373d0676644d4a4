"""A Prometheus of Debian that scrapes a gateway, in a folder of its own."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import loopback
from tests.ports import free_port
from tests.servers import WAIT

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: {rules}
scrape_configs:
  - job_name: orqen
    static_configs: [{{targets: {targets}}}]
"""


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """`data` of a response of its API."""
        response = loopback.get(f"{self.url}/api/v1/{path}", params=parameters)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def is_ready(self) -> bool:
        return loopback.get(f"{self.url}/-/ready").status_code == 200

    def query(self, expression: str) -> list[Any]:
        """The series that an expression gives now."""
        found: list[Any] = self.get("query", query=expression)["result"]
        return found

    def waits_for(self, expression: str) -> list[Any]:
        """The same, as soon as there are any; within WAIT seconds."""
        end = time.monotonic() + WAIT
        while not self.is_ready() and time.monotonic() < end:  # it listens before it answers
            time.sleep(0.2)
        while not (found := self.query(expression)) and time.monotonic() < end:
            time.sleep(0.2)
        return found


@contextlib.contextmanager
def prometheus(
    folder: Path, *metrics_ports: int, rules: tuple[Path, ...] = ()
) -> Iterator[Prometheus]:
    """A server that scrapes these ports of 127.0.0.1 each second, with the alerts of files."""
    targets = json.dumps([f"127.0.0.1:{port}" for port in metrics_ports])
    config = folder / "prometheus.yml"
    config.write_text(
        CONFIG.format(rules=json.dumps([str(rule) for rule in rules]), targets=targets)
    )
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        _wait(process, f"http://127.0.0.1:{port}", folder / "prometheus.log")
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + WAIT
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(loopback.ConnectError):
            if loopback.get(f"{url}/-/ready").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"Prometheus did not start: {log.read_text()}")
