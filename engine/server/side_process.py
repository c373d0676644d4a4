"""A process beside the workers, such as that of the dashboard: it may die and never ends the server."""

import contextlib
import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from engine.server.log import log
from engine.server.signals import block_signals

PAUSE_SECONDS = 1.0  # until one that has died is started again
LONG_PAUSE_SECONDS = 30.0  # for one that has died soon after its start
EARLY_EXIT_SECONDS = 3.0
STOP_SECONDS = 2.0


def _run(target: Callable[[Connection], None], pipe: Connection, of_parent: Connection) -> None:
    """What the process does. Its copy of the parent's end would keep the pipe open forever."""
    of_parent.close()
    target(pipe)


def process_context() -> Any:
    """What starts processes. Later Pythons would not fork by default; elsewhere forking is not safe."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


class SideProcess:
    """Runs `target` in a process, with a pipe by which it is stopped, and again when it has died."""

    def __init__(self, name: str, target: Callable[[Connection], None] | None) -> None:
        self._name = name
        self._target = target
        self._process: Any = None
        self._pipe: Connection | None = None
        self._started = self._due = 0.0

    def keep_alive(self, processes: Any) -> None:
        """Start it by the context `processes` of multiprocessing, unless it runs or died just now."""
        if self._process is not None and not self._process.is_alive():
            self._on_death()
        if self._target is None or self._process is not None or time.monotonic() < self._due:
            return
        self._pipe, theirs = processes.Pipe()
        self._process = processes.Process(target=_run, args=(self._target, theirs, self._pipe))
        self._started = time.monotonic()
        with block_signals():  # it is ended by the pipe alone
            self._process.start()
        theirs.close()

    def poll(self) -> int | None:
        """The exit code of one that has ended."""
        code: int | None = None if self._process is None else self._process.exitcode
        return code

    def _on_death(self) -> None:
        code, now = self._end(), time.monotonic()
        pause = LONG_PAUSE_SECONDS if now - self._started < EARLY_EXIT_SECONDS else PAUSE_SECONDS
        self._due = now + pause
        log(f"the {self._name} died (exit code {code}); it starts again in {pause:g} s", "error")

    def stop(self) -> None:
        """End it; after a moment by force."""
        if self._process is None:
            return
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.send("stop")
        self._process.join(STOP_SECONDS)
        self._process.kill()
        self._end()

    def _end(self) -> int | None:
        if self._process is None or self._pipe is None:
            return None
        self._process.join()
        code: int | None = self._process.exitcode
        self._pipe.close()
        self._process = self._pipe = None
        return code


class SideProcesses(SideProcess):
    """Several side processes, started and stopped together."""

    def __init__(self, *every: SideProcess) -> None:
        super().__init__("", None)
        self._every = every

    def keep_alive(self, processes: Any) -> None:
        """Start each that does not run."""
        for one in self._every:
            one.keep_alive(processes)

    def stop(self) -> None:
        """End all of them."""
        for one in self._every:
            one.stop()


NO_SIDE_PROCESS = SideProcess("", None)
