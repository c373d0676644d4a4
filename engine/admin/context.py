"""What every page and every call of the account API is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.accounts.database import Database
from engine.accounts.vault import Vault
from engine.config.load import Loaded
from engine.plan.accounts import AccountsSettings, Admin


@dataclass(frozen=True, slots=True)
class AdminContext:
    """The store, the vault, the settings, and the configuration in `folder`.

    `load` reads and checks the files as they are now; it is slow, and `catalogue` caches it.
    `gateway_url` is the address that a caller of the gateway uses, for examples to paste.
    """

    database: Database
    vault: Vault
    settings: AccountsSettings
    folder: Path
    load: Callable[[], Loaded]
    gateway_url: str = "http://127.0.0.1:8080"

    @property
    def admin(self) -> Admin:
        return self.settings.admin or Admin()
