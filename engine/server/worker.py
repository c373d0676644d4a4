"""One worker process: a Gateway for the Plan that runs, and the way to the next one.

A request stays with the Gateway it began on. Once the last one of an old Gateway has ended, its
connections to providers are closed.

The HTTP server runs on the loop of this process and sees requests alone; when to start, to drain
and to stop is decided by the parent, over a pipe (see `channel`).
"""

import asyncio
import contextlib
import multiprocessing
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine.gateway.access_log import AccessLog
from engine.gateway.app import Gateway
from engine.gateway.record import location_of
from engine.limits.table import SharedMemory
from engine.plan.accounts import Accounts
from engine.plan.limit_store import NO_STORE, LimitSettings
from engine.plan.plan import Plan
from engine.server.channel import UNSOLICITED
from engine.server.connections import ConnectionLimits, Connections, Peer, max_connections
from engine.server.hooks.worker import WorkerHooks
from engine.server.http import Listen, create_server, idle_limit, new_loop
from engine.server.listener import (
    clear_selection,
    drop_new_connections,
    is_listening,
    select_socket,
    wait_for_first_bytes,
)
from engine.server.log import message_line
from engine.server.memory import collect_garbage, keep_freed_memory, tune_garbage_collection
from engine.server.reload import Prepare, ReloadState, Snapshot, read_folder
from engine.server.scheduling import ThreadScheduler
from engine.telemetry.memory import CounterMemory
from engine.upstream.clients import new_clients

TICK_SECONDS = 1.0
LISTEN_POLL_SECONDS = 0.002
QUEUE_SECONDS = 0.2  # for connections that wait to be accepted, and sent what they ask


@dataclass(frozen=True, slots=True)
class Parent:
    """What a worker gets from its parent: a pipe to it, and how to read the configuration.

    `drain_timeout` is how long requests may take to finish when the parent has died, in seconds.
    `accounts` is where callers have accounts, if they have; `limits` is memory in which the workers
    count what callers use, `counters` is that for metrics; None where they cannot share it.
    `limit_settings` say whether they are counted in a store of several machines.
    """

    pipe: Connection
    directory: Path
    prepare: Prepare
    drain_timeout: float
    accounts: Accounts | None = None
    limits: SharedMemory | None = None
    counters: CounterMemory | None = None
    limit_settings: LimitSettings = NO_STORE


def run_worker(plan: Plan, state: ReloadState, parent: Parent, listen: Listen) -> None:
    """Serve `plan`, and what the parent has this worker change to, until the parent says stop."""
    keep_freed_memory()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(Worker(plan, state, parent, listen).serve())


