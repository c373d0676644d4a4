"""`ping`: tries each credential set of the providers once, with the cheapest harmless request."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.common import IN_DIRECTORY, refuse_errors, refuse_unknown_name
from engine.cli.console import json_text
from engine.cli.exits import FINDINGS, OK
from engine.config.load import load
from engine.plan.plan import Plan
from engine.report import pings as report

if TYPE_CHECKING:
    from engine.server.ping import PingRequest

SECONDS = 10.0
Row = report.CredentialRow


@click.command()
@click.argument("providers", nargs=-1, metavar="[PROVIDER]...")
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(0.1, 60),
    default=SECONDS,
    show_default=True,
    help="Longest time for one request, in seconds.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be called.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@IN_DIRECTORY
def ping(
    providers: tuple[str, ...], seconds: float, form: str, directory: Path, *, dry_run: bool
) -> None:
    """Try the credentials of providers, each set once.

    Sends the request that `ping` of the provider declares, and says what it
    costs. Without PROVIDER, all providers that have something set here.

    Exits with 0 when all are accepted, 1 when one is not or none could be
    tried, 2 when the configuration cannot be used.
    """
    loaded = load(directory, os.environ, time.time())
    plan = refuse_errors(loaded)
    for name in providers:
        refuse_unknown_name("provider", name, "providers.yaml", plan.providers)
    rows = report.credential_rows(loaded, plan, providers, os.environ)
    views = _views(plan, rows, seconds, dry_run=dry_run)
    view = report.view_pings(views, named=bool(providers), dry_run=dry_run)
    text = json_text(view) if form == "json" else report.render_text(view)
    click.echo(text, nl=False)
    sys.exit(OK if view["ok"] else FINDINGS)


def _views(plan: Plan, rows: list[Row], seconds: float, *, dry_run: bool) -> list[report.View]:
    from engine.server.ping import send_pings  # noqa: PLC0415 reaches the request side

    pings = [_ping(plan, row) for row in rows]
    views = [_planned(row, ping) for row, ping in zip(rows, pings, strict=True)]
    if dry_run:
        return views
    results = iter(send_pings([ping for ping in pings if ping is not None], seconds))
    for index, ping in enumerate(pings):
        if ping is not None:
            result = next(results)
            views[index] = report.with_result(
                views[index], result.status, result.message, result.ms
            )
    return views


def _ping(plan: Plan, row: Row) -> "PingRequest | None":
    from engine.server.ping import prepare_ping  # noqa: PLC0415 as above

    return None if row.missing else prepare_ping(plan, row.provider, row.secrets)


def _planned(row: Row, ping: "PingRequest | None") -> report.View:
    if ping is not None:
        return report.view_row(row, report.PLANNED, ping.method, ping.url)
    outcome = report.MISSING if row.missing else report.NOT_DECLARED
    return report.view_row(row, outcome, "", "")
