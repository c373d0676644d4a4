"""The store of accounts at the start of a server."""

from importlib.util import find_spec

from engine.config.compile.server import NEEDED
from engine.plan.accounts import Accounts
from engine.server.ports import ServeError


def is_installed() -> bool:
    """Whether the packages of the extra `accounts` are there."""
    return all(find_spec(package) is not None for package in NEEDED)


def prepare_store(settings: Accounts) -> str | None:
    """Bring the tables up to date, and check that the vault keys open what is stored.

    Returns the token of a sign-in link for the first person, when there was nobody yet.

    Raises:
        ServeError: the store cannot be used.
    """
    from engine.accounts.database import open_database  # noqa: PLC0415 only with accounts
    from engine.accounts.errors import StoreError  # noqa: PLC0415 as above
    from engine.accounts.provider_keys import check_vault  # noqa: PLC0415 as above
    from engine.accounts.start import create_first_account  # noqa: PLC0415 as above
    from engine.accounts.vault import Vault  # noqa: PLC0415 as above

    try:
        database = open_database(settings.database)
        try:
            database.upgrade()
            with database.write() as connection:
                check_vault(connection, Vault(settings.vault_keys))
                return create_first_account(connection)
        finally:
            database.close()  # workers are forked: none may inherit a connection
    except StoreError as error:
        raise ServeError(f"the store of accounts cannot be used: {error}") from None
