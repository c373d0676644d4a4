"""`usage`: what the store has counted, by model, key, provider or time."""

import dataclasses
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.common import IN_DIRECTORY
from engine.cli.console import json_text
from engine.cli.exits import stop
from engine.cli.store import opened, settings_of, table
from engine.plan.prices import NANO

if TYPE_CHECKING:
    from engine.accounts.database import Connection
    from engine.accounts.usage import By, Usage

DAY = 86400
HEADER = ("requests", "errors", "input tokens", "output tokens", "cost in USD", "unpriced")


@click.command()
@click.option("--account", metavar="NAME", help="Only of this account.  [default: all of them]")
@click.option(
    "--by",
    type=click.Choice(["model", "key", "provider", "day", "hour"]),
    default="model",
    show_default=True,
)
@click.option(
    "--days", type=click.IntRange(1, 400), default=7, show_default=True, help="Days in UTC, with today."
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@IN_DIRECTORY
def usage(account: str | None, by: "By", days: int, form: str, directory: Path) -> None:
    """Show how much was called, and what it cost.

    Tokens and costs that nobody knows are a dash, not 0; `unpriced` are the requests of unknown cost.
    """
    until = int(time.time()) // DAY * DAY + DAY
    with opened(settings_of(directory)) as database, database.read() as connection:
        rows = _read(connection, account, until - days * DAY, until, by)
        names = _names(connection, rows) if by == "key" else {}
    if form == "json":
        found = [dataclasses.asdict(row) for row in rows]
        click.echo(json_text([{k: r[k] for k in r if k != "latency"} for r in found]), nl=False)
        return
    texts = [(names.get(row.label) or _label(row.label, by), *_numbers(row)) for row in rows]
    click.echo(table((by, *HEADER), texts) if texts else "no requests")


def _read(
    connection: "Connection", account: str | None, since: int, until: int, by: "By"
) -> "list[Usage]":
    from engine.accounts.accounts import find_account  # noqa: PLC0415 optional packages
    from engine.accounts.usage import read_all_usage, read_usage  # noqa: PLC0415

    if account is None:
        return read_all_usage(connection, since, until, by)
    found = find_account(connection, account)
    if found is None:
        stop(f"there is no account {account!r}: `engine accounts list` shows them")
    return read_usage(connection, found.id, since, until, by)


def _names(connection: "Connection", rows: "list[Usage]") -> dict[str, str]:
    from engine.accounts.keys import key_names  # noqa: PLC0415 optional packages

    return key_names(connection, [row.label for row in rows])


def _numbers(row: "Usage") -> tuple[str, ...]:
    numbers = (row.requests, row.errors, row.input_tokens, row.output_tokens)
    cost = "-" if row.cost_nano_usd is None else f"{row.cost_nano_usd / NANO:,.6f}"
    counts = tuple("-" if number is None else f"{number:,}" for number in numbers)
    return (*counts, cost, f"{row.unpriced:,}")


def _label(label: str, by: str) -> str:
    """A time as people write it; keys of keys.yaml have no id, and refused requests no model."""
    if by not in ("day", "hour"):
        return label or "-"
    return datetime.fromtimestamp(int(label), UTC).strftime("%Y-%m-%d" + " %H:00" * (by == "hour"))
