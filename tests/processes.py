"""Processes of `engine` that have imported it already: forked from one that has, not started anew.

An import of `engine` costs half a second of CPU, and hundreds of tests need a server of their own.
Such a process is one in all that matters to a test: it has its own session, environment, signals
and files. `tests/e2e/server/test_process.py` and the tests of commands start it as operators do.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["tests.preloaded"])


def _run(log: Path, words: list[str], environ: dict[str, str]) -> None:
    """What the new process does: `python -m WORDS`, as if nothing had been before."""
    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environ)
    module, *sys.argv[1:] = words
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class Process:
    """`python -m MODULE ARGUMENTS` with what it prints in a log; like a Popen."""

    def __init__(self, log: Path, module: str, *arguments: str, environ: Mapping[str, str]) -> None:
        given = {"PATH": os.environ["PATH"], **environ}
        self._process = _server.Process(target=_run, args=(log, [module, *arguments], given))
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired("engine", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
