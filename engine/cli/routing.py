"""`route` and `routes`: where requests go, and which line sends them there."""

import sys
from pathlib import Path

import click

from engine.cli.common import DIRECTORY, FINDINGS, FINE, IN_DIRECTORY, loaded_plan


@click.command()
@click.argument("method")
@click.argument("path")
@click.option("--model", required=True, help="The model a caller would ask for.")
@IN_DIRECTORY
def route(method: str, path: str, model: str, directory: Path) -> None:
    """Say where a request would go, and which line sends it there."""
    from engine.report.routing import render_route  # noqa: PLC0415 reaches the request side

    plan = loaded_plan(directory)
    text, is_routed = render_route(plan, method.upper(), path, model)
    click.echo(text)
    sys.exit(FINE if is_routed else FINDINGS)


@click.command()
@DIRECTORY
def routes(directory: Path) -> None:
    """Show the endpoints, the providers that serve them, and the model rules."""
    from engine.report.routing import render_routes  # noqa: PLC0415 reaches the request side

    click.echo(render_routes(loaded_plan(directory)))
