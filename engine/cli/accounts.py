"""`accounts`: lists, makes and disables accounts, and lets people in who have no password."""

import dataclasses
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from engine.cli.common import IN_DIRECTORY
from engine.cli.console import json_text
from engine.cli.exits import stop
from engine.cli.key_options import LimitOptions, limit_options
from engine.cli.store import date, opened, settings_of, table
from engine.config.load import load
from engine.plan.suggest import nearest

if TYPE_CHECKING:
    from engine.accounts.accounts import AccountInfo
    from engine.accounts.database import Connection
    from engine.accounts.key_limits import KeyLimits

MAX_ACCOUNTS = 10_000  # accounts in a list
FORM = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.group()
def accounts() -> None:
    """Accounts, which own gateway keys and provider keys."""


@accounts.command("list")
@FORM
@IN_DIRECTORY
def accounts_list(form: str, directory: Path) -> None:
    """Show all accounts by their names."""
    with opened(settings_of(directory)) as database:
        from engine.accounts.accounts import list_accounts  # noqa: PLC0415 optional packages

        with database.read() as connection:
            found = list_accounts(connection, limit=MAX_ACCOUNTS)
    if form == "json":
        click.echo(json_text([dataclasses.asdict(account) for account in found]), nl=False)
        return
    rows = [(a.name, a.id, date(a.created_at), "disabled" * a.is_disabled) for a in found]
    click.echo(table(("name", "id", "created (UTC)", ""), rows) if rows else "no accounts")


@accounts.command("new")
@click.argument("name")
@IN_DIRECTORY
def accounts_new(name: str, directory: Path) -> None:
    """Make an account NAME, and print its id."""
    with opened(settings_of(directory)) as database:
        from engine.accounts.accounts import create_account  # noqa: PLC0415 optional packages
        from engine.accounts.audit import CLI  # noqa: PLC0415

        with database.write() as connection:
            account = create_account(connection, name, CLI)
    click.echo(account.id)


@accounts.command("disable")
@click.argument("name")
@IN_DIRECTORY
def accounts_disable(name: str, directory: Path) -> None:
    """Refuse all gateway keys of the account NAME, within a second."""
    _set_disabled(directory, name, is_disabled=True)


@accounts.command("enable")
@click.argument("name")
@IN_DIRECTORY
def accounts_enable(name: str, directory: Path) -> None:
    """Accept the gateway keys of the account NAME again."""
    _set_disabled(directory, name, is_disabled=False)


@accounts.command("rename")
@click.argument("name")
@click.argument("new")
@IN_DIRECTORY
def accounts_rename(name: str, new: str, directory: Path) -> None:
    """Call the account NAME from now on NEW; its id and its keys stay."""
    with opened(settings_of(directory)) as database:
        from engine.accounts.accounts import rename_account  # noqa: PLC0415 optional packages
        from engine.accounts.audit import CLI  # noqa: PLC0415

        with database.write() as connection:
            account = rename_account(connection, account_named(connection, name).id, new, CLI)
    click.echo(f"renamed `{name}` to `{account.name}`", err=True)


@accounts.command("disable-person")
@click.argument("email")
@IN_DIRECTORY
def accounts_disable_person(email: str, directory: Path) -> None:
    """Refuse sign-in and end the sessions of the person with the address EMAIL.

    Gateway keys are of accounts, and go on. The last operator is not disabled.
    """
    _set_person_disabled(directory, email, is_disabled=True)


@accounts.command("enable-person")
@click.argument("email")
@IN_DIRECTORY
def accounts_enable_person(email: str, directory: Path) -> None:
    """Let the person with the address EMAIL sign in again."""
    _set_person_disabled(directory, email, is_disabled=False)


@accounts.command("limit")
@click.argument("name")
@limit_options
@click.option("--unlimited", is_flag=True, help="Remove the limits that are not given.")
@IN_DIRECTORY
def accounts_limit(
    name: str,
    unlimited: bool,  # noqa: FBT001 of click
    directory: Path,
    **given: Unpack[LimitOptions],
) -> None:
    """Limit what all keys of the account NAME use together; print its limits.

    Limits that are not given stay as they are.
    """
    with opened(settings_of(directory)) as database:
        from engine.accounts.accounts import limit_account  # noqa: PLC0415 optional packages
        from engine.accounts.audit import CLI  # noqa: PLC0415
        from engine.accounts.errors import InvalidValueError  # noqa: PLC0415

        limits = limits_of(given, directory)
        with database.write() as connection:
            account = account_named(connection, name)
            changed = limits if unlimited else account.limits.with_changes(limits)
            try:
                if changed != account.limits:
                    limit_account(connection, account.id, changed, CLI)
            except InvalidValueError as error:
                stop(str(error))
    shown = [(what, f"{value:,}" if isinstance(value, int) else value) for what, value in changed.api_fields().items() if value is not None]  # fmt: skip
    click.echo(table(("limit", ""), shown) if shown else f"`{name}` has no limits")


