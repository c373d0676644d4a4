"""Starts the real processes that tests talk to: the gateway and its mock upstream."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.config.new_key import digest
from engine.server.ports import wait_until_ready
from tests import loopback
from tests.ports import free_port
from tests.processes import ROOT, Command, Process

__all__ = [
    "KEY",
    "ROOT",
    "Server",
    "free_port",
    "gateway",
    "mock_upstream",
    "read_yaml",
    "ship",
    "write_keys",
]

KEY = "sk-orq-" + "c0ffee00" * 8
CANARY = "canary"
WAIT = 60.0  # for what takes a moment: seconds on a machine that is busy with other things
FLAT_KIB = 10 * 1024  # for what the allocators keep for the next request
HELD = re.compile(r"^held: (.+)\n", re.MULTILINE)  # the first line of a log at times
KEPT = 24  # connections to providers that may rest in a pool after a file of tests


@dataclass(frozen=True)
class Rest:
    """What a worker holds: requests under way, tasks of its loop, open files, memory in KiB.

    `collected` objects were left to the garbage collector since the last look.
    """

    calls: int
    tasks: int
    files: int
    kib: int
    collected: int

    def is_busier(self, before: "Rest") -> bool:
        """Whether a request is under way, or more tasks than before are."""
        return self.calls > 0 or self.tasks > before.tasks + 2

    def is_like(self, before: "Rest") -> bool:
        """Whether nothing has been left behind since `before`."""
        return (
            not self.is_busier(before)
            and self.files <= before.files + 2
            and self.kib <= before.kib + FLAT_KIB
        )


@dataclass
class Server:
    """A running process with its log. `records` are the access records written so far."""

    port: int
    process: Process
    log: Path
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def text(self) -> str:
        return self.log.read_text("utf-8")

    @property
    def records(self) -> list[dict[str, Any]]:
        whole = self.text.rpartition("\n")[0]  # the last line may still be on its way
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def record(self, request_id: str) -> dict[str, Any]:
        """The access record of one request, which is written just after its answer ends."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            whole = self.text.rpartition("\n")[0]
            # Most lines are of other tests, and need not be read.
            for line in whole.splitlines() if request_id in whole else ():
                if request_id in line and line.startswith("{"):
                    record: dict[str, Any] = json.loads(line)
                    if record["request_id"] == request_id:
                        return record
            time.sleep(0.01)
        raise AssertionError(f"no access record for {request_id}")

    def stop(self) -> int:
        """End it as an operator does, and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def child_pids(self) -> list[int]:
        """The processes that it has started, by the kernel's own account."""
        pid = self.process.pid
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def worker_pids(self) -> list[int]:
        """The worker processes among them."""
        return [child for child in self.child_pids() if _is_worker(child)]

    def rest(self) -> "Rest":
        """What the first worker, started by `watched`, holds now."""
        pid = self.worker_pids()[0]
        end = time.monotonic() + WAIT
        with self.log.open(encoding="utf-8") as log:
            log.seek(0, os.SEEK_END)
            place = log.tell()
            os.kill(pid, signal.SIGUSR2)
            while (told := HELD.search(log.read())) is None and time.monotonic() < end:
                time.sleep(0.002)
                log.seek(place)
        assert told is not None, f"worker {pid} did not tell what it holds: {self.text}"
        words = told[1].split()
        return Rest(int(words[0]), int(words[2]), files_of(pid), rss_kib(pid), int(words[4]))

    def comes_to(self, before: "Rest", seconds: float = WAIT) -> None:
        """Assert that the first worker soon holds no more than before, and no request."""
        end = time.monotonic() + seconds
        while not (now := self.rest()).is_like(before) and time.monotonic() < end:
            time.sleep(0.05)
        assert now.is_like(before), f"{now}, and before {before}"

    def files(self) -> int:
        """Open files and sockets of the first worker."""
        return files_of(self.worker_pids()[0])

    def settled(self, files: int, seconds: float = WAIT) -> bool:
        """Whether the first worker comes back to `files` open files, give or take two."""
        end = time.monotonic() + seconds
        while self.files() > files + 2 and time.monotonic() < end:
            time.sleep(0.02)
        return self.files() <= files + 2

    def rss_kib(self) -> int:
        """Resident memory of the first worker."""
        return rss_kib(self.worker_pids()[0])


