"""What compose.yaml starts, started without containers: `make test-compose`.

Docker Compose itself reads the file. HAProxy, Valkey (or Redis), Prometheus and the gateways get the commands and files
of the services, and each is asked as its health check says; PostgreSQL is Debian's. Containers, networks, volumes and
Grafana are not tried.
"""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import loopback
from tests.e2e.test_compose import BALANCER, FOLDER, GATEWAYS, prepared
from tests.postgres import cluster
from tests.processes import run_engine
from tests.prometheus.server import Prometheus
from tests.servers import WAIT, Server, free_port, gateway

BODY = {"model": "gpt-4o-mini", "messages": []}
Service = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """Everything that runs: `url` is the balancer's. `metrics` are the ports of the gateways' listeners."""

    url: str
    gateways: list[Server]
    metrics: list[int]
    config: Path
    valkey_port: int

    def ask(self, key: str) -> int:
        """The status of a response."""
        headers = {"authorization": f"Bearer {key}"}
        url = f"{self.url}/v1/chat/completions"
        return loopback.post(url, json=BODY, headers=headers).status_code

    def new_key(self, *limits: str) -> str:
        """A key of a new account, made as docs/compose.md does."""
        name = f"team-{time.monotonic_ns()}"
        run = [("accounts", "new", name), ("keys", "new", "app", "--account", name, *limits)]
        made = [run_engine(*words, "--directory", self.config) for words in run]
        assert [one.returncode for one in made] == [0, 0], made
        return next(word for word in made[1].stdout.split() if word.startswith("sk-orq-"))


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Service]:
    """The services, as Docker Compose reads them."""
    folder = tmp_path_factory.mktemp("compose")
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    prepared(folder)
    (folder / "providers.env").write_text("OPENAI_API_KEY=a-key\n")
    program = Path(sys.executable).with_name("docker-compose")
    command = (program, "--profile", "monitoring", "--project-directory", folder, "config", "--format", "json")  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Service] = json.loads(done.stdout)["services"]
    return found


