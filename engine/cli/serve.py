"""`serve` and `mock`: the commands that keep running."""

import ipaddress
import os
import re
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from engine.cli.common import DIRECTORY, number, refuse_errors, report_and_stop, unconfigured_line
from engine.cli.exits import Stopped, stop
from engine.config.diagnostics.diagnostic import Severity
from engine.config.extras import installing
from engine.config.load import Loaded, load, stops_serving
from engine.config.new_key import new_key, temporary_key
from engine.config.server import accounts_of
from engine.config.units import parse_size
from engine.plan.accounts import AccountsSettings
from engine.plan.settings import NO_SETTINGS
from engine.report.calls import example_calls
from engine.server.log import LogOptions, open_streams, set_up, to_log_file
from engine.server.log import log as write_log

NOT_STARTED = "not started"


class Size(click.ParamType[int]):
    """A size as the configuration writes it, such as 512MiB; gives bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse `value`."""
        if not re.fullmatch("[1-9][0-9]{0,8}(B|KiB|MiB|GiB)", value):
            self.fail(f"`{value}` is not a size, such as 512MiB or 2GiB", param, ctx)
        return parse_size(value)


@click.command()
@DIRECTORY
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes."
)
@click.option(
    "--worker-memory",
    type=Size(),
    help="Replace a worker that takes more memory, such as 1GiB, without losing a request.",
)
@click.option(
    "--mock", is_flag=True, help="Send everything to a built-in upstream; no provider key needed."
)
@click.option(
    "--mock-port",
    type=click.IntRange(1, 65535),
    help="The same, with a running `engine mock` and the credentials that are set.",
)
@click.option("--no-auth", is_flag=True, help="Ask callers for no key. Only on a loopback address.")
@click.option(
    "--drain-delay",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0, 300),
    help="Seconds to report not-ready after SIGTERM before the port closes.",
)
@click.option(
    "--drain-timeout", default=30, show_default=True, type=click.IntRange(1, 86400),
    help="Seconds that requests may take to finish after the port has closed.",
)  # fmt: skip
@click.option(
    "--idle-timeout", default=620, show_default=True, type=click.IntRange(1, 86400),
    help="Seconds that an idle connection of a caller stays open.",
)  # fmt: skip
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Of the server's own messages; access records are always JSON.",
)  # fmt: skip
@click.option(
    "--log-level", type=click.Choice(["info", "warning", "error"]), default="info", show_default=True,
    help="The lowest level of messages; access records are always written.",
)  # fmt: skip
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append records and messages to this file instead of stderr.",
)
def serve(  # noqa: PLR0913, PLR0917 one parameter an option
    directory: Path,
    host: str,
    port: int,
    mock: bool,  # noqa: FBT001 click's
    mock_port: int | None,
    no_auth: bool,  # noqa: FBT001 click's
    log_format: str,
    log_level: str,
    log_file: Path | None,
    **more: Any,
) -> None:
    """Run the gateway on the configuration in DIRECTORY."""
    open_streams()
    log = LogOptions(log_format, log_level, log_file)
    set_up(log)
    try:
        _serve(directory, host, port, log, mock=mock, mock_port=mock_port, no_auth=no_auth, **more)
    except Stopped as stopped:  # stderr has it, and the file is where others will look
        if log_file is not None:
            with suppress(OSError), to_log_file(log_file):
                write_log(stopped.message, "error")
        raise


def _serve(  # noqa: PLR0913 one parameter an option
    directory: Path,
    host: str,
    port: int,
    log: LogOptions,
    *,
    mock: bool,
    mock_port: int | None,
    no_auth: bool,
    **more: Any,
) -> None:
    """Load, refuse what cannot be served, and run until a signal ends it."""
    from engine.server import run as server  # noqa: PLC0415 other commands start without the server
    from engine.server.mock_process import mock_process  # noqa: PLC0415 as above
    from engine.server.reload import read_folder  # noqa: PLC0415 as above
    from engine.server.trial import trial_metrics  # noqa: PLC0415 as above

    snapshot = read_folder(directory)
    environ = None if mock else os.environ
    loaded = load(directory, environ, snapshot.read_at, overrides=snapshot.texts)
    refuse_errors(loaded, NOT_STARTED)
    stopping = [d for d in loaded.diagnostics if stops_serving(d)]
    if stopping and not mock and mock_port is None:
        report_and_stop(stopping, loaded, NOT_STARTED)
    _warn(loaded, log, mock=mock or mock_port is not None)
    if no_auth and not _is_loopback(host):
        stop(
            f"{NOT_STARTED}: --no-auth is only for a loopback address: anybody on the network could spend your money"
        )
    needs_keys = loaded.config.keys is None and accounts_of(loaded.config.server) is None
    if needs_keys and not (no_auth or mock):
        stop(
            f"{NOT_STARTED}: callers need keys, and there is no keys.yaml in {directory.absolute()}: run `engine keys new NAME --write`, or try `engine serve --mock`"
        )
    if loaded.config.server is not None and not mock:
        _refuse_incomplete(loaded)
    key = new_key() if mock and needs_keys and not no_auth else None
    try:
        with ExitStack() as stack:
            server.raise_file_limit(more["workers"])
            settings = loaded.server or NO_SETTINGS
            if mock:
                store = _trial(stack, loaded, port, is_open=no_auth)
                declared = loaded.config.server.metrics if loaded.config.server else None
                metrics = trial_metrics(stack, declared, port)
                settings = replace(settings, store=store, metrics=metrics)
            options = server.Options(
                directory=directory.absolute(),
                host=host,
                port=port,
                extra_keys=(temporary_key(key, "one-off"),) if key else (),
                is_open=no_auth,
                mock=stack.enter_context(mock_process()) if mock else mock_port,
                placeholders=mock,
                settings=settings,
                log=log,
                **more,
            )
            ready_banner = _ready_banner(loaded, options.url, key, mock=options.mock is not None)
            with to_log_file(log.file):
                server.serve(options, snapshot, loaded, ready_banner)
    except server.ServeError as error:
        stop(str(error) if error.has_run else f"{NOT_STARTED}: {error}")


