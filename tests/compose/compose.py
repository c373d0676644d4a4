"""What compose.yaml starts, started without containers: `make test-compose`.

Docker Compose itself reads the file. Valkey (or Redis) and the gateway get the commands of the file, and each is asked as
its health check says; PostgreSQL is Debian's. Containers, networks and volumes are not tried.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import loopback
from tests.e2e.test_compose import FOLDER, prepared
from tests.postgres import cluster
from tests.processes import run_engine
from tests.redis_server import wait_until_listening
from tests.servers import Server, free_port, gateway

BODY = {"model": "gpt-4o-mini", "messages": []}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The services, as Docker Compose reads them."""
    folder = tmp_path_factory.mktemp("compose")
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    prepared(folder)
    (folder / "providers.env").write_text("OPENAI_API_KEY=a-key\n")
    program = Path(sys.executable).with_name("docker-compose")
    command = (program, "--project-directory", folder, "config", "--format", "json")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@contextlib.contextmanager
def valkey(command: list[str], folder: Path) -> Iterator[int]:
    program, port = shutil.which(command[0]) or "redis-server", free_port()
    options = [*command[1:], "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until_listening(port)
            yield port
        finally:
            process.kill()


def ask(service: dict[str, Any], *more: str, folder: str = "") -> str:
    """The output of its health check, which must find it well."""
    command = service["healthcheck"]["test"][1:]
    known = shutil.which(command[0], path=folder or None)
    program = known or command[0].replace("valkey", "redis")
    done = subprocess.run(
        (program, *more, *command[1:]), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def running(
    services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, mock: Server
) -> Iterator[tuple[Server, int]]:
    folder = tmp_path_factory.mktemp("running")
    config = prepared(folder)
    with (
        tempfile.TemporaryDirectory() as store,  # which the user of PostgreSQL can reach
        cluster(Path(store)) as database,
        valkey(services["valkey"]["command"], folder) as port,
    ):
        at = ("--host=127.0.0.1", f"--port={database.port}")
        ask(services["postgres"], *at, folder=str(database.programs))
        assert ask(services["valkey"], "-p", str(port)) == "PONG\n"
        secret = folder / "secrets/database-url"
        secret.chmod(0o644)
        secret.write_text(database.url)
        server_yaml = config / "server.yaml"
        server_yaml.write_text(server_yaml.read_text().replace("valkey:6379", f"127.0.0.1:{port}"))
        command = services["gateway"]["command"]
        listens = ["serve", "/etc/orqen", "--host", "0.0.0.0", "--port", "8080"]
        assert (
            command[: len(listens)] == listens
        )  # in its container; here it is another folder and port
        environ = services["gateway"]["environment"]
        arguments = (*command[len(listens) :], "--mock-port", str(mock.port))
        with gateway(config, folder / "log", *arguments, environ=environ) as server:
            yield server, port


def test_it_serves_a_key_of_an_account_and_counts_its_limit_in_valkey(
    running: tuple[Server, int], services: dict[str, Any], tmp_path: Path
) -> None:
    server, port = running
    health = services["gateway"]["healthcheck"]["test"][1:]
    assert health == ["engine", "health"]
    assert run_engine(*health[1:], "--url", server.url).stdout == "healthy\n"
    config = server_folder(server)
    run = [("accounts", "new", "team"), ("keys", "new", "app", "--account", "team", "--rpm", "1")]
    made = [run_engine(*words, "--directory", config) for words in run]
    assert [one.returncode for one in made] == [0, 0], made
    key = next(word for word in made[1].stdout.split() if word.startswith("sk-orq-"))
    headers = {"authorization": f"Bearer {key}"}
    got = [
        loopback.post(f"{server.url}/v1/chat/completions", json=BODY, headers=headers).status_code
        for _ in range(2)
    ]
    assert got == [200, 429]
    cli = shutil.which("valkey-cli") or "redis-cli"
    listed = subprocess.run((cli, "-p", str(port), "keys", "orqen:*"), capture_output=True, text=True, check=True)  # fmt: skip
    assert listed.stdout.split()


def server_folder(server: Server) -> Path:
    return server.log.parent / "config"
