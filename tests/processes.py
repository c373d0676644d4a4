"""Processes of `engine` that have imported it already: forked from one that has, not started anew.

An import of `engine` costs a third of a second of CPU, and hundreds of tests need a process. Such a
process is one in all that matters to a test: it has its own session, folder, environment, signals,
files and exit code. Tests of pages, terminals and wheels start `engine` as operators do.
"""

import contextlib
import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parent.parent

# One instead of the hundreds of CA certificates of this machine, which take 30 ms for each context of TLS.
ONE_CA = {
    "SSL_CERT_FILE": str(ROOT / "examples/vllm/company-ca.pem"),
    "SSL_CERT_DIR": os.devnull,
}

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["tests.preloaded"])


def share() -> None:
    """Start what forks now, once for this process and all that are forked from it."""
    forkserver.ensure_running()
    # Only its parent could ask whether it runs.
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]


@dataclass(frozen=True)
class Command:
    """`python -m MODULE ARGUMENTS`, with its output in files and nothing else in its environment.

    `out` and `errors` may also be terminals or FIFOs, and `source` is its standard input.
    `descriptors` limits its open files (RLIMIT_NOFILE); `mask` is its umask.
    """

    words: tuple[str, ...]
    out: Path
    errors: Path
    environ: Mapping[str, str]
    folder: Path = field(default=ROOT)
    descriptors: int | None = None
    source: Path = Path(os.devnull)
    mask: int = 0o022

    def run(self) -> None:
        """What the new process does."""
        os.setsid()
        os.umask(self.mask)
        opened = os.open(self.source, os.O_RDONLY)
        os.dup2(opened, 0)
        os.close(opened)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 multiprocessing closed the one of before
        for number, path in ((1, self.out), (2, self.errors)):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(opened, number)
            os.close(opened)
        if self.descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update({"PATH": os.defpath, **ONE_CA, **self.environ})
        module, *sys.argv[1:] = self.words
        runpy.run_module(module, run_name="__main__", alter_sys=True)


class Process:
    """A command that runs; like a Popen."""

    def __init__(self, command: Command) -> None:
        self._process = _server.Process(target=command.run)
        self._process.start()
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("engine", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def in_a_small_process(work: Callable[..., T], *arguments: Any) -> T:
    """What `work` returns, of a test that forks often: its own process has all tests in memory, and a fork takes 0.1 s."""
    with ProcessPoolExecutor(1, mp_context=_server) as pool:
        return pool.submit(work, *arguments).result()


def run_engine(
    *arguments: str | Path, folder: Path = ROOT, **environ: str
) -> "subprocess.CompletedProcess[str]":
    """Run `engine` to its end, with nothing in the environment but what is given."""
    return _run(("engine", *map(str, arguments)), folder, environ)


def run_engine_without(
    packages: Iterable[str], *arguments: str | Path, **environ: str
) -> "subprocess.CompletedProcess[str]":
    """Run `engine` as if these packages were not installed."""
    return _run(("tests.lacking", ",".join(packages), *map(str, arguments)), ROOT, environ)


def _run(
    words: tuple[str, ...], folder: Path, environ: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    with tempfile.TemporaryDirectory() as place:
        out, errors = Path(place, "out"), Path(place, "errors")
        process = Process(Command(words, out, errors, environ, folder))
        try:
            code = process.wait(60)
        finally:
            process.kill()
        texts = (path.read_text("utf-8") for path in (out, errors))
        return subprocess.CompletedProcess(words, code, *texts)


def shown_on_a_terminal(
    environ: Mapping[str, str], *arguments: str | Path, folder: Path = ROOT
) -> str:
    """What `engine` writes to a pseudo terminal."""
    master, slave = os.openpty()
    try:
        terminal = Path(os.ttyname(slave))
        words = ("engine", *map(str, arguments))
        process = Process(Command(words, terminal, terminal, environ, folder))
        process.wait(60)
    finally:
        os.close(slave)
    with os.fdopen(master, "rb", buffering=0) as reader:
        pieces = []
        with contextlib.suppress(OSError):  # EIO once nobody has the other end
            while piece := reader.read(65536):
                pieces.append(piece)
    return b"".join(pieces).decode()
