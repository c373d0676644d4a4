"""A whole site on one machine: PostgreSQL, Redis, an upstream, HAProxy, and gateways that can be stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from bench.machine import cpu_seconds, rss_kib
from engine.server.ports import wait_until_ready
from tests import loopback
from tests.ports import free_port
from tests.postgres import Cluster, cluster
from tests.redis_server import cpu_seconds as redis_cpu_seconds
from tests.redis_server import redis
from tests.servers import ROOT

VAULT_KEY = "8f3a61c09d52e7b4183fac06d94e7b25c1e8705af29b3d64178eb5c3092fd64a"
ROUTES = """version: 1
endpoints:
  chat_completions:
    path: /v1/chat/completions
    usage:
      at: [/usage]
      events_at: [/usage]
      input_tokens: [prompt_tokens]
      output_tokens: [completion_tokens]
      estimate: true
listing: {path: /v1/models}
models: [{prefix: gpt-, provider: openai}]
"""
PROVIDERS = """version: 1
providers:
  openai:
    base_url: http://127.0.0.1:PORT/v1
    credentials: {api_key: {env: OPENAI_API_KEY}}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    endpoints: {chat_completions: /chat/completions}
"""
SERVER = """version: 1
accounts: {database: {env: DATABASE_URL}, vault_keys: [{env: VAULT_KEY}]}
limits: {store: {env: LIMITS_URL}, on_store_error: local, store_timeout: 150ms}  # two cores for all
metrics: {port: METRICS}
"""
DRAIN_DELAY = 1.5  # seconds; HAProxy asks twice a second


@dataclass
class Replica:
    """A gateway of two workers in a folder of its own."""

    folder: Path
    environ: dict[str, str]
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        command = [sys.executable, "-m", "engine", "serve", str(self.folder)]
        command += ["--port", str(self.port), "--workers", "2"]
        command += ["--drain-delay", str(DRAIN_DELAY), "--drain-timeout", "20"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environ, stdout=log, stderr=log, start_new_session=True
            )
        if not wait_until_ready(self.process, self.port, "/readyz"):
            raise SystemExit((self.folder / "log").read_text()[-2000:])

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def drain(self) -> int:
        """Stop as a rolling restart does; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        """All of its processes at once, as when the machine is lost."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.kill()


@dataclass(frozen=True)
class Held:
    """Requests at a replica, as the balancer counts them: those under way, and all that it has had so far.

    What could not be sent, and was sent again to another one, is not counted.
    """

    under_way: int
    so_far: int


class Balancer:
    """HAProxy with the settings that deploy/ has, and the addresses of the replicas."""

    def __init__(self, folder: Path, replicas: list[Replica]) -> None:
        self.port, self.control = free_port(), folder / "haproxy.sock"
        shipped = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
        settings, _, _ = shipped.replace(":8000\n", f":{self.port}\n").partition("    server one")
        settings = settings.replace(
            "maxconn 20000", f"maxconn 2000\n    stats socket {self.control}"
        )
        servers = [f"    server r{n} 127.0.0.1:{one.port}" for n, one in enumerate(replicas)]
        self.file = folder / "haproxy.cfg"
        self.file.write_text(settings + "\n".join(servers) + "\n")
        self.process = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(self.file)])

    def held_by(self, replica: int) -> "Held":
        """The requests at a replica."""
        row = self._rows()[f"r{replica}"]
        sent = int(row["stot"]) - int(row["wretr"]) - int(row["wredis"])
        return Held(int(row["scur"]), sent)

    def wait_for(self, count: int) -> None:
        """Until it sends requests to that many replicas."""
        while sum(row["status"] == "UP" for row in self._rows().values()) != count:
            time.sleep(0.05)

    def _rows(self) -> dict[str, dict[str, str]]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.control))
            connection.sendall(b"show stat\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        lines = [line.split(",") for line in text.splitlines() if line]
        rows = [dict(zip(lines[0], line, strict=False)) for line in lines[1:]]
        return {row["svname"]: row for row in rows if row["svname"].startswith("r")}


@dataclass
class Site:
    """Everything that runs."""

    replicas: list[Replica]
    balancer: Balancer
    database: Cluster
    redis_port: int
    folder: Path
    redis: ExitStack = field(default_factory=ExitStack)

    def start_redis(self) -> None:
        self.redis = ExitStack()
        self.redis.enter_context(redis(self.folder, self.redis_port))

    def wait_until_well(self) -> None:
        """Until each replica counts in the store again, and reads the database."""
        with loopback.Client() as client:
            for one in self.replicas:
                while not _is_well(client, one.port):
                    time.sleep(0.1)

    def cpu(self) -> float:
        """CPU seconds of all replicas that run."""
        running = [one.pid for one in self.replicas if one.process and one.process.poll() is None]
        return sum(cpu_seconds(pid) for pid in running)

    def redis_seconds(self) -> float:
        """CPU seconds of Redis so far."""
        return redis_cpu_seconds(self.redis_port)

    def database_seconds(self) -> float:
        """CPU seconds of the processes of PostgreSQL that run."""
        file = self.database.folder / "data" / "postmaster.pid"
        return cpu_seconds(int(file.read_text().split()[0]))

    def memory(self) -> float:
        """MiB of a replica's processes, what they share divided among them."""
        return sum(rss_kib(one.pid) for one in self.replicas) / len(self.replicas) / 1024


def _is_well(client: httpx2.Client, port: int) -> bool:
    state = client.get(f"http://127.0.0.1:{port}/readyz").json()
    return bool(state["limits"] == "ok" and state["accounts"] == "ok")


@contextmanager
def site(folder: Path, count: int, keys: str):  # type: ignore[no-untyped-def]
    """A site of `count` replicas; `keys` is their keys.yaml."""
    for program in ("haproxy", "redis-server"):
        if shutil.which(program) is None:
            raise SystemExit(
                f"scale needs {program}: apt-get install haproxy redis-server postgresql"
            )
    with ExitStack() as stack:
        database = stack.enter_context(cluster(_made(folder / "postgres")))
        upstream, redis_port = free_port(), free_port()
        environ = {
            **os.environ, "OPENAI_API_KEY": "sk-of-the-operator", "VAULT_KEY": VAULT_KEY,
            "DATABASE_URL": database.url, "LIMITS_URL": f"redis://127.0.0.1:{redis_port}/0",
        }  # fmt: skip
        serving = subprocess.Popen(
            [sys.executable, "-m", "bench.upstream", str(upstream)], cwd=ROOT
        )
        stack.callback(serving.kill)
        replicas = []
        for number in range(count):
            place = _made(folder / f"replica-{number}")
            (place / "routes.yaml").write_text(ROUTES)
            (place / "providers.yaml").write_text(PROVIDERS.replace("PORT", str(upstream)))
            (place / "server.yaml").write_text(SERVER.replace("METRICS", str(free_port())))
            (place / "keys.yaml").write_text(keys)
            replicas.append(Replica(place, environ))
        balancer = Balancer(folder, replicas)
        stack.callback(balancer.process.kill)
        made = Site(replicas, balancer, database, redis_port, folder)
        made.start_redis()
        stack.callback(lambda: made.redis.close())  # noqa: PLW0108 it is another one by then
        for one in replicas:
            stack.callback(one.end)
        yield made


def _made(folder: Path) -> Path:
    folder.mkdir()
    folder.chmod(0o755)
    return folder
