"""`check` and `schema`: is a configuration right, and what may stand in it."""

import os
import sys
import time
from pathlib import Path

import click

from engine.cli.common import DIRECTORY, FINDINGS, FINE, unconfigured, wants_colour
from engine.cli.fixing import fix_folder, repairs
from engine.config.diagnostic import Severity
from engine.config.schema import read_schema
from engine.load import Loaded, load
from engine.report.json import render_json
from engine.report.text import render_text, summary


@click.command()
@DIRECTORY
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--fail-on", type=click.Choice(["error", "warning"]), default="error", show_default=True
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Name each environment variable that is not set."
)
@repairs
def check(  # noqa: PLR0913, PLR0917 one parameter an option
    directory: Path,
    form: str,
    fail_on: str,
    verbose: bool,  # noqa: FBT001 click's
    fix: bool,  # noqa: FBT001 click's
    unsafe_fixes: bool,  # noqa: FBT001 click's
    diff: bool,  # noqa: FBT001 click's
) -> None:
    """Check the configuration in DIRECTORY exactly as `serve` would, without starting it.

    Exits with 0 when it is fine, 1 when something was found, 2 when it could not be checked.
    """
    if fix or diff:
        fix_folder(directory, os.environ, unsafe=unsafe_fixes, only_diff=diff)
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
        click.echo(render_text(shown, loaded.documents, colour=wants_colour(sys.stdout)))
    if any(d.severity is not Severity.NOTE for d in loaded.diagnostics):
        click.echo(summary(loaded.diagnostics, len(loaded.documents)))
    else:
        config = loaded.config
        click.echo(
            f"ok: {len(loaded.documents)} files, {len(config.endpoints)} endpoints, "
            f"{len(config.providers)} providers, {len(config.rules)} model rules, {len(config.tests)} tests"
        )
    if not verbose:
        for note in unconfigured(loaded):
            click.echo(note)


@click.command()
@click.argument("name", type=click.Choice(["routes", "providers", "keys", "tests"]))
def schema(name: str) -> None:
    """Print the JSON Schema of a configuration file, or of a file of tests."""
    click.echo(read_schema(name), nl=False)
