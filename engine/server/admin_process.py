"""The process of the admin listener: the dashboard and the account API.

Only this process imports its packages. It shares only the database, the files and the gateway's
address with the workers, so a fault in it does not affect requests.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from engine.config.load import Loaded
from engine.plan.accounts import AccountsSettings
from engine.server.http import Listen, name_process, new_loop, serve_side_process

IDLE_SECONDS = 75
PROCESS_NAME = "orqen-admin"


@dataclass(frozen=True, slots=True)
class AdminStart:
    """What the process is given. `load` reads the configuration as it is on disk."""

    settings: AccountsSettings
    folder: Path
    load: Callable[[], Loaded]
    gateway_url: str


def run_admin(start: AdminStart, pipe: Connection) -> None:
    """Serve the admin listener until the parent writes to `pipe` or closes it."""
    from engine.accounts.database import open_database  # noqa: PLC0415 only this process pays for it
    from engine.accounts.vault import Vault  # noqa: PLC0415 as above
    from engine.admin.app import create_app  # noqa: PLC0415 as above
    from engine.admin.context import AdminContext  # noqa: PLC0415 as above

    name_process(PROCESS_NAME)
    admin, accounts = start.settings.admin, start.settings.accounts
    if admin is None:
        raise TypeError("there is no admin listener in these settings")
    database = open_database(accounts.database)
    context = AdminContext(
        database,
        Vault(accounts.vault_keys),
        start.settings,
        start.folder,
        start.load,
        start.gateway_url,
    )
    with asyncio.Runner(loop_factory=new_loop) as runner:
        listen = Listen(admin.host, admin.port, IDLE_SECONDS)
        runner.run(serve_side_process(create_app(context), listen, pipe))
    database.close()
