"""One worker process: a Gateway for the Plan that runs, and the way to the next one.

A request stays with the Gateway it began on. Once the last one of an old Gateway has ended, its
connections to providers are closed.
"""

import asyncio
import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine.connections import Connections, Peer, most_connections
from engine.gateway.access import AccessLog
from engine.gateway.app import Gateway
from engine.plan import Plan
from engine.reload import Prepare, Snapshot, State, read_folder
from engine.turns import Turns
from engine.upstream import Client
from engine.upstream.http1_pool import Http1Client
from engine.upstream.httpx_client import HttpxClient

LOOK_SECONDS = 1.0
YOUNG_OBJECTS = 10_000
CUT = signal.SIGUSR1
_STOPPING = {signal.SIGTERM, signal.SIGINT}
UP = 0  # the number of what a worker says unasked: that it listens
STOP = ("stop", UP)  # what the parent says to one that shall finish; it has no reply
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


@dataclass(frozen=True, slots=True)
class Greeter:
    """Says that the server is ready, from whichever worker is the first to be."""

    text: str
    first: Any  # a lock that is taken once and never given back

    def greet(self) -> None:
        if self.first.acquire(block=False):
            sys.stdout.write(self.text)
            sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Parent:
    """What a worker has of its parent: a line to it, and how it reads the configuration."""

    link: Connection
    directory: Path
    prepare: Prepare
    is_draining: Callable[[], bool]
    drain_timeout: float


class Worker:
    """The ASGI application of one process."""

    def __init__(
        self, plan: Plan, state: State, parent: Parent, greeter: Greeter, port: int
    ) -> None:
        self._parent = parent
        self._link = parent.link
        self._greeter = greeter
        self._log = AccessLog(sys.stderr)
        self._gateway = self._made(plan)
        self._gateway.about = state.entries()
        self._next: Gateway | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._gateways = {self._gateway}
        self._connections = Connections(port, most_connections(), self._busy)
        self._following: asyncio.Task[None] | None = None

    def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> Awaitable[None]:
        """Hand a request to the Plan that runs now."""
        if scope["type"] == "http":
            return self._gateway(scope, receive, send)
        return self._live(receive, send)

    def _made(self, plan: Plan) -> Gateway:
        clients: dict[str, Client] = {"http1": Http1Client(), "httpx": HttpxClient()}
        return Gateway(plan, clients, self._log, self._parent.is_draining)

    async def _live(self, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(CUT, self._cut)
        loop.add_reader(self._link.fileno(), self._read_link)
        await receive()
        _settle_garbage()
        await send({"type": "lifespan.startup.complete"})
        tasks = [asyncio.ensure_future(self._say_up())]
        self._greeter.greet()
        tasks += map(asyncio.ensure_future, (self._look_around(), self._connections.watch()))
        await receive()
        for task in tasks:
            task.cancel()
        loop.remove_reader(self._link.fileno())
        for gateway in self._gateways:
            await gateway.close()
        self._log.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _say_up(self) -> None:
        """The loop goes on after start-up when the server has begun to listen."""
        with contextlib.suppress(OSError):
            self._link.send((UP, "up"))

    def _busy(self) -> set[Peer]:
        """Whose requests are under way."""
        return {scope["client"] for one in self._gateways for scope in one.calls.values()}

    # -- following the parent --------------------------------------------------------------------

    def _read_link(self) -> None:
        """A message of the parent; they come one at a time, each after the reply to the last."""
        try:
            word, number, *rest = self._link.recv()
        except (OSError, EOFError):
            asyncio.get_running_loop().remove_reader(self._link.fileno())
            return
        if word == "stop":
            stop()
            return
        if word == "prepare":
            self._following = asyncio.ensure_future(self._follow(number, *rest))
            return
        if word == "commit" and self._next is not None:
            self._swap(self._next)
        self._next = None
        self._gateway.about = rest[0].entries()

    async def _follow(self, number: int, digest: str, names: tuple[str, ...], now: float) -> None:
        """Load what the parent has loaded, in a thread, so that requests go on meanwhile."""
        self._next = None
        snapshot = await asyncio.to_thread(read_folder, self._parent.directory, names)
        word = "changed"
        if snapshot.digest == digest:
            snapshot = Snapshot(snapshot.texts, now)
            loaded, problems = await asyncio.to_thread(self._parent.prepare, snapshot)
            word = "a worker could not load the configuration"
            if loaded is not None and loaded.plan is not None and not problems:
                self._next = self._made(loaded.plan)
                word = "ready"
        self._link.send((number, word))

    def _swap(self, new: Gateway) -> None:
        new.carry_over(self._gateway)
        old, self._gateway = self._gateway, new
        self._gateways.add(new)
        task = asyncio.ensure_future(self._retire(old))
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def _retire(self, old: Gateway) -> None:
        """Close an old Gateway once nothing runs on it any more."""
        await old.retire()
        self._gateways.discard(old)
        del old
        _settle_garbage()

    # -- the end ---------------------------------------------------------------------------------

    def _cut(self) -> None:
        """End every request under way: the time to drain is over."""
        for gateway in self._gateways:
            gateway.cut()

    async def _look_around(self) -> None:
        """Stop when the parent has died: an orphan would hold the port with an old configuration.

        Until then, see how busy this worker is.
        """
        parent = multiprocessing.parent_process()
        if parent is None:
            return
        turns = Turns()
        while os.getppid() == parent.pid:  # nothing else tells of it
            await asyncio.sleep(LOOK_SECONDS)
            turns.look(sum(len(gateway.calls) for gateway in self._gateways))
        stop()
        await asyncio.sleep(self._parent.drain_timeout)
        self._cut()


def hold_signals() -> None:
    """Leave it to the parent when to stop, who says so over its line; see `stop`.

    A service manager, or Ctrl-C, signals every process: a worker would stop while the parent still
    waits for load balancers to notice. A signal is also lost between the start of the application
    and that of the server, and a second one blocks Granian for ever.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)


def stop() -> None:
    """Let the server stop, by the one signal that gets through."""
    os.kill(os.getpid(), signal.SIGTERM)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _settle_garbage() -> None:
    """Keep what was loaded out of every later collection, and collect the young less often.

    A request makes some sixty short-lived containers and hardly ever a cycle. What was loaded
    before, and what loading left behind, goes now or never.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


def keep_freed_memory() -> None:
    """Let glibc keep what one large body gave back: it would fetch the pages of the next anew."""
    with contextlib.suppress(AttributeError):  # another libc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, 16 << 20)
        mallopt(M_MMAP_THRESHOLD, 8 << 20)
