"""`db`: makes and upgrades the tables of the store, and removes old usage."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import click

from engine.cli.common import IN_DIRECTORY
from engine.cli.exits import FINDINGS, OK, stop
from engine.cli.store import handled, opened, settings_of


@click.group()
def db() -> None:
    """The database of accounts, which server.yaml names."""


@db.command("upgrade")
@IN_DIRECTORY
def db_upgrade(directory: Path) -> None:
    """Make the tables, or change them as this version needs them.

    `engine serve` does that at its start. Another process that does the same
    is waited for. There is no way back, so make a backup before.
    """
    settings = settings_of(directory)
    with handled():
        from engine.accounts.database import open_database  # noqa: PLC0415 optional packages

        database = open_database(settings.accounts.database)
        applied = database.upgrade()
        database.close()
    for revision in applied:
        click.echo(f"applied {revision}")
    click.echo("the tables are those of this version")


@db.command("status")
@IN_DIRECTORY
def db_status(directory: Path) -> None:
    """Say where the database is, and whether its tables are those of this version.

    Exits with 0 when they are, 1 when not, 2 when the database cannot be used.
    """
    settings = settings_of(directory)
    with handled():
        from engine.accounts import contents, migrations  # noqa: PLC0415 optional packages
        from engine.accounts.database import open_database  # noqa: PLC0415

        click.echo(f"database  {_place(settings.accounts.database)}")
        database = open_database(settings.accounts.database)
        known, needed = database.revision(), migrations.newest()
        if known is not None and not migrations.is_known(known):
            click.echo(f"tables    {known}, which is newer than this version of engine knows: run the version that made them")  # fmt: skip
            sys.exit(FINDINGS)
        if known != needed:
            none = "none" if database.missing_file is None else "none, and no such file"
            click.echo(f"tables    {known or none}; this version needs {needed}: `engine db upgrade`")  # fmt: skip
            sys.exit(FINDINGS)
        with database.read() as connection:
            counts = contents.count_rows(connection)
        database.close()
    click.echo(f"tables    {known}, those of this version")
    click.echo("holds     " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(OK)


@db.command("delete-usage")
@click.option(
    "--before", required=True, type=click.DateTime(["%Y-%m-%d"]), help="The first day to keep, in UTC."
)  # fmt: skip
@IN_DIRECTORY
def db_delete_usage(before: datetime, directory: Path) -> None:
    """Remove the usage of the days before a date, and print how many hourly rows it had.

    Usage of the current month stays. Workers go on writing meanwhile, and no limit changes.
    """
    before = before.replace(tzinfo=UTC)
    if before > datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0):
        stop("`--before` is after the first of this month: usage of the current month stays")
    with opened(settings_of(directory)) as database:
        from engine.accounts.old_usage import delete_usage  # noqa: PLC0415 optional packages

        click.echo(f"removed {delete_usage(database, int(before.timestamp()))} hourly rows")


def _place(url: str) -> str:
    """A URL without its password and its options."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return parts.path.removeprefix("/")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
