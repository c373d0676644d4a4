"""What a server is made of: the options, the workers and their parent.

The parent loads, as `check` does, before a port is opened, so a broken configuration is
reported once and nothing is started. A worker inherits what was loaded; after a change it loads itself.
"""

import os
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import uuid4

from engine import __version__
from engine.config.compile.credentials import PLACEHOLDER
from engine.config.compile.listener_tls import TlsFileError
from engine.config.diagnostics.diagnostic import Diagnostic
from engine.config.load import Loaded, load, load_config, stops_serving
from engine.config.model import Config, Key
from engine.plan.plan import Origin, Plan
from engine.plan.settings import NO_SETTINGS, ServerSettings
from engine.plan.tls import ListenerTls
from engine.server.admin_process import AdminStart, run_admin
from engine.server.connections import raise_file_limit
from engine.server.http import IDLE_SECONDS, Listen
from engine.server.log import LogOptions, set_up
from engine.server.memory import MIB, freeze_objects, memory_of
from engine.server.metrics_process import run_metrics
from engine.server.ports import FOR_METRICS, EndedError, ServeError, claim_port, url_of
from engine.server.reload import ConfigReloader, Problem, ReloadState, Snapshot, files_of, now_text
from engine.server.renewal import TlsRenewal
from engine.server.shared import Shared, shared_memory
from engine.server.side_process import NO_SIDE_PROCESS, SideProcess, SideProcesses
from engine.server.store import prepare_store
from engine.server.supervisor import CrashLoopError, Supervisor
from engine.server.worker import Parent, run_worker

