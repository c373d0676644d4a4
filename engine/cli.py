"""The command line: arguments in, exit code out. Every command is a thin call into the rooms below.

Exit codes: 0 fine, 1 findings, 2 could not run.
"""

import ipaddress
import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import click

from engine import __version__
from engine.config.diagnostic import Diagnostic, Severity
from engine.config.document import parse_document
from engine.config.schema import check_schema, read_schema
from engine.keys import new_key, one_off, with_entry
from engine.load import Loaded, load
from engine.report.json import render_json
from engine.report.text import render_text, summary
from engine.resources import shipped

FINE, FINDINGS, COULD_NOT_RUN = 0, 1, 2

_DIRECTORY = click.argument(
    "directory", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="engine")
def main() -> None:
    """A gateway for LLM APIs, driven by two YAML files.

    \b
    routes.yaml      the endpoints it answers, and which model goes to which provider
    providers.yaml   the providers: URL, credentials, headers
    keys.yaml        who may call it (optional while you try it out)

    \b
    engine serve --mock          try it, with a built-in upstream and no provider key
    engine check                 is my configuration right?
    engine route POST PATH --model NAME     where would this request go?
    """


# -- serving -------------------------------------------------------------------------------------


@main.command()
@_DIRECTORY
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes."
)
@click.option(
    "--mock", is_flag=True, help="Send everything to a built-in upstream; no provider key needed."
)
@click.option(
    "--mock-port",
    type=click.IntRange(1, 65535),
    help="The same, with an `engine mock` that runs already.",
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
def serve(  # noqa: PLR0913, PLR0917 one parameter an option
    directory: Path,
    host: str,
    port: int,
    mock: bool,  # noqa: FBT001 click's
    mock_port: int | None,
    no_auth: bool,  # noqa: FBT001 click's
    **settings: Any,
) -> None:
    """Run the gateway on the configuration in DIRECTORY."""
    from engine import serve as server  # noqa: PLC0415 other commands start without the server

    loaded = load(directory, os.environ, time.time())
    _refuse_errors(loaded)
    if no_auth and not _is_loopback(host):
        _stop(
            "--no-auth is only for a loopback address: anybody on the network could spend your money"
        )
    if loaded.config.keys is None and not (no_auth or mock):
        _stop(
            "callers need keys, and there is no keys.yaml: run `engine keys new NAME --write`, or try `engine serve --mock`"
        )
    key = new_key() if mock and loaded.config.keys is None and not no_auth else None
    url = f"http://{host}:{port}"
    try:
        with ExitStack() as stack:
            options = server.Options(
                directory=directory.resolve(),
                host=host,
                port=port,
                extra_keys=(one_off(key, "one-off"),) if key else (),
                is_open=no_auth,
                mock=stack.enter_context(server.mock_process()) if mock else mock_port,
                **settings,
            )
            server.serve(options, _greeting(loaded, url, key, mock=options.mock is not None))
    except server.ServeError as error:
        _stop(str(error))


def _greeting(loaded: Loaded, url: str, key: str | None, *, mock: bool) -> str:
    """What an operator sees once the server is ready: where, what, and requests to paste."""
    config = loaded.config
    played = ", answered by the built-in mock upstream" if mock else ""
    lines = [
        f"listening on {url}: {len(config.endpoints)} endpoints, {len(config.providers)} providers, "
        f"{len(config.rules)} model rules{played}"
    ]
    if not mock:
        lines += _unconfigured(loaded)
    if key:
        lines += ["", f"key for this run only: {key}", ""]
        examples = (Path(__file__).parent / "mock" / "curl.txt").read_text("utf-8")
        lines.append(examples.format(url=url, key=key))
    return "\n".join(lines) + "\n"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8081, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--fault",
    metavar="NAME",
    help="Play one fault for every request: status-429, hang, cut, slow-500, ...",
)
def mock(host: str, port: int, fault: str | None) -> None:
    """Run the built-in upstream alone, to point a gateway or an SDK at.

    \b
    It answers every shipped endpoint in its provider's shape. A model name that contains
    mock-status-429, mock-slow-500, mock-hang, mock-cut or mock-stall plays that fault.
    GET /__mock/requests tells what it has received.
    """
    from engine import serve as server  # noqa: PLC0415 other commands start without the server

    try:
        server.serve_mock(host, port, fault)
    except server.ServeError as error:
        _stop(str(error))


# -- looking at a configuration ------------------------------------------------------------------


@main.command()
@_DIRECTORY
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--fail-on", type=click.Choice(["error", "warning"]), default="error", show_default=True
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Name each environment variable that is not set."
)
def check(directory: Path, form: str, fail_on: str, verbose: bool) -> None:  # noqa: FBT001 click's
    """Check the configuration in DIRECTORY exactly as `serve` would, without starting it.

    Exits with 0 when it is fine, 1 when something was found, 2 when it could not be checked.
    """
    loaded = load(directory, os.environ, time.time())
    if form == "json":
        click.echo(render_json(loaded.diagnostics), nl=False)
    else:
        _print_findings(loaded, verbose=verbose)
    failing = {Severity.ERROR} | ({Severity.WARNING} if fail_on == "warning" else set())
    sys.exit(FINDINGS if any(d.severity in failing for d in loaded.diagnostics) else FINE)


