"""`explain`: what a finding means, with an example."""

import sys

import click

from engine.cli.console import json_text, width_of
from engine.config.diagnostics.catalogue import UnknownFindingError, find_kind
from engine.config.diagnostics.codes import FINDING_KINDS

NOW = 1_790_000_000.0  # 2026-09-21: what an example reports does not depend on the day


@click.command()
@click.argument("code", required=False)
@click.option("--list", "is_list", is_flag=True, help="List every code.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def explain(code: str | None, is_list: bool, form: str) -> None:  # noqa: FBT001 click's
    """Say what the finding CODE of `engine check` means, with a wrong and a right example.

    CODE is a code such as X201 or a name such as unknown-provider.
    """
    from engine.report import explanation as report  # noqa: PLC0415 reads the examples

    if is_list == (code is not None):
        raise click.UsageError("give a code, or --list")
    if code is None:
        views = map(report.view_kind, FINDING_KINDS.values())
        text = json_text(report.view_kinds(views)) if form == "json" else report.render_list()
        click.echo(text, nl=False)
        return
    try:
        kind = find_kind(code)
    except UnknownFindingError as error:
        words = report.request_error_hint(code) or str(error)
        raise click.BadArgumentUsage(words) from error
    view = report.view_explained(kind, render_example(kind.code))
    width = min(width_of(sys.stdout) or 100, 100)
    text = (
        json_text(report.view_kinds([view])) if form == "json" else report.render_text(view, width)
    )
    click.echo(text, nl=False)


def render_example(code: str) -> str:
    """How `engine check` reports the bad example of a code."""
    from engine.config.examples import load_example  # noqa: PLC0415 reads the examples
    from engine.report.text import render_text  # noqa: PLC0415 the same

    loaded = load_example(code, NOW)
    found = [d for d in loaded.diagnostics if d.code == code]
    text = render_text(found[:1], loaded.documents, colour=False)
    return text.rstrip("\n") or "nothing here, where the package is installed"
