"""The parent of the workers: Granian, made to reload in place, to drain, and to spare a worker.

A worker that takes too much memory is replaced without losing a request:

    parent                      its successor, then the worker itself
    spawn                 ->    load what was accepted last, listen, say `up`
    stop                  ->    close the port, finish the requests under way, end

Nothing is reloaded between the two, so all workers that take requests serve the same.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from granian import Granian
from granian._granian import ProcInfoCollector
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from engine.connections import most_connections
from engine.reload import Keeper, Link, log, watch
from engine.worker import CUT, STOP, UP

IDLE_SECONDS = 620  # load balancers keep connections for 60 to 600
BUFFER_BYTES = 524288
BACKLOG = 2048
LOOK_SECONDS = 1  # from one look at the memory of the workers to the next
LOOKS = 3  # so often in a row a worker takes too much, since a large body is gone soon
UP_SECONDS = 60.0
MIB = 1024 * 1024


def _listening(spec: Any) -> Any:
    """The port of one worker and of those that come after it, with the callers who queue there.

    A worker with a port of its own would reset them as it ends. It would also drop those who have
    connected and sent nothing yet, so they are not accepted for a second.
    """
    holder = spec.build()
    with socket.socket(fileno=os.dup(holder.get_fd())) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        listener.listen(BACKLOG)
    return holder


class Supervisor(Granian):  # type: ignore[misc, valid-type]
    """Granian that reloads in place, and says that it is draining before it stops listening.

    The first SIGTERM turns readiness off, waits for load balancers to notice, and gives requests
    under way `drain` seconds; SIGINT or a second signal stops at once. `drain` is the delay and
    the timeout, `worker_memory` the bytes that a worker may take.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        draining: Any,
        drain: tuple[float, float | None],
        keeper: Keeper | None = None,
        worker_memory: int | None = None,
        **more: Any,
    ) -> None:
        super().__init__(**settings, **more)
        self.workers_rss = worker_memory
        self.rss_sample_interval, self.rss_samples = LOOK_SECONDS, LOOKS
        self._leaving: list[Any] = []  # replaced, with requests under way
        self._ports: dict[int, Any] = {}
        self._draining = draining
        self._drain_delay, self._drain_timeout = drain
        self._keeper = keeper
        self._links: dict[int, Link] = keeper.links if keeper else {}
        if sys.platform == "linux":
            signal.signal(
                signal.SIGIO, signal.SIG_IGN
            )  # see `reload`: somebody opens a file to write
        signal.signal(CUT, signal.SIG_IGN)  # a worker that is not ready yet has nothing to cut

    def _spawn_worker(self, idx: int, target: Any, callback_loader: Any) -> Any:
        """Give each worker a line to here."""
        if self._keeper is None:
            return super()._spawn_worker(idx, target, callback_loader)
        ours, theirs = multiprocessing.Pipe()
        start = (self._keeper.accepted, self._keeper.state)
        spec: Any = self._ssp  # type: ignore[has-type]  # Granian is not checked
        if sys.platform == "linux":  # elsewhere all workers have the same port anyway
            if idx not in self._ports:
                self._ports[idx] = _listening(spec)
            self._ssp, self._shd = None, self._ports[idx]
        others = [holder.get_fd() for key, holder in self._ports.items() if key != idx]
        now = partial(_without, others, partial(callback_loader, start, theirs))
        worker = super()._spawn_worker(idx, target, now)
        if sys.platform == "linux":
            self._ssp, self._shd = spec, None
        self._links[idx] = Link(ours, lambda: worker.inner.sentinel)
        return worker

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        """Watch the files once the workers are forked; the thread only raises a flag."""
        if self._keeper is not None:
            watch(self._keeper, self.signal_handler_reload)
        super()._serve_loop(spawn_target, target_loader)

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:  # noqa: ARG002 Granian's
        """On SIGHUP, or when the files have changed: in place, where Granian would respawn.

        Runs in the main thread, as forking does, so that no worker is forked from the middle of it.
        """
        self.main_loop_interrupt.clear()
        self.reload_signal = self._keeper is not None and self._keeper.reload()
        self._look_again()

    def _look_again(self) -> None:
        """Let the main loop see what it was told meanwhile."""
        if self.reload_signal or self.interrupt_signal or self.interrupt_children:
            self.main_loop_interrupt.set()

    # -- memory ----------------------------------------------------------------------------------

    def _handle_rss_signal(self, spawn_target: Any, target_loader: Any) -> None:
        """Granian looks how much each worker takes; what follows is in `_respawn_workers`."""
        super()._handle_rss_signal(spawn_target, target_loader)
        self._look_again()

    def _respawn_workers(
        self, workers: list[int], spawn_target: Any, target_loader: Any, delay: float = 0
    ) -> None:
        """After a crash (no delay) as Granian does it, which counts crashes; else without a loss."""
        if not delay:
            super()._respawn_workers(workers, spawn_target, target_loader)
            return
        for idx in workers:
            if not self.interrupt_signal:
                self._replace(idx, spawn_target, target_loader)

    def _replace(self, idx: int, spawn_target: Any, target_loader: Any) -> None:
        """Start the successor of a worker; once it takes requests, let the worker finish its own."""
        old, link = self.wrks[idx], self._links[idx]
        new = self._spawn_worker(idx, spawn_target, target_loader)
        new.interrupt_by_parent = True  # its death is no crash before it has taken over
        new.start()
        word = self._links[idx].reply(UP, time.monotonic() + UP_SECONDS)
        if word != "up":
            new.kill()
            self._links[idx] = link
            log(f"worker {idx + 1} takes too much memory and could not be replaced: {word}")
            return
        log(f"worker {idx + 1} takes too much memory: replaced; its requests under way go on")
        self.wrks[idx] = new
        new.interrupt_by_parent = False
        if not new.is_alive():
            self.interrupt_children.append(idx)
        self._leaving = [*(w for w in self._leaving if w.is_alive()), old]
        link.tell(STOP)
        old.terminate()  # it holds the signal back; Granian notes that its end is no crash

    # -- the end ---------------------------------------------------------------------------------

    def signal_handler_interrupt(self, *args: Any, **_: Any) -> None:
        """Called by Granian's supervisor on SIGTERM and SIGINT.

        A worker inherits this until it takes signals itself, and would forget one that comes then.
        """
        if os.getpid() != self.pid:
            os._exit(0)
        is_term = bool(args) and args[0] == signal.SIGTERM
        is_first = not self._draining.is_set()
        self._draining.set()
        if is_term and is_first and self._drain_delay > 0:
            _later(self._drain_delay, self._stop)
        elif is_term and is_first:
            self._stop()
        else:
            super().signal_handler_interrupt()
            self._cut()

    def _stop(self) -> None:
        super().signal_handler_interrupt()
        if self._drain_timeout is not None:
            _later(self._drain_timeout, self._cut)

    def _drop_shared_socket(self) -> None:
        """The workers close the port when they stop, and this process before."""
        self._ports.clear()
        super()._drop_shared_socket()

    def _stop_workers(self) -> None:
        """Those that leave already have as long as the others; see `hold_signals` for the rest."""
        for link in self._links.values():
            link.tell(STOP)
        self.wrks += [worker for worker in self._leaving if worker.is_alive()]
        super()._stop_workers()

    def _cut(self) -> None:
        """Tell the workers to end what is still under way."""
        for worker in (*self.wrks, *self._leaving):
            with contextlib.suppress(OSError, TypeError):  # ended, or not started yet
                os.kill(worker.inner.pid, CUT)