def _refuse_incomplete(loaded: Loaded) -> None:
    """End the run where something that server.yaml needs is missing."""
    from engine.server.store import is_installed  # noqa: PLC0415 as above

    if accounts_of(loaded.config.server) and not is_installed():
        stop(f"{NOT_STARTED}: server.yaml needs more packages: {installing('accounts')}")
    if loaded.server is None:  # with --mock-port, for which other findings do not matter
        stopping = [d for d in loaded.diagnostics if d.span.file == "server.yaml"]
        report_and_stop(stopping, loaded, NOT_STARTED)


def _trial(
    stack: ExitStack, loaded: Loaded, port: int, *, is_open: bool
) -> AccountsSettings | None:
    """Accounts and a dashboard for this run only; None where callers need no key, or without packages."""
    from engine.server.store import is_installed  # noqa: PLC0415 as above
    from engine.server.trial import trial_accounts  # noqa: PLC0415 as above

    if is_open:
        return None
    if not is_installed():
        _note(f"no dashboard without `{installing('accounts')}`")
        return None
    declared = accounts_of(loaded.config.server)
    if declared is not None:
        words = "accounts are for this run only: the database and vault keys of server.yaml are not used"
        _note(words)
    return trial_accounts(stack, declared, port)


def _note(words: str) -> None:
    write_log(words, "info", f"note: {words}")


def _warn(loaded: Loaded, log: LogOptions, *, mock: bool) -> None:
    """A line in the log for each warning, since a server runs in spite of them."""
    try:
        with to_log_file(log.file):
            _write_warnings(loaded, mock=mock)
    except OSError as error:
        why = error.strerror or type(error).__name__
        stop(f"{NOT_STARTED}: the log file cannot be written: {why}")


def _write_warnings(loaded: Loaded, *, mock: bool) -> None:
    for found in loaded.diagnostics:
        is_of_environment = (
            found.code[0] == "E" or found.code == "X272"
        )  # the mock needs none of it
        if found.severity is Severity.WARNING and not (mock and is_of_environment):
            line = f"{found.span}: warning[{found.code}] {found.message}"
            write_log(line, "warning", line)


def _ready_banner(loaded: Loaded, url: str, key: str | None, *, mock: bool) -> str:
    """What an operator sees once the server is ready: address, configuration, and requests to paste."""
    config = loaded.config
    mocked = ", served by the built-in mock upstream" if mock else ""
    lines = [
        f"listening on {url}: {number(config.endpoints, 'endpoint')}, "
        f"{number(config.providers, 'provider')}, {number(config.rules, 'model rule')}{mocked}"
    ]
    if not mock:
        lines += unconfigured_line(loaded)
    if key and loaded.plan is not None:
        lines += ["", f"key for this run only: {key}", ""]
        lines += [call.format(url=url, key=key) + "\n" for call in example_calls(loaded.plan)]
    return "\n".join(lines) + "\n"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8081, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--fault",
    metavar="NAME",
    help="Inject one fault into every response: status-429, hang, slow-500, reset, two-lengths, ...",
)
@click.option("--no-record", is_flag=True, help="Do not serve the list of received requests.")
def mock(host: str, port: int, fault: str | None, *, no_record: bool) -> None:
    """Run the built-in upstream alone, to point a gateway or an SDK at.

    \b
    It serves every shipped endpoint in its provider's format. A model name that
    contains mock-status-429, mock-slow-500, mock-hang, mock-cut or mock-stall
    injects that fault.
    GET /__mock/requests lists what it has received.
    """
    from engine.server.mock_process import serve_mock  # noqa: PLC0415 others start without the server
    from engine.server.ports import ServeError  # noqa: PLC0415 as above

    try:
        serve_mock(host, port, fault, record=not no_record)
    except ServeError as error:
        stop(str(error))
