"""What the commands about the store share: the settings, the database, and how errors end a run."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from engine.accounts.errors import StoreError
from engine.cli.common import report_and_stop
from engine.cli.exits import stop
from engine.config.checks.registry import SERVER
from engine.config.extras import installing
from engine.config.load import Loaded, load, stops_serving
from engine.plan.accounts import AccountsSettings

if TYPE_CHECKING:
    from engine.accounts.database import Database

PACKAGES = {"alembic", "argon2", "cryptography", "psycopg", "sqlalchemy"}  # of the extra


def settings_of(directory: Path) -> AccountsSettings:
    """What server.yaml says; ends the run without one, or when something in it is wrong or missing."""
    return settings_in(load(directory, os.environ, time.time()), directory)


def settings_in(loaded: Loaded, directory: Path) -> AccountsSettings:
    """The same of a folder that was loaded."""
    found = [d for d in loaded.diagnostics if d.span.file == SERVER and stops_serving(d)]
    if loaded.server is None and found:
        report_and_stop(found, loaded)
    if loaded.server is None:
        stop(f"there is no {SERVER} in {directory}, which names the database of accounts")
    if loaded.server.store is None:
        stop(f"{SERVER} in {directory} has no `accounts`, which names their database")
    return loaded.server.store


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """End the run with one line for an error of the store, or for packages that are missing."""
    try:
        yield
    except StoreError as error:
        stop(str(error))
    except ImportError as error:
        refuse_missing(error)


@contextlib.contextmanager
def opened(settings: AccountsSettings) -> "Iterator[Database]":
    """The database, once its tables are those of this version."""
    with handled():
        from engine.accounts.database import open_database  # noqa: PLC0415 optional packages
        from engine.accounts.migrations import newest  # noqa: PLC0415

        database = open_database(settings.accounts.database)
        try:
            if (file := database.missing_file) is not None:
                stop(f"the database {file} does not exist: run `engine db upgrade`, or `engine serve`, to make it")  # fmt: skip
            if database.revision() != newest():
                stop("the tables of the database are not those of this version: run `engine db upgrade`")  # fmt: skip
            yield database
        finally:
            database.close()


def refuse_missing(error: ImportError) -> NoReturn:
    if (error.name or "").partition(".")[0] not in PACKAGES:
        raise error
    stop(f"accounts need more packages: {installing('accounts')}")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header; the last column is as wide as it needs to be."""
    widths = [max(len(row[n]) for row in (header, *rows)) for n in range(len(header))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    )


def date(seconds: int | None) -> str:
    """A time in UTC, or `never`."""
    if seconds is None:
        return "never"
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