@contextlib.contextmanager
def running(*command: str | Path, port: int, folder: Path) -> Iterator[None]:
    """A program until the block ends, as soon as it listens on `port`."""
    file = folder / f"{Path(command[0]).name}.log"
    with (
        file.open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            end = time.monotonic() + WAIT
            while not is_listening(port):
                assert process.poll() is None and time.monotonic() < end, file.read_text()
                time.sleep(0.02)
            yield
        finally:
            process.kill()


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextlib.contextmanager
def valkey(command: list[str], folder: Path) -> Iterator[int]:
    program, port = shutil.which(command[0]) or "redis-server", free_port()
    options = [*command[1:], "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with running(program, *options, port=port, folder=folder):
        yield port


def ask(service: Service, *more: str, folder: str = "", port: int | None = None) -> str:
    """The output of its health check, which must find it well; on `port` if that is not the one of the container."""
    command = service["healthcheck"]["test"][1:]
    if port is not None:
        command = [re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", word) for word in command]
    known = shutil.which(command[0], path=folder or None)
    program = known or command[0].replace("valkey", "redis")
    done = subprocess.run(
        (program, *more, *command[1:]), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def balancer(gateways: list[Server], folder: Path) -> Iterator[int]:
    """HAProxy with the file of the service, for gateways that run here."""
    port, text = free_port(), BALANCER
    for name, server in zip(GATEWAYS, gateways, strict=True):
        text = text.replace(f"{name}:8080", f"127.0.0.1:{server.port}")
    file = folder / "haproxy.cfg"
    text = text.replace("bind :8000", f"bind 127.0.0.1:{port}")
    file.write_text(text.replace("maxconn 20000", "maxconn 200"))  # for the open files of this host
    with running("haproxy", "-db", "-f", file, port=port, folder=folder):
        yield port


@pytest.fixture(scope="module")
def site(
    services: dict[str, Service], tmp_path_factory: pytest.TempPathFactory, mock: Server
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("running")
    first = prepared(folder)
    metrics = [free_port(), free_port()]
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(tempfile.TemporaryDirectory())  # for the user of PostgreSQL
        database = stack.enter_context(cluster(Path(store)))
        port = stack.enter_context(valkey(services["valkey"]["command"], folder))
        at = ("--host=127.0.0.1", f"--port={database.port}")
        ask(services["postgres"], *at, folder=str(database.programs))
        assert ask(services["valkey"], "-p", str(port)) == "PONG\n"
        secret = folder / "secrets/database-url"
        secret.chmod(0o644)
        secret.write_text(database.url)
        shipped = (first / "server.yaml").read_text().replace("valkey:6379", f"127.0.0.1:{port}")
        gateways = []
        for name, own in zip(GATEWAYS, metrics, strict=True):
            config = folder / name
            shutil.copytree(first, config)
            (config / "server.yaml").write_text(shipped.replace("9464", str(own)))
            gateways.append(stack.enter_context(started(services[name], config, mock)))
        balanced = stack.enter_context(balancer(gateways, folder))
        yield Site(f"http://127.0.0.1:{balanced}", gateways, metrics, folder / GATEWAYS[0], port)


@contextlib.contextmanager
def started(service: Service, config: Path, mock: Server) -> Iterator[Server]:
    listens = ["serve", "/etc/orqen", "--host", "0.0.0.0", "--port", "8080"]
    command = service["command"]
    assert command[: len(listens)] == listens  # in its container; here another folder and port
    arguments = (*command[len(listens) :], "--drain-delay", "2", "--mock-port", str(mock.port))
    with gateway(config, config / "log", *arguments, environ=service["environment"]) as server:
        yield server


def test_all_are_healthy(site: Site, services: dict[str, Service]) -> None:
    for name, server in zip(GATEWAYS, site.gateways, strict=True):
        health = services[name]["healthcheck"]["test"][1:]
        assert health == ["engine", "health"]
        assert run_engine(*health[1:], "--url", server.url).stdout == "healthy\n"
    ask(services["balancer"], port=int(site.url.rpartition(":")[2]))


def test_a_limit_is_one_for_both_gateways(site: Site) -> None:
    key = site.new_key("--rpm", "1")
    before = [len(server.records) for server in site.gateways]
    statuses = [site.ask(key) for _ in range(4)]
    assert sorted(statuses) == [200] + [429] * 3
    end = time.monotonic() + 30  # a record is written after its response
    while not all(len(s.records) > n for s, n in zip(site.gateways, before, strict=True)):
        assert time.monotonic() < end
        time.sleep(0.05)
    cli = shutil.which("valkey-cli") or "redis-cli"
    listed = subprocess.run((cli, "-p", str(site.valkey_port), "keys", "orqen:*"), capture_output=True, text=True, check=True)  # fmt: skip
    assert listed.stdout.split()


def test_prometheus_scrapes_both_gateways_and_has_the_alerts(
    site: Site, services: dict[str, Service], tmp_path: Path
) -> None:
    config = yaml.safe_load((FOLDER / "monitoring/prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in site.metrics]}]
    secret = job["authorization"]["credentials_file"]
    job["authorization"]["credentials_file"] = secret.replace("/run", str(site.config.parent))
    file, port = tmp_path / "prometheus.yml", free_port()
    file.write_text(yaml.safe_dump(config))
    shutil.copy(FOLDER / "../prometheus/alerts.yaml", tmp_path)
    service = services["prometheus"]
    words = [re.sub(r"=/.*", f"={file if 'config' in w else tmp_path}", w) for w in service["command"]]  # fmt: skip
    words.append(f"--web.listen-address=127.0.0.1:{port}")
    with running("prometheus", *words, port=port, folder=tmp_path):
        server = Prometheus(f"http://127.0.0.1:{port}")
        assert server.waits_for('count(up{job="orqen"} == 1) == 2'), (tmp_path / "prometheus.log").read_text()  # fmt: skip
        assert server.waits_for("count(orqen_build_info) == 2")
        ask(service, port=port)
        rules = yaml.safe_load((FOLDER / "../prometheus/alerts.yaml").read_text())["groups"]
        loaded = server.get("rules")["groups"]
        assert [len(group["rules"]) for group in loaded] == [len(group["rules"]) for group in rules]


def test_a_gateway_that_is_replaced_loses_no_request(site: Site) -> None:
    """Last, since one gateway is gone then: what `docker compose up --force-recreate gateway-one` does first."""
    key, statuses, stop = site.new_key(), list[int](), threading.Event()

    def call() -> None:
        while not stop.is_set():
            statuses.append(site.ask(key))

    caller = threading.Thread(target=call)
    caller.start()
    try:
        assert site.gateways[0].stop() == 0
        reached = len(statuses)
        end = time.monotonic() + WAIT
        while len(statuses) < reached + 5 and time.monotonic() < end:
            time.sleep(0.02)
    finally:
        stop.set()
        caller.join()
    assert {*statuses} == {200}
    assert len(statuses) >= 5
