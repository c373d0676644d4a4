"""All that server.yaml says. Fixed while the server runs; a Plan has nothing of it."""

from dataclasses import dataclass

from engine.plan.accounts import AccountsSettings


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of a server, by the sections of server.yaml; None where one is left out.

    `store` is where callers have accounts.
    """

    store: AccountsSettings | None = None


NO_SETTINGS = ServerSettings()
