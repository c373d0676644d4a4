"""`vault`: makes, checks and replaces the keys that encrypt provider keys."""

import secrets
import sys
from pathlib import Path

import click

from engine.cli.common import IN_DIRECTORY, number
from engine.cli.exits import FINDINGS, OK
from engine.cli.store import opened, settings_of


@click.group()
def vault() -> None:
    """The vault, which encrypts the provider keys of accounts."""


@vault.command("new-key")
def vault_new_key() -> None:
    """Print a new vault key: 32 random bytes as hex, for a file or a variable.

    Keep a copy where no backup of the database is: without it, saved provider
    keys are lost.
    """
    click.echo(secrets.token_hex(32))


@vault.command("check")
@IN_DIRECTORY
def vault_check(directory: Path) -> None:
    """Decrypt every saved provider key, and say which vault keys are needed.

    Exits with 1 when one cannot be decrypted: its vault key is missing in
    server.yaml, or its row was changed or moved.
    """
    settings = settings_of(directory)
    with opened(settings) as database:
        from engine.accounts import provider_keys  # noqa: PLC0415 optional packages
        from engine.accounts.vault import Vault  # noqa: PLC0415

        keys = settings.accounts.vault_keys
        with database.read() as connection:
            counts = provider_keys.count_by_vault_key(connection)
            damaged = provider_keys.find_damaged(connection, Vault(keys))
    known = [key.id for key in keys]
    for key_id in [*known, *sorted(counts.keys() - set(known))]:
        note = "encrypts" if key_id == known[0] else "decrypts" if key_id in known else "missing"
        click.echo(f"vault key {key_id}  {note}, {number(range(counts.get(key_id, 0)), 'value')}")
    for row in damaged:
        click.echo(f"account {row.account_id}, {row.provider}, `{row.field}`: {row.reason}")
    sys.exit(FINDINGS if damaged else OK)


@vault.command("rotate")
@IN_DIRECTORY
def vault_rotate(directory: Path) -> None:
    """Encrypt with the first vault key of server.yaml what an older one encrypts.

    Put the new key first in `vault_keys`, start the server again, run this, and
    then take the old key out. All of it happens or nothing.
    """
    settings = settings_of(directory)
    with opened(settings) as database:
        from engine.accounts.audit import CLI  # noqa: PLC0415 optional packages
        from engine.accounts.provider_keys import rotate_vault_key  # noqa: PLC0415
        from engine.accounts.vault import Vault  # noqa: PLC0415

        with database.write() as connection:
            changed = rotate_vault_key(connection, Vault(settings.accounts.vault_keys), CLI)
    click.echo(f"{number(range(changed), 'value')} under another vault key")
    click.echo(f"only {settings.accounts.vault_keys[0].id} is needed now")
    if changed:
        words = "a server that was started without this key cannot use these values until it is started again"
        click.echo(f"note: {words}", err=True)