class Worker:
    """What one process serves: the gateway of the newest Plan, and older ones that still finish."""

    def __init__(self, plan: Plan, state: ReloadState, parent: Parent, listen: Listen) -> None:
        self._parent = parent
        self._pipe = parent.pipe
        self._listen = listen
        self._server = create_server(self, listen)
        self._connections = Connections(
            listen.port, max_connections(), self._busy, ConnectionLimits(idle=idle_limit(listen))
        )
        self._is_draining = False  # the server ends, not this worker alone
        self._is_closing = False
        self._log = AccessLog(sys.stderr, message_line)
        shared = parent.limits, parent.counters
        self._hooks = WorkerHooks(
            parent.accounts, *shared, self._log, self._show_state, parent.limit_settings
        )
        self._gateway = self._new_gateway(plan)
        self._hooks.set_plan(plan)
        self._state = state
        self._show_state()
        self._next: Gateway | None = None
        self._preparing = UNSOLICITED  # the number of the newest `prepare` that still counts
        self._tasks: set[asyncio.Task[None]] = set()
        self._gateways = {self._gateway}
        self._handlers: dict[str, Callable[..., None]] = {
            "prepare": self._on_prepare,
            "commit": self._on_commit,
            "abort": self._on_state,
            "state": self._on_state,
            "drain": self._on_drain,
            "stop": self._on_stop,
            "abort_requests": self._on_abort_requests,
            "select_socket": self._on_select_socket,
            "clear_selection": self._on_clear_selection,
        }

    def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> Awaitable[None]:
        """Hand a request to the Plan that runs now."""
        return self._gateway(scope, receive, send)

    async def serve(self) -> None:
        """Listen, and return once the parent has said stop and every request has ended."""
        loop = asyncio.get_running_loop()
        tune_garbage_collection()
        await self._hooks.open()
        serving = asyncio.ensure_future(self._server.serve())
        self._spawn(self._report_listening())
        loop.add_reader(self._pipe.fileno(), self._read_message)
        self._spawn(self._watch_parent())
        self._spawn(self._connections.watch(self._say_failed))
        self._hooks.start()
        try:
            await serving
        finally:
            loop.remove_reader(self._pipe.fileno())
            for task in self._tasks:
                task.cancel()
            for gateway in self._gateways:
                await gateway.close()
            await self._hooks.close()
            await asyncio.to_thread(self._hooks.stop)
            self._log.close()

    def _new_gateway(self, plan: Plan) -> Gateway:
        return Gateway(
            plan,
            new_clients(self._log.write_message),
            self._log,
            lambda: self._is_closing,
            self._hooks.of(plan),
        )

    def _show_state(self) -> None:
        """What the probes report beside the configuration."""
        self._gateway.is_draining = self._is_draining
        self._gateway.about = {**self._state.entries(), **self._hooks.status}

    def _busy(self) -> set[Peer]:
        """Whose requests are under way."""
        return {scope["client"] for one in self._gateways for scope in one.requests.values()}

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._say_failed(error)

    def _say_failed(self, error: BaseException) -> None:
        self._log.write_message(f"a task of a worker failed: {location_of(error)}", "error")

    # -- following the parent --------------------------------------------------------------------

    def _read_message(self) -> None:
        """A message of the parent; they come one at a time, each after the reply to the last."""
        try:
            word, *rest = self._pipe.recv()
        except (OSError, EOFError):
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            return
        self._handlers[word](*rest)

    def _send(self, number: int, word: str) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send((number, word))

    async def _report_listening(self) -> None:
        """The server opens its socket in a thread, some time after it was asked to."""
        while sys.platform == "linux" and not is_listening(self._listen.port):  # noqa: ASYNC110 there is no event for it
            await asyncio.sleep(LISTEN_POLL_SECONDS)
        wait_for_first_bytes(self._listen.port)
        self._send(UNSOLICITED, "listening")

    def _on_prepare(self, number: int, digest: str, names: tuple[str, ...], now: float) -> None:
        self._next, self._preparing = None, number
        self._spawn(self._prepare(number, digest, names, now))

    async def _prepare(self, number: int, digest: str, names: tuple[str, ...], now: float) -> None:
        """Load what the parent has loaded, in a thread, so that requests go on meanwhile.

        When it is ready too late, the parent has aborted it and may have asked for something newer.
        """
        snapshot = await asyncio.to_thread(read_folder, self._parent.directory, names)
        word = "changed"
        if snapshot.digest == digest:
            snapshot = Snapshot(snapshot.texts, now)
            loaded, problems = await asyncio.to_thread(self._parent.prepare, snapshot)
            if number != self._preparing:
                return
            word = "a worker could not load the configuration"
            if loaded is not None and loaded.plan is not None and not problems:
                self._next = self._new_gateway(loaded.plan)
                word = "ready"
        self._send(number, word)

    def _on_commit(self, state: ReloadState) -> None:
        if self._next is not None:
            self._swap(self._next)
        self._on_state(state)

    def _on_state(self, state: ReloadState) -> None:
        self._next, self._preparing = None, UNSOLICITED
        self._state = state
        self._show_state()

    def _swap(self, new: Gateway) -> None:
        new.inherit(self._gateway)
        old, self._gateway = self._gateway, new
        self._gateways.add(new)
        self._hooks.set_plan(new.plan)
        self._spawn(self._retire(old))

    async def _retire(self, old: Gateway) -> None:
        """Close an old Gateway once nothing runs on it any more."""
        await old.retire()
        self._gateways.discard(old)
        del old
        collect_garbage()

    # -- the end ---------------------------------------------------------------------------------

    def _on_drain(self) -> None:
        self._is_draining = self._is_closing = True
        self._show_state()

    def _on_stop(self) -> None:
        """Close the port once what waits there was accepted; requests under way go on."""
        self._is_closing = True
        self._spawn(self._stop())

    async def _stop(self) -> None:
        drop_new_connections(self._listen.port)
        await asyncio.sleep(QUEUE_SECONDS)
        self._server.stop()  # type: ignore[no-untyped-call]
        while is_listening(self._listen.port):  # noqa: ASYNC110 there is no event for it
            await asyncio.sleep(LISTEN_POLL_SECONDS)
        self._send(UNSOLICITED, "stopped listening")

    def _on_abort_requests(self) -> None:
        """End every request under way: the time to drain is over."""
        for gateway in self._gateways:
            gateway.abort_in_flight()

    def _on_select_socket(self, number: int, index: int) -> None:
        select_socket(self._listen.port, index)
        self._send(number, "selected")

    def _on_clear_selection(self) -> None:
        clear_selection(self._listen.port)

    async def _watch_parent(self) -> None:
        """Stop when the parent has died: an orphan would hold the port with an old configuration.

        Until then, see how busy this worker is.
        """
        parent = multiprocessing.parent_process()
        scheduler = ThreadScheduler()
        while parent is not None and os.getppid() == parent.pid:  # there is no event for it
            await asyncio.sleep(TICK_SECONDS)
            self._hooks.tick(TICK_SECONDS, self._gateways)
            scheduler.tick(sum(gateway.take_peak_requests() for gateway in self._gateways))
        self._on_drain()
        self._on_stop()
        await asyncio.sleep(self._parent.drain_timeout)
        self._on_abort_requests()
