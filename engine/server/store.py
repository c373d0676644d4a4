"""The store of accounts at the start of a server, and the settings of a trial."""

import secrets
from importlib.util import find_spec
from pathlib import Path

from engine.config.compile.server import NEEDED
from engine.config.server import AccountsEntry
from engine.plan.accounts import (
    Accounts,
    AccountsSettings,
    Admin,
    ProviderKeyPolicy,
    parse_vault_key,
)
from engine.server.ports import ServeError, free_port, is_free


def is_installed() -> bool:
    """Whether the packages of the extra `accounts` are there."""
    return all(find_spec(package) is not None for package in NEEDED)


def trial_settings(folder: Path, declared: AccountsEntry | None, port: int) -> AccountsSettings:
    """A store in `folder` with a new vault key, and a dashboard on this host, at `port` if it is free.

    Of server.yaml, if there is one, it has the policy.
    """
    policy = ProviderKeyPolicy.ACCOUNT_THEN_OPERATOR if declared is None else declared.provider_keys
    key = parse_vault_key(secrets.token_hex(32))
    accounts = Accounts(f"sqlite:///{folder / 'orqen.db'}", (key,), policy)
    return AccountsSettings(accounts, Admin(port=port if is_free(port) else free_port()))


def prepare_store(settings: Accounts) -> str | None:
    """Bring the tables up to date, and check that the vault keys open what is stored.

    Returns the token of a sign-in link for the first person, when there was nobody yet.

    Raises:
        ServeError: the store cannot be used.
    """
    from engine.accounts.database import open_database  # noqa: PLC0415 only with accounts
    from engine.accounts.errors import StoreError  # noqa: PLC0415 as above
    from engine.accounts.provider_keys import check_vault  # noqa: PLC0415 as above
    from engine.accounts.start import first_sign_in  # noqa: PLC0415 as above
    from engine.accounts.vault import Vault  # noqa: PLC0415 as above

    try:
        database = open_database(settings.database)
        try:
            database.upgrade()
            with database.write() as connection:
                check_vault(connection, Vault(settings.vault_keys))
                return first_sign_in(connection)
        finally:
            database.close()  # workers are forked: none may inherit a connection
    except StoreError as error:
        raise ServeError(f"the store of accounts cannot be used: {error}") from None
