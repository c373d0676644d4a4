"""The parent of the workers: starts them, replaces them, and ends them. It serves no request.

    event                     what follows
    SIGHUP, changed files     reload: all workers or none, see `reload`
    a worker dies             another takes its place; twice within seconds ends the server
    too much memory,          a successor starts, then the worker finishes its requests; see `listener`
    renewed TLS files
    SIGTERM                   not ready; after the drain delay no connection is accepted; after the
                              drain timeout the requests under way are aborted
    SIGINT, a second signal   all of that at once

One thread, one loop: it waits for signals, for what workers report, for their deaths and for the
next timer, so that no worker is forked from the middle of anything. Workers leave signals to this
process (a service manager, or Ctrl-C, signals every process) and do what it says over their pipes.
"""

import heapq
import itertools
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from engine.plan.plan import Plan
from engine.plan.tls import ListenerTls
from engine.server.channel import WorkerChannel
from engine.server.log import announce, log
from engine.server.memory import MemoryLimit
from engine.server.notify import notify, notify_reloading
from engine.server.reload import ConfigReloader, ReloadState, Snapshot
from engine.server.renewal import TlsRenewal
from engine.server.side_process import NO_SIDE_PROCESS, SideProcess, process_context
from engine.server.signals import SignalQueue, block_signals, signal_queue
from engine.server.watch import POLL_SECONDS, FolderWatch
from engine.server.worker_process import WorkerProcess

CRASH_SECONDS = 5.0  # a worker that took the place of a dead one and dies sooner is a crash loop
MEMORY_SECONDS = 1.0
LISTENING_SECONDS = 60.0  # for a worker to listen
QUEUE_SECONDS = 1.2  # for a worker to accept what waits: connections without bytes wait a second
FLUSH_SECONDS = 1.0  # for the responses to aborted requests
TOO_MUCH_MEMORY = "takes too much memory"
SELECT_SOCKET = -1  # the number of this message; those of `reload` are above zero

StartWorker = Callable[
    [Snapshot, Plan | None, ReloadState, ListenerTls | None, Connection, list[Connection]], None
]


class CrashLoopError(Exception):
    """A worker dies again as soon as it was started again."""