def _print_findings(loaded: Loaded, *, verbose: bool) -> None:
    shown = [d for d in loaded.diagnostics if verbose or d.severity is not Severity.NOTE]
    if shown:
        click.echo(render_text(shown, loaded.documents, colour=_wants_colour(sys.stdout)))
    if any(d.severity is not Severity.NOTE for d in loaded.diagnostics):
        click.echo(summary(loaded.diagnostics, len(loaded.documents)))
    else:
        config = loaded.config
        click.echo(
            f"ok: {len(loaded.documents)} files, {len(config.endpoints)} endpoints, "
            f"{len(config.providers)} providers, {len(config.rules)} model rules, {len(config.tests)} tests"
        )
    if not verbose:
        for note in _unconfigured(loaded):
            click.echo(note)


def _unconfigured(loaded: Loaded) -> list[str]:
    """One line for all the providers that have no credential here."""
    names = {str(d.path[1]): None for d in loaded.diagnostics if d.code.startswith("E")}
    if not names:
        return []
    return [f"note: not configured here, callers get `provider_key_missing`: {', '.join(names)}"]


@main.command()
@click.argument("method")
@click.argument("path")
@click.option("--model", required=True, help="The model a caller would ask for.")
@click.option(
    "-C", "--directory", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
def route(method: str, path: str, model: str, directory: Path) -> None:
    """Say where a request would go, and which line sends it there."""
    from engine.report.routing import render_route  # noqa: PLC0415 reaches the request side

    plan = _loaded_plan(directory)
    text, is_routed = render_route(plan, method.upper(), path, model)
    click.echo(text)
    sys.exit(FINE if is_routed else FINDINGS)


@main.command()
@_DIRECTORY
def routes(directory: Path) -> None:
    """Show the endpoints, the providers that serve them, and the model rules."""
    from engine.report.routing import render_routes  # noqa: PLC0415 reaches the request side

    click.echo(render_routes(_loaded_plan(directory)))


@main.command()
@click.argument("name", type=click.Choice(["routes", "providers", "keys"]))
def schema(name: str) -> None:
    """Print the JSON Schema of a configuration file."""
    click.echo(read_schema(name), nl=False)


# -- making one ----------------------------------------------------------------------------------


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def init(directory: Path) -> None:
    """Write the shipped configuration and its schemas into DIRECTORY; nothing is overwritten."""
    names = ["routes.yaml", "providers.yaml"]
    names += [f"schemas/{name}.schema.json" for name in ("routes", "providers", "keys")]
    taken = [name for name in names if (directory / name).exists()]
    if taken:
        _stop(f"{directory} already has {', '.join(taken)}; choose another folder")
    (directory / "schemas").mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(shipped(name), directory / name)
        click.echo(f"wrote {directory / name}")
    click.echo(f"next: engine keys new NAME --write -C {directory}; engine serve {directory}")


@main.group()
def keys() -> None:
    """Gateway keys."""


@keys.command("new")
@click.argument("name")
@click.option("--write", is_flag=True, help="Add the entry to keys.yaml.")
@click.option(
    "-C", "--directory", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
def keys_new(name: str, write: bool, directory: Path) -> None:  # noqa: FBT001 click's
    """Make a key for NAME. The key is shown once; keys.yaml holds only its SHA-256."""
    key = new_key()
    file = directory / "keys.yaml"
    old = _text_of(file)
    text = with_entry(old, name, key)
    added = text.removeprefix(old) if write else with_entry("", name, key).partition("keys:\n")[2]
    document, found = parse_document(file.name, text.encode())
    found += check_schema(document, "keys")[0] if document else []
    if document is not None and not _is_last_and_unique(document.data, name):
        _stop(
            "keys.yaml cannot take the entry as it is; the name may be taken, or `keys:` is not its last section"
        )
    if found:
        click.echo(_render(found, {file.name: document} if document else {}), err=True)
        _stop("the entry was not written")
    if write:
        _replace_file(file, text)
        click.echo(f"added to {file}:\n{added}", err=True)
    else:
        click.echo(f"add this under `keys:` in keys.yaml:\n{added}", err=True)
    click.echo("the key, shown this once:", err=True)
    click.echo(key)


def _text_of(file: Path) -> str:
    """The text of `file` with its line ends as they are; "" when it is not there."""
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        _stop(f"{file} cannot be read as UTF-8 text")


def _is_last_and_unique(data: Any, name: str) -> bool:
    entries = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not isinstance(entries[-1], dict):
        return False
    names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    return names[-1] == name and names.count(name) == 1


def _replace_file(file: Path, text: str) -> None:
    """Write beside and rename, so that no reader ever sees half a file."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text, "utf-8")
    draft.replace(file)


# -- shared --------------------------------------------------------------------------------------


def _loaded_plan(directory: Path) -> Any:
    loaded = load(directory, os.environ, time.time())
    _refuse_errors(loaded)
    return loaded.plan


def _refuse_errors(loaded: Loaded) -> None:
    if loaded.plan is None:
        errors = [d for d in loaded.diagnostics if d.severity is Severity.ERROR]
        click.echo(_render(errors, loaded.documents), err=True)
        _stop(summary(errors, len(loaded.documents)))


def _render(found: Any, documents: Any) -> str:
    diagnostics: list[Diagnostic] = list(found)
    return render_text(diagnostics, documents, colour=_wants_colour(sys.stderr))


def _wants_colour(stream: Any) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _stop(words: str) -> NoReturn:
    click.echo(f"engine: {words}", err=True)
    sys.exit(COULD_NOT_RUN)