def _is_worker(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        if Path(f"/proc/{pid}/comm").read_text().startswith("orqen-"):
            return False
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return False
    return b"resource_tracker" not in words


def files_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def rss_kib(pid: int) -> int:
    """Resident memory of a process in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@contextlib.contextmanager
def started(
    log: Path,
    ready: str,
    *arguments: str,
    environ: Mapping[str, str],
    module: str = "engine",
    scheme: str = "http",
) -> Iterator[Server]:
    """A process of `engine` listening on a free port, killed at the end if it still runs."""
    port = free_port()
    words = (module, *arguments, "--port", str(port))
    process = Process(Command(words, log, log, {"PATH": os.environ["PATH"], **environ}))
    try:
        is_ready = wait_until_ready if scheme == "http" else loopback.wait_until_ready
        assert is_ready(process, port, ready), log.read_text()
        yield Server(port, process, log, scheme)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"it did not end when told to:\n{log.read_text()}") from None


@contextlib.contextmanager
def mock_upstream(log: Path, *arguments: str) -> Iterator[Server]:
    """The built-in upstream as a process."""
    with started(log, "/__mock/status", "mock", *arguments, environ={}) as server:
        yield server


@contextlib.contextmanager
def gateway(
    directory: Path,
    log: Path,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    module: str = "engine",
) -> Iterator[Server]:
    """The gateway on the configuration in `directory`."""
    words = ("serve", str(directory), "--drain-delay", "0", *arguments)
    scheme = "https" if loopback.IS_HTTP2 and "--mock" not in arguments else "http"
    if scheme == "https":
        from tests.http2 import secure  # noqa: PLC0415 needs h2

        secure(directory)
    with started(
        log, "/readyz", *words, environ=environ or {}, module=module, scheme=scheme
    ) as server:
        yield server


def write_keys(directory: Path, *entries: str) -> None:
    """A keys.yaml with KEY for everything, and more entries as YAML flow mappings."""
    lines = [f"- {{name: tests, sha256: {digest(KEY)}}}", *(f"- {entry}" for entry in entries)]
    (directory / "keys.yaml").write_text("version: 1\nkeys:\n  " + "\n  ".join(lines) + "\n")


def read_yaml(name: str) -> Any:
    """A shipped file as plain data."""
    return parse_yaml((ROOT / name).read_bytes())


def parse_yaml(text: str | bytes) -> Any:
    """By libyaml, ten times as fast as the parser in Python."""
    return yaml.load(text, yaml.CSafeLoader)


def dump_yaml(data: Any) -> str:
    text: str = yaml.dump(data, Dumper=yaml.CSafeDumper)
    return text


def ship(directory: Path) -> Path:
    """The shipped configuration in a folder of its own, with KEY in its keys.yaml."""
    for name in ("routes.yaml", "providers.yaml"):
        (directory / name).write_bytes((ROOT / name).read_bytes())
    write_keys(directory)
    return directory


def received(mock: Server, mock_id: str) -> dict[str, Any]:
    """What the mock upstream received as its request `mock_id` (header `x-mock-id`)."""
    answer: dict[str, Any] = loopback.get(f"{mock.url}/__mock/requests/{mock_id}").json()
    return answer


@contextlib.contextmanager
def unharmed(folder: Path, log: Path, *options: str) -> Iterator[Server]:
    """A gateway that must come through whatever is done to it.

    The same workers, no request and no task more than before, no bug told; no more files than
    its kept connections may be, and no more memory than allocators keep.
    """
    with gateway(folder, log, *options, module="tests.watched") as running:
        pids = running.worker_pids()
        before = running.rest()
        yield running
        assert running.worker_pids() == pids, "a worker died"
        end = time.monotonic() + WAIT
        while (left := running.rest()).is_busier(before) and time.monotonic() < end:
            time.sleep(0.02)
        assert not left.is_busier(before), f"{left}, and before {before}"
        assert left.files <= before.files + KEPT, f"{left}, and before {before}"
        assert left.kib <= before.kib + 2 * FLAT_KIB, f"{left}, and before {before}"
        assert "Traceback" not in running.text
        assert "internal_error" not in running.text