__all__ = [
    "EndedError",
    "Options",
    "ServeError",
    "prepare",
    "raise_file_limit",
    "serve",
    "url_of",
]


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve. `mock` is the port of a mock upstream that stands in for every provider.

    With `placeholders`, no credential or variable of the environment is sent there.
    `is_open` asks callers for no key. `worker_memory` is in bytes. `settings` are those of
    server.yaml at the start, or of a trial.
    """

    directory: Path
    host: str
    port: int
    workers: int
    extra_keys: tuple[Key, ...] = ()
    is_open: bool = False
    mock: int | None = None
    placeholders: bool = False
    drain_delay: float = 5.0
    drain_timeout: int = 30
    idle_timeout: int = IDLE_SECONDS
    worker_memory: int | None = None
    settings: ServerSettings = NO_SETTINGS
    log: LogOptions = field(default_factory=LogOptions)

    @property
    def url(self) -> str:
        """Where callers reach the server."""
        return url_of(self.host, self.port, "https" if self.settings.tls else "http")


def prepare(options: Options, snapshot: Snapshot) -> tuple[Loaded | None, list[Problem]]:
    """A configuration as a worker of this server sees it, and why it cannot serve, if so.

    A bug that a file brings to light refuses the file: it must not end a server that runs.
    """
    try:
        return _prepare(options, snapshot)
    except Exception as bug:  # noqa: BLE001 the outermost frame of a reload
        frame = traceback.extract_tb(bug.__traceback__)[-1]
        place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        return None, [Problem("internal error", f"a bug: {type(bug).__name__} at {place}")]


def _prepare(options: Options, snapshot: Snapshot) -> tuple[Loaded, list[Problem]]:
    environ: Mapping[str, str] | None = None if options.placeholders else os.environ
    directory, now, texts = options.directory, snapshot.read_at, snapshot.texts
    if options.mock is not None and environ is not None:
        environ = {**_mock_environ(load_config(directory, now, texts)), **environ}
    return _adapted(options, load(directory, environ, now, options.extra_keys, texts))


def _adapted(options: Options, loaded: Loaded) -> tuple[Loaded, list[Problem]]:
    """What was loaded, with a Plan that serves as the options say, or why it cannot."""
    plan = loaded.plan
    refused = [_problem(d) for d in loaded.diagnostics if stops_serving(d)]
    if plan is None or (refused and options.mock is None):
        return loaded, refused
    if options.mock is not None:
        plan = _redirected(plan, options.mock, signs=not options.placeholders)
    if options.is_open:
        plan = replace(plan, callers=None)
    elif plan.callers is None:
        return loaded, [Problem("keys.yaml", "there is no keys.yaml, so anybody could call")]
    return replace(loaded, plan=plan), []


def _problem(found: Diagnostic) -> Problem:
    place = f"{found.span} {found.code}"
    return Problem(place, f"{found.span}: error[{found.code}]: {found.message}")


def serve(options: Options, snapshot: Snapshot, loaded: Loaded, ready_banner: str) -> None:
    """Run until a signal ends it; `ready_banner` is printed once, when the first worker is ready.

    `snapshot` is what the folder held and `loaded` what it became; it has no error. The workers
    are forked, so the parent has no thread of its own that could hold a lock then.

    Raises:
        ServeError: an address is taken, the store cannot be used, the memory of a worker is too
            little, or a worker cannot be kept alive.
    """
    _refuse_little(options.worker_memory)
    accepted = snapshot.with_files(loaded)
    is_as_served = options.mock is None and not options.extra_keys
    served, problems = _adapted(options, loaded) if is_as_served else prepare(options, accepted)
    if served is None or served.plan is None or problems:
        raise ServeError("; ".join(problem.words for problem in problems))
    shared, notice = shared_memory(options.workers, options.settings.limits.file)
    reloader = ConfigReloader(
        options.directory,
        partial(prepare, options),
        accepted,
        served.plan,
        state=ReloadState(now_text()),
        other_files=files_of(loaded),
        counts=shared.server_counts(),
    )
    try:
        with ExitStack() as stack:
            banner = (
                ready_banner
                + notice
                + _open_dashboard(options, stack)
                + _open_metrics(options, stack)
            )
            _refuse_little(options.worker_memory)  # with the packages of accounts, if there are any
            supervisor = Supervisor(
                partial(start_worker, options, shared),
                reloader,
                workers=options.workers,
                ready_banner=banner,
                drain=(options.drain_delay, options.drain_timeout),
                worker_memory=options.worker_memory,
                side_processes=SideProcesses(_dashboard(options), _metrics(options, shared)),
                tls=TlsRenewal(options.settings.tls, reloader.counts),
            )
            freeze_objects()
            supervisor.run()
    except TlsFileError as error:  # changed since they were checked
        raise ServeError(f"the `{error.name}` of `tls` {error}") from None
    except CrashLoopError:
        raise EndedError("a worker could not be kept running") from None


def _open_dashboard(options: Options, stack: ExitStack) -> str:
    """Claim the ports, those of a trial apart, and prepare the store; what to say of the dashboard, if there is one."""
    stack.enter_context(claim_port(options.host, options.port))
    store = options.settings.store
    if store is None:
        return ""
    admin = store.admin
    if admin is not None and not options.placeholders:
        stack.enter_context(claim_port(admin.host, admin.port, " for `admin` of server.yaml"))
    token = prepare_store(store.accounts)
    if admin is None:
        return ""
    url = admin.public_url or url_of(admin.host, admin.port)
    if token is None:
        return f"dashboard: {url}\n"
    return f"dashboard: {url}/signin/link?token={token}\n  signs in once, within an hour\n"


def _open_metrics(options: Options, stack: ExitStack) -> str:
    """Claim the port of the metrics, except in a trial; what to say of them."""
    listen = options.settings.metrics
    if listen is None:
        return ""
    if not options.placeholders:
        stack.enter_context(claim_port(listen.host, listen.port, FOR_METRICS))
    return f"metrics: {url_of(listen.host, listen.port)}/metrics\n"


def _metrics(options: Options, shared: Shared) -> SideProcess:
    """The process that serves the metrics, if there is to be one."""
    listen = options.settings.metrics
    if listen is None or shared.counters is None:
        return NO_SIDE_PROCESS
    run = partial(run_metrics, shared.counters, listen, __version__, str(uuid4()))
    return SideProcess("metrics", run)


def _dashboard(options: Options) -> SideProcess:
    """The process of the dashboard, if there is to be one."""
    store = options.settings.store
    if store is None or store.admin is None:
        return NO_SIDE_PROCESS
    start = AdminStart(
        store,
        options.directory,
        partial(_load_now, options),
        options.url,
    )
    return SideProcess("dashboard", partial(run_admin, start))


def _load_now(options: Options) -> Loaded:
    """The configuration as it is on disk, with its findings."""
    environ: Mapping[str, str] | None = None if options.placeholders else os.environ
    return load(options.directory, environ, time.time(), options.extra_keys)


def start_worker(  # noqa: PLR0913, PLR0917 what a worker inherits
    options: Options,
    shared: Shared,
    accepted: Snapshot,
    plan: Plan | None,
    state: ReloadState,
    tls: ListenerTls | None,
    pipe: Connection,
    others: list[Connection],
) -> None:
    """What a worker process does, on what was accepted last; `others` are pipes not for it.

    `plan` is what the parent made of it, for a worker that inherits it.
    """
    set_up(options.log)
    for other in others:
        other.close()
    read = partial(prepare, options)
    if plan is None:
        loaded, _ = read(accepted)
        plan = loaded.plan if loaded is not None else None
    if plan is None:
        raise ServeError("a worker could not load the configuration that was accepted")
    store = options.settings.store
    accounts = store.accounts if store else None
    drain = float(options.drain_timeout)
    parent = Parent(
        pipe,
        options.directory,
        read,
        drain,
        accounts,
        shared.limits,
        shared.counters,
        options.settings.limits,
    )
    run_worker(plan, state, parent, Listen(options.host, options.port, options.idle_timeout, tls))


def _refuse_little(worker_memory: int | None) -> None:
    """Refuse a limit that a worker would exceed at rest: it takes what this process takes by now."""
    taken = memory_of(os.getpid())
    if worker_memory is not None and worker_memory <= taken:
        raise ServeError(
            f"--worker-memory is too little: a worker takes {taken / MIB:.0f} MiB without a request"
        )


def _mock_environ(config: Config) -> dict[str, str]:
    """Stand-ins for every variable that would otherwise leave a provider or an account of it unusable."""
    names: list[str] = []
    for provider in config.providers:
        for variant in (provider, *map(provider.with_credential_set, provider.accounts)):
            needed = [c for c in variant.credentials if variant.sign or not c.optional]
            names += [name for c in needed for name in c.env[:1]]
            names += [name for v in variant.variables if v.value is None for name in v.env[:1]]
    return dict.fromkeys(names, PLACEHOLDER)


def _redirected(plan: Plan, port: int, *, signs: bool) -> Plan:
    """The Plan with every provider connected to the mock instead; paths stay as they are."""
    origin = Origin("http", "127.0.0.1", port)
    moved = {
        name: provider.at_origin(origin, signs=signs) for name, provider in plan.providers.items()
    }
    return replace(plan, providers=moved, tracing=plan.tracing if signs else None)
