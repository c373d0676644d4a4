"""`show`: what a configuration amounts to, and where each value was set."""

import os
import time
from pathlib import Path

import click

from engine.cli.common import DIRECTORY, ENDPOINT, PROVIDER, refuse_errors, refuse_unknown
from engine.cli.console import json_text
from engine.config.effective import fill_in
from engine.config.files import FILES
from engine.config.load import load
from engine.report.show import count_masked, filter_files, render_text, view_files, view_shown


@click.command()
@DIRECTORY
@ENDPOINT
@PROVIDER
@click.option("--file", "only", type=click.Choice(list(FILES)), help="Only this file.")
@click.option(
    "--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True
)
@click.option("--bare", is_flag=True, help="Without origins, so that it can be loaded again.")
def show(  # noqa: PLR0913, PLR0917 one parameter an option
    directory: Path,
    endpoint: str | None,
    provider: str | None,
    only: str | None,
    form: str,
    bare: bool,  # noqa: FBT001 click's
) -> None:
    """Show the whole configuration: defaults filled in, and where each value was set.

    Environment variables are shown by name and never read; what may be a secret is masked.
    """
    loaded = load(directory, os.environ, time.time())
    plan = refuse_errors(loaded)
    refuse_unknown(plan, endpoint, provider)
    files = view_files({n: fill_in(d, FILES[n]) for n, d in loaded.documents.items()})
    if endpoint is not None or provider is not None:
        files = filter_files(files, endpoint, provider)
    shown = {name: data for name, data in files.items() if only in (None, name)}
    is_json = form == "json"
    text = json_text(view_shown(shown, bare=bare)) if is_json else render_text(shown, bare=bare)
    click.echo(text, nl=False)
    hidden = count_masked(shown)
    if bare and hidden:
        click.echo(f"note: {hidden} values may be secrets and are shown as ***", err=True)