@accounts.command("sign-in-link")
@click.option("--email", help="Of the person; without it, the first operator.")
@IN_DIRECTORY
def accounts_sign_in_link(email: str | None, directory: Path) -> None:
    """Print a link by which a person can sign in to the dashboard, once.

    It works for an hour. Whoever runs this may read the database anyway.
    """
    settings = settings_of(directory)
    if settings.admin is None:
        stop("server.yaml has no `admin`, so there is no dashboard to sign in to")
    with opened(settings) as database:
        from engine.accounts.audit import CLI  # noqa: PLC0415 optional packages
        from engine.accounts.people import find_operator, find_person_by_email  # noqa: PLC0415
        from engine.accounts.sessions import create_sign_in_link  # noqa: PLC0415
        from engine.accounts.start import create_first_account  # noqa: PLC0415

        with database.write() as connection:
            token = None if email else create_first_account(connection)
            if token is None:
                person = find_person_by_email(connection, email) if email else find_operator(connection)  # fmt: skip
                if person is None or person.is_disabled:
                    stop("there is no such person who may sign in")
                token = create_sign_in_link(connection, person.id, CLI)
    from engine.admin.address import address_of  # noqa: PLC0415 without it no dashboard either

    click.echo(f"{address_of(settings.admin).url}/signin/link?token={token}")


def limits_of(given: LimitOptions, directory: Path) -> "KeyLimits":
    """The limits that options give; ends the run when one is unusable, or needs prices that are not there."""
    from engine.accounts.key_limits import USD_PATTERN, USD_WANTED, KeyLimits, nano_usd  # noqa: PLC0415 optional packages

    usd = given["monthly_usd"]
    if usd is not None and not re.search(USD_PATTERN, usd):
        stop(f"`--monthly-usd` {USD_WANTED}")
    if usd is not None and load(directory, os.environ, time.time()).config.prices is None:
        stop(f"`--monthly-usd` needs prices, and there is no prices.yaml in {directory}: every request would be refused")  # fmt: skip
    nano = None if usd is None else nano_usd(usd)
    return KeyLimits(given["rpm"], given["daily_tokens"], given["weekly_tokens"], nano)


def account_named(connection: "Connection", name: str) -> "AccountInfo":
    """The account NAME; ends the run when there is none."""
    from engine.accounts.accounts import find_account, list_accounts  # noqa: PLC0415 optional packages

    account = find_account(connection, name)
    if account is None:
        hint = nearest(
            name, [known.name for known in list_accounts(connection, limit=MAX_ACCOUNTS)]
        )
        stop(f"there is no account `{name}`" + (f"; did you mean `{hint}`?" if hint else ""))
    return account


def _set_disabled(directory: Path, name: str, *, is_disabled: bool) -> None:
    with opened(settings_of(directory)) as database:
        from engine.accounts.accounts import set_account_disabled  # noqa: PLC0415 optional packages
        from engine.accounts.audit import CLI  # noqa: PLC0415

        with database.write() as connection:
            account = account_named(connection, name)
            set_account_disabled(connection, account.id, CLI, is_disabled=is_disabled)
    click.echo(f"{'disabled' if is_disabled else 'enabled'} `{name}`", err=True)


def _set_person_disabled(directory: Path, email: str, *, is_disabled: bool) -> None:
    with opened(settings_of(directory)) as database:
        from engine.accounts.audit import CLI  # noqa: PLC0415 optional packages
        from engine.accounts.members import accounts_without_owner  # noqa: PLC0415
        from engine.accounts.people import find_person_by_email, list_emails, set_person_disabled  # noqa: PLC0415
        from engine.accounts.sessions import revoke_sessions  # noqa: PLC0415

        with database.write() as connection:
            person = find_person_by_email(connection, email)
            if person is None:
                hint = nearest(email.lower(), list_emails(connection, MAX_ACCOUNTS))
                stop(f"there is no person `{email}`" + (f"; did you mean `{hint}`?" if hint else ""))  # fmt: skip
            set_person_disabled(connection, person.id, CLI, is_disabled=is_disabled)
            if is_disabled:
                revoke_sessions(connection, person.id)
            left = accounts_without_owner(connection, person.id) if is_disabled else []
    click.echo(f"{'disabled' if is_disabled else 'enabled'} `{person.email}`", err=True)
    for name in left:
        click.echo(f"account `{name}` has no other owner who may sign in", err=True)