def _without(others: list[int], build: Callable[[], Any]) -> Any:
    """In a worker: let go of the ports of the other workers, which are open while anybody has them."""
    with open(os.devnull, "rb") as nothing:
        for fd in others:
            os.dup2(nothing.fileno(), fd)  # it has an owner, who will close it once more
    return build()


def _later(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


def common_settings(host: str, port: int, idle: int = IDLE_SECONDS) -> dict[str, Any]:
    """What every server has; `idle` are the seconds that a connection may rest."""
    return {
        "target": "engine",
        "address": host,
        "port": port,
        "interface": Interfaces.ASGI,
        "http": HTTPModes.http1,  # `auto` waits for ever on a silent connection
        "websockets": False,
        "loop": Loops.asyncio if sys.platform == "win32" else Loops.uvloop,
        "backlog": BACKLOG,
        "backpressure": 2 * most_connections(),  # `Connections` sees to the rest
        "http1_settings": HTTP1Settings(
            header_read_timeout=idle * 1000, max_buffer_size=BUFFER_BYTES
        ),
        "log_access": False,  # it prints decoded paths, which can forge lines
        "log_level": LogLevels.warning,
    }


def memory_of(pid: int) -> int:
    """Bytes of memory that a process takes (its resident set)."""
    found: Any = ProcInfoCollector().memory([pid])
    return int(found[pid])
