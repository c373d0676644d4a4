"""`route` and `routes`: where requests go, and which line sends them there."""

import os
import sys
import time
from pathlib import Path

import click

from engine.cli.common import (
    DIRECTORY,
    ENDPOINT,
    IN_DIRECTORY,
    PROVIDER,
    refuse_errors,
    refuse_unknown,
    refuse_unknown_name,
    unconfigured_providers,
)
from engine.cli.console import json_text, width_of
from engine.cli.exits import FINDINGS, OK
from engine.config.load import load
from engine.plan.plan import Caller, Plan

_FORMAT = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)


class _Header(click.ParamType[tuple[bytes, bytes]]):
    name = "NAME:VALUE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[bytes, bytes]:
        name, colon, rest = str(value).partition(":")
        if not (name and colon and name.isascii()):
            self.fail(f"{value!r} is not NAME:VALUE", param, ctx)
        return name.strip().lower().encode("ascii"), rest.strip().encode()


@click.command()
@click.argument("method")
@click.argument("path")
@click.option("--model", help="The model, unless the path has it or is refused.")
@click.option("--key", metavar="NAME", help="Also say whether this key of keys.yaml may do that.")
@click.option("--account", metavar="ID", help="The account of the key, for rules with conditions.")
@click.option(
    "--header",
    "headers",
    type=_Header(),
    multiple=True,
    help="A header; may be given several times.",
)
@click.option("--body", metavar="JSON", help="The body, as far as conditions read it.")
@_FORMAT
@IN_DIRECTORY
def route(  # noqa: PLR0913, PLR0917 one parameter an option
    method: str,
    path: str,
    model: str | None,
    key: str | None,
    account: str | None,
    headers: tuple[tuple[bytes, bytes], ...],
    body: str | None,
    form: str,
    directory: Path,
) -> None:
    """Say where a request would go, and which line sends it there.

    Exits with 0 when it would be sent, 1 when it would be refused.
    """
    from engine.report import route as report  # noqa: PLC0415 reaches the request side
    from engine.report.route_text import render_text  # noqa: PLC0415 as above

    now = time.time()
    loaded = load(directory, os.environ, now)
    plan = refuse_errors(loaded)
    caller = _caller(plan, key) if key is not None else None
    if model is None and report.needs_model(plan, method.upper(), path):
        raise click.UsageError("Missing option '--model'.")
    raw = None if body is None else body.encode()
    question = report.ExplainedRequest(
        method.upper(), path, model, caller, now, account, headers, raw
    )
    view = report.view_route(plan, loaded.documents, question)
    click.echo(json_text(view) if form == "json" else render_text(view) + "\n", nl=False)
    sys.exit(OK if view["ok"] else FINDINGS)


def _caller(plan: Plan, name: str) -> Caller:
    callers = {caller.name: caller for caller in (plan.callers or {}).values()}
    refuse_unknown_name("key", name, "keys.yaml", callers)
    return callers[name]


@click.command()
@DIRECTORY
@ENDPOINT
@PROVIDER
@click.option("--providers", is_flag=True, help="The evidence for each entry of each provider.")
@click.option("--configured", is_flag=True, help="Only what works with the variables that are set.")
@_FORMAT
def routes(  # noqa: PLR0913, PLR0917 one parameter an option
    directory: Path,
    endpoint: str | None,
    provider: str | None,
    providers: bool,  # noqa: FBT001 click's
    configured: bool,  # noqa: FBT001 click's
    form: str,
) -> None:
    """Show the endpoints, the providers that serve them, and the model rules.

    In the table of providers, x is served, ? is served once a variable in its URL is set.
    """
    from engine.report import routing as report  # noqa: PLC0415 reaches the request side

    loaded = load(directory, os.environ, time.time())
    plan = refuse_errors(loaded)
    if providers:
        catalogue = report.view_catalogue(loaded.config)
        text = json_text(catalogue) if form == "json" else report.render_catalogue(catalogue)
        click.echo(text, nl=False)
        return
    refuse_unknown(plan, endpoint, provider)
    view = report.view_routes(plan, loaded.documents, endpoint, provider)
    if configured:
        view = report.configured_only(view, unconfigured_providers(loaded))
    width = width_of(sys.stdout)
    text = json_text(view) if form == "json" else report.render_text(view, width) + "\n"
    click.echo(text, nl=False)