class Supervisor:
    """Keeps `workers` processes of `start_worker` alive until a signal ends it.

    `ready_banner` is written to standard output once the first worker listens, `drain` is the delay
    and the timeout in seconds, `worker_memory` the bytes that a worker may take.
    """

    def __init__(  # noqa: PLR0913 what the options decide
        self,
        start_worker: StartWorker,
        reloader: ConfigReloader,
        *,
        workers: int,
        ready_banner: str,
        drain: tuple[float, float],
        tls: TlsRenewal,
        worker_memory: int | None = None,
        side_processes: SideProcess = NO_SIDE_PROCESS,
    ) -> None:
        self._processes: Any = process_context()
        self._start_worker = start_worker
        self._reloader = reloader
        self._watch = FolderWatch(reloader.paths)
        self._count = workers
        self._ready_banner = ready_banner
        self._drain_delay, self._drain_timeout = drain
        self._memory = MemoryLimit(worker_memory)
        self._side_processes = side_processes
        self._tls = tls
        self._workers: list[WorkerProcess] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # of timers that are due at the same moment
        self._signals: SignalQueue
        self._is_draining = False
        self._is_stopping = False

    def run(self) -> None:
        """Serve until every worker has ended.

        Raises:
            CrashLoopError: a worker could not be kept running.
        """
        with signal_queue() as self._signals:
            for number in range(1, self._count + 1):
                self._start(number)
            self._check_files()
            self._after(MEMORY_SECONDS, self._check_memory)
            try:
                while self._workers:
                    self._step()
            finally:
                self._kill()
                for worker in self._workers:
                    worker.process.join()
                self._side_processes.stop()

    # -- the loop --------------------------------------------------------------------------------

    def _step(self) -> None:
        """Wait for the next signal, message, death or timer, and handle it."""
        timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
        pipes = [worker.channel.pipe for worker in self._workers]
        deaths = [worker.process.sentinel for worker in self._workers]
        ready = wait([self._signals.fileno(), *pipes, *deaths], timeout)
        for number in self._signals.take():
            self._on_signal(number)
        for worker in list(self._workers):
            for event in worker.channel.events():  # also what came during a reload
                self._on_event(worker, event)
            if worker.process.sentinel in ready:
                self._on_death(worker)
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), call))

    # -- workers ---------------------------------------------------------------------------------

    def _start(
        self,
        number: int,
        *,
        is_restart: bool = False,
        replaces: WorkerProcess | None = None,
        why: str = "",
    ) -> None:
        ours, theirs = self._processes.Pipe()
        others = [ours, *(worker.channel.pipe for worker in self._workers)]
        reloader, tls = self._reloader, self._tls
        loaded = reloader.accepted, self._inherited(), reloader.state, tls.accepted
        process = self._processes.Process(target=self._start_worker, args=(*loaded, theirs, others))
        with block_signals():  # the worker starts with them blocked: none is lost, none ends it
            process.start()
        theirs.close()
        channel = WorkerChannel(ours, process.sentinel)
        worker = WorkerProcess(number, process, channel, is_restart, replaces, why, tls.count)
        self._workers.append(worker)
        self._after(LISTENING_SECONDS, lambda: self._expect_listening(worker))
        if self._is_draining:
            channel.send("drain")

    def _inherited(self) -> Plan | None:
        """The Plan that runs, where a worker is a copy of this process; it cannot be sent to one."""
        return self._reloader.plan if self._processes.get_start_method() == "fork" else None

    def _on_event(self, worker: WorkerProcess, event: str) -> None:
        if event == "listening":
            worker.is_listening = True
            if self._ready_banner:
                announce(self._ready_banner)
                self._ready_banner = ""
                notify("READY=1")
            if worker.replaces is not None:
                self._take_over(worker)
            if self._reloader.waits_for_worker:  # it may be the one that was too slow
                self._reload()
        elif event == "stopped listening":
            for successor in self._workers:
                if successor.replaces is worker:
                    successor.channel.send("clear_selection")
                    successor.replaces = None

    def _on_death(self, worker: WorkerProcess) -> None:
        worker.process.join()
        self._workers.remove(worker)
        worker.channel.pipe.close()
        code = worker.process.exitcode
        successor = next((other for other in self._workers if other.replaces is worker), None)
        self._on_event(worker, "stopped listening")
        if worker.is_stopping or self._is_stopping:
            return
        if worker.replaces is not None:
            words = f"could not be replaced: its successor ended with exit code {code}"
            log(f"worker {worker.number} {worker.why} and {words}", "error")
            return
        if worker.is_restart and time.monotonic() - worker.started < CRASH_SECONDS:
            log(f"worker {worker.number} died again (exit code {code}): a crash loop", "error")
            raise CrashLoopError
        self._reloader.counts.count_death()
        log(f"worker {worker.number} died (exit code {code}); another takes its place", "error")
        if successor is None:
            self._start(worker.number, is_restart=True)

    def _expect_listening(self, worker: WorkerProcess) -> None:
        """Kill a worker that does not start: the one that it replaces stays, or another takes its place."""
        if worker in self._workers and not worker.is_listening and not self._is_stopping:
            log(f"worker {worker.number} does not listen after {LISTENING_SECONDS:g} s", "error")
            worker.process.kill()

    # -- replacement -----------------------------------------------------------------------------

    def _check_memory(self) -> None:
        """Replace the first worker that has taken too much for a while."""
        self._after(MEMORY_SECONDS, self._check_memory)
        serving = {w.process.pid or 0: w for w in self._workers if not w.is_stopping}
        for pid in self._memory.exceeded_by(serving):
            self._replace(serving[pid], TOO_MUCH_MEMORY)

    def _check_tls(self) -> None:
        """Replace the first worker that has other TLS files than those on disk."""
        if self._tls.tick(time.time()):
            self._send_all("state", self._reloader.set_tls_state(self._tls.refused))
        for worker in [w for w in self._workers if w.is_behind(self._tls.count, time.monotonic())]:
            self._replace(worker, "has old TLS files")

    def _replace(self, worker: WorkerProcess, why: str) -> None:
        """Start the successor of a worker, which stops once that one listens; one at a time."""
        if self._is_stopping or worker.is_stopping or any(w.replaces for w in self._workers):
            return
        worker.record_try(self._tls.count, time.monotonic())
        self._start(worker.number, replaces=worker, why=why)

    def _take_over(self, successor: WorkerProcess) -> None:
        """Have new connections go to the successor; then let the worker finish what it has."""
        worker = successor.replaces
        if worker is None or worker not in self._workers:
            successor.replaces = None
            return
        listening = sum(not other.is_stopping for other in self._workers)
        successor.channel.send(
            "select_socket", SELECT_SOCKET, listening - 1
        )  # it was the last to listen
        successor.channel.reply(SELECT_SOCKET, time.monotonic() + 1.0)
        worker.is_stopping = True
        if successor.why == TOO_MUCH_MEMORY:
            self._reloader.counts.count_replacement()
        log(f"worker {worker.number} {successor.why}: replaced; its requests in flight continue")
        self._after(QUEUE_SECONDS, lambda: worker.channel.send("stop"))

    # -- configuration ---------------------------------------------------------------------------

    def _check_files(self) -> None:
        self._after(POLL_SECONDS, self._check_files)
        self._side_processes.keep_alive(self._processes)
        self._check_tls()
        if not self._is_stopping and self._watch.has_changed():
            self._reload()

    def _reload(self) -> None:
        if self._is_draining:  # a worker that is stuck would hold up the end
            return
        notify_reloading()
        following = [worker.channel for worker in self._workers if not worker.is_stopping]
        if self._reloader.reload(following, self._signals.has_end):
            self._after(0.05, self._reload)
        notify("READY=1")

    # -- the end ---------------------------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGTERM and not self._is_draining:
            self._is_draining = True
            self._send_all("drain")
            self._after(self._drain_delay, self._stop)
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._is_draining = True
            self._send_all("drain")
            self._stop()
            self._abort_requests()
        else:
            self._reload()

    def _stop(self) -> None:
        """Have every worker close its port and finish its requests."""
        if not self._is_stopping:
            self._is_stopping = True
            notify("STOPPING=1")
            self._send_all("stop")
            self._after(self._drain_timeout, self._abort_requests)

    def _abort_requests(self) -> None:
        self._send_all("abort_requests")
        self._after(FLUSH_SECONDS, self._kill)

    def _kill(self) -> None:
        for worker in self._workers:
            worker.process.kill()

    def _send_all(self, *message: Any) -> None:
        for worker in self._workers:
            worker.channel.send(*message)
