"""The Granian processes: workers that load the configuration, readiness, drain; and the mock.

Each worker runs `load` itself, on the road `check` takes. The parent has done so before a port is
opened, so a broken configuration is told once and nothing is started.
"""

import asyncio
import contextlib
import http.client
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from engine.config.model import Config, Key
from engine.gateway.access import AccessLog
from engine.gateway.app import Gateway
from engine.load import Loaded, load
from engine.plan import Origin, Plan
from engine.upstream import Client
from engine.upstream.http1_pool import Http1Client
from engine.upstream.httpx_client import HttpxClient

HEADER_SECONDS = 60
BUFFER_BYTES = 65536
BACKLOG = 2048
MAX_CONNECTIONS = 4096
ORPHAN_SECONDS = 1.0
MOCK_CREDENTIAL = "mock-credential"

App = Callable[[Mapping[str, Any], Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve. `mock` is the port of a mock upstream that stands in for every provider.

    `is_open` asks callers for no key.
    """

    directory: Path
    host: str
    port: int
    workers: int
    extra_keys: tuple[Key, ...] = ()
    is_open: bool = False
    mock: int | None = None
    drain_delay: float = 5.0
    drain_timeout: int = 30


class ServeError(Exception):
    """The server could not run; the text is for the operator."""


def load_for(options: Options) -> Loaded:
    """The configuration as a worker of this server sees it."""
    environ: Mapping[str, str] = os.environ
    if options.mock is not None:
        config = load(options.directory, environ, time.time()).config
        environ = {**_mock_environ(config), **environ}
    loaded = load(options.directory, environ, time.time(), options.extra_keys)
    plan = loaded.plan
    if plan is not None and options.mock is not None:
        plan = _redirected(plan, options.mock)
    if plan is not None and options.is_open:
        plan = replace(plan, callers=None)
    return replace(loaded, plan=plan)


def serve(options: Options, greeting: str) -> None:
    """Run until a signal ends it; `greeting` is printed once, when the first worker is ready.

    The workers are forked, so the parent has no thread of its own that could hold a lock then.

    Raises:
        ServeError: the address is taken, or a worker cannot be kept alive.
    """
    _refuse_taken(options.host, options.port)
    draining = multiprocessing.Event()
    server = _Server(
        _common_settings(options.host, options.port),
        workers=options.workers,
        respawn_failed_workers=True,
        workers_kill_timeout=max(1, options.drain_timeout),
        draining=draining,
        drain_delay=options.drain_delay,
    )
    greeter = _Greeter(greeting, multiprocessing.Lock())
    _run(server, partial(build_worker, options, draining, greeter))


def serve_mock(host: str, port: int, fault: str | None) -> None:
    """Run the mock upstream until a signal ends it; one process, so it can count."""
    _refuse_taken(host, port)
    server = _Server(
        _common_settings(host, port), workers=1, draining=multiprocessing.Event(), drain_delay=0
    )
    _run(server, partial(_build_mock, fault))


@contextlib.contextmanager
def mock_process() -> Iterator[int]:
    """A mock upstream beside this process; yields its port on the loopback interface."""
    port = free_port()
    command = [sys.executable, "-m", "engine", "mock", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 our own module
    try:
        if not wait_until_ready(process, port, "/__mock/status"):
            raise ServeError("the mock upstream did not start")
        yield port
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(
    process: "subprocess.Popen[bytes]", port: int, path: str, seconds: float = 15
) -> bool:
    """Whether GET `path` on the loopback interface answers 200 while `process` runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(connection),
        ):
            connection.request("GET", path)
            if connection.getresponse().status == http.client.OK:
                return True
        time.sleep(0.02)
    return False


def build_worker(options: Options, draining: Any, greeter: "_Greeter") -> App:
    """The ASGI application of one worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    loaded = load_for(options)
    if loaded.plan is None:
        raise ServeError("the configuration changed while the server was starting")
    clients: dict[str, Client] = {"http1": Http1Client(), "httpx": HttpxClient()}
    gateway = Gateway(loaded.plan, clients, AccessLog(sys.stderr), draining.is_set)

    async def app(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(clients.values(), greeter, receive, send)
        else:
            await gateway(scope, receive, send)

    return app


async def _live(clients: Iterable[Client], greeter: "_Greeter", receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    greeter.greet()
    orphaned = asyncio.ensure_future(_end_with_parent())
    await receive()
    orphaned.cancel()
    for client in clients:
        await client.close()
    await send({"type": "lifespan.shutdown.complete"})


def _build_mock(fault: str | None) -> Any:
    from engine.mock.app import create_app  # noqa: PLC0415 only a mock process pays for it

    return create_app(fault)


async def _end_with_parent() -> None:
    """Stop when the parent has died: an orphan would hold the port with an old configuration."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    while os.getppid() == parent.pid:  # noqa: ASYNC110 nothing else tells of it
        await asyncio.sleep(ORPHAN_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class _Greeter:
    """Says that the server is ready, from whichever worker is the first to be."""

    text: str
    first: Any  # a lock that is taken once and never given back

    def greet(self) -> None:
        if self.first.acquire(block=False):
            sys.stdout.write(self.text)
            sys.stdout.flush()


class _Server(Granian):  # type: ignore[misc, valid-type]
    """Granian that says it is draining before it stops listening.

    The first SIGTERM turns readiness off and waits for load balancers to notice; SIGINT or a
    second signal stops at once.
    """

    def __init__(
        self, settings: dict[str, Any], *, draining: Any, drain_delay: float, **more: Any
    ) -> None:
        super().__init__(**settings, **more)
        self._draining = draining
        self._drain_delay = drain_delay

    def signal_handler_reload(self, *_args: Any, **_: Any) -> None:
        """Ignore SIGHUP: Granian would replace every worker, and a broken file would end them."""

    def signal_handler_interrupt(self, *args: Any, **_: Any) -> None:
        """Called by Granian's supervisor on SIGTERM and SIGINT.

        A worker inherits this until it takes signals itself, and would forget one that comes then.
        """
        if os.getpid() != self.pid:
            os._exit(0)
        is_term = bool(args) and args[0] == signal.SIGTERM
        stop = super().signal_handler_interrupt
        if is_term and not self._draining.is_set() and self._drain_delay > 0:
            self._draining.set()
            timer = threading.Timer(self._drain_delay, stop)
            timer.daemon = True
            timer.start()
        else:
            self._draining.set()
            stop()


def _common_settings(host: str, port: int) -> dict[str, Any]:
    return {
        "target": "engine",
        "address": host,
        "port": port,
        "interface": Interfaces.ASGI,
        "http": HTTPModes.http1,  # `auto` waits for ever on a silent connection
        "websockets": False,
        "loop": Loops.asyncio if sys.platform == "win32" else Loops.uvloop,
        "backlog": BACKLOG,
        "backpressure": MAX_CONNECTIONS,
        "http1_settings": HTTP1Settings(
            header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=BUFFER_BYTES
        ),
        "log_access": False,  # it prints decoded paths, which can forge lines
        "log_level": LogLevels.warning,
    }


def _run(server: Any, target_loader: Callable[[], Any]) -> None:
    try:
        server.serve(target_loader=target_loader, wrap_loader=False)
    except SystemExit as stopped:
        if stopped.code:
            raise ServeError("a worker could not be kept running") from None


def _refuse_taken(host: str, port: int) -> None:
    """Refuse a taken address: workers share their port, so a second server would not notice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServeError(f"cannot listen on {host}:{port}: {error.strerror}") from None


def _mock_environ(config: Config) -> dict[str, str]:
    """Stand-ins for every variable that would otherwise leave a provider unusable."""
    names: list[str | None] = []
    for provider in config.providers:
        names += [c.env for c in provider.credentials if not c.optional]
        names += [v.env for v in provider.variables if v.value is None]
    return {name: MOCK_CREDENTIAL for name in names if name}


def _redirected(plan: Plan, port: int) -> Plan:
    """The Plan with every provider dialled at the mock instead; paths stay as they are."""
    origin = Origin("http", "127.0.0.1", port)
    providers = {
        name: replace(
            provider,
            upstreams={
                endpoint: upstream and replace(upstream, origin=origin)
                for endpoint, upstream in provider.upstreams.items()
            },
        )
        for name, provider in plan.providers.items()
    }
    return replace(plan, providers=providers)
