"""All that server.yaml says. Fixed while the server runs; a Plan has nothing of it."""

from dataclasses import dataclass

from engine.plan.accounts import AccountsSettings
from engine.plan.limit_store import NO_STORE, LimitSettings
from engine.plan.tls import ListenerTls

DEFAULT_METRICS_PORT = 9464


@dataclass(frozen=True, slots=True)
class Metrics:
    """The listener of /metrics."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_METRICS_PORT


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of a server, by the sections of server.yaml; None where one is left out.

    `store` is where callers have accounts, `tls` how the gateway's listener speaks TLS.
    """

    store: AccountsSettings | None = None
    metrics: Metrics | None = None
    tls: ListenerTls | None = None
    limits: LimitSettings = NO_STORE


NO_SETTINGS = ServerSettings()
