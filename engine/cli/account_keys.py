"""`keys` with `--account`: the gateway keys of an account in the store, in place of those of keys.yaml."""

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.accounts import keys as stored
from engine.accounts.audit import CLI
from engine.accounts.errors import ConflictError, InvalidValueError
from engine.cli.accounts import account_named, limits_of
from engine.cli.console import json_text
from engine.cli.exits import FINDINGS, OK, stop
from engine.cli.key_options import LimitOptions
from engine.cli.store import date, opened, settings_of, table
from engine.config.model import Key

if TYPE_CHECKING:
    from engine.accounts.database import Connection
    from engine.accounts.gateway_key import GatewayKey

MAX_KEYS = 100_000  # keys in a list


def new(  # noqa: PLR0913 what the options say
    directory: Path,
    account: str,
    *,
    name: str,
    scopes: Sequence[str],
    models: Sequence[str] | None,
    endpoints: Sequence[str] | None,
    expires_at: int | None,
    limits: LimitOptions,
) -> None:
    """Make a key and print it."""
    checked = limits_of(limits, directory)
    with opened(settings_of(directory)) as database, database.write() as connection:
        key, text = stored.create_key(
            connection,
            account_named(connection, account).id,
            name=name,
            scopes=scopes or ("use",),
            models=models,
            endpoints=endpoints,
            expires_at=expires_at,
            limits=checked,
            actor=CLI,
        )
    _show(key, text)


def list_all(directory: Path, account: str, form: str) -> None:
    """Show the keys of an account, newest first."""
    with opened(settings_of(directory)) as database, database.read() as connection:
        owner = account_named(connection, account)
        found = stored.list_keys(connection, owner.id, limit=MAX_KEYS)
    if form == "json":
        click.echo(json_text([dataclasses.asdict(key) for key in found]), nl=False)
        return
    now = time.time()
    rows = [_row(key, now) for key in found]
    header = ("name", "id", "ends in", "scopes", "state", "expires (UTC)", "limits")
    click.echo(table(header, rows) if rows else f"no keys of `{account}`")


def revoke(directory: Path, account: str, name: str) -> None:
    """End a key of an account by its name or id."""
    with opened(settings_of(directory)) as database, database.write() as connection:
        owner = account_named(connection, account)
        key = _named(connection, owner.id, name)
        stored.revoke_key(connection, owner.id, key.id, CLI)
    click.echo(f"revoked `{key.name}` ({key.id})", err=True)


def rotate(directory: Path, account: str, name: str, grace_seconds: int) -> None:
    """Make a key in place of another and print it."""
    with opened(settings_of(directory)) as database, database.write() as connection:
        owner = account_named(connection, account)
        old = _named(connection, owner.id, name)
        key, text = stored.rotate_key(connection, owner.id, old.id, grace_seconds, CLI)
        old = stored.get_key(connection, owner.id, old.id)
    end = "has ended" if old.revoked_at else f"stays valid until {date(old.expires_at)} UTC"
    click.echo(f"the old key ({old.id}) {end}", err=True)
    _show(key, text)


def import_all(directory: Path, account: str, keys: Sequence[Key]) -> None:
    """Take keys of keys.yaml into an account. Exits with 1 when one was refused."""
    refused = 0
    with opened(settings_of(directory)) as database, database.write() as connection:
        owner = account_named(connection, account)
        for key in keys:
            problem = _import(connection, owner.id, key)
            refused += problem is not None
            click.echo(f"`{key.name}`: {problem or 'imported'}", err=problem is not None)
    click.echo("keys.yaml still has them: a key there belongs to no account until it is removed", err=True)  # fmt: skip
    sys.exit(FINDINGS if refused else OK)


def _import(connection: "Connection", account_id: str, key: Key) -> str | None:
    """Why a key was not imported; None when it was."""
    expires_at = None if key.expires is None else int(key.expires)
    if expires_at is not None and expires_at <= time.time():
        return "has expired"
    try:
        stored.import_key(
            connection,
            account_id,
            name=key.name,
            sha256=key.sha256,
            models=key.models,
            endpoints=key.endpoints,
            expires_at=expires_at,
            actor=CLI,
        )
    except (ConflictError, InvalidValueError) as error:
        return str(error)
    return None


def _named(connection: "Connection", account_id: str, name: str) -> "GatewayKey":
    """The key with an id, or the one valid key with a name; ends the run when that is not one."""
    every = stored.list_keys(connection, account_id, limit=MAX_KEYS)
    found = [key for key in every if key.id == name]
    found = found or [key for key in every if key.name == name and key.revoked_at is None]
    current = [key for key in found if key.replaced_by is None]
    if not found:
        stop(f"the account has no valid key `{name}`")
    if len(found) > 1 and len(current) != 1:
        ids = ", ".join(key.id for key in found)
        stop(f"several keys are called `{name}`; name one by its id: {ids}")
    return (current or found)[0]


def _show(key: "GatewayKey", text: str) -> None:
    click.echo(f"made `{key.name}` ({key.id}); the key, shown this once:", err=True)
    click.echo(text)


def _row(key: "GatewayKey", now: float) -> tuple[str, ...]:
    lists = {"endpoints": key.endpoints, "models": key.models}
    limits = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in lists.items() if names)
    ending = key.preview or "?"
    return (key.name, key.id, ending, "+".join(key.scopes), _state(key, now), date(key.expires_at), limits or "none")  # fmt: skip


def _state(key: "GatewayKey", now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "rotated" if key.replaced_by else "valid"
