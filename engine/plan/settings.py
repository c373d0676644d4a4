"""All that server.yaml says. Fixed while the server runs; a Plan has nothing of it."""

from dataclasses import dataclass, field

from engine.plan.accounts import AccountsSettings
from engine.plan.limit_store import NO_STORE, LimitSettings
from engine.plan.tls import ListenerTls

DEFAULT_METRICS_PORT = 9464
DEFAULT_INTERVAL = 60.0


@dataclass(frozen=True, slots=True)
class OtlpMetrics:
    """Metrics by OTLP/HTTP too, each `interval` seconds. `endpoint` is as in Tracing."""

    endpoint: str | None = None
    interval: float = DEFAULT_INTERVAL


@dataclass(frozen=True, slots=True)
class Metrics:
    """The listener of /metrics, and the export of the same numbers. Scrapes need `token`, if there is one."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_METRICS_PORT
    otlp: OtlpMetrics | None = None
    token: str | None = field(default=None, repr=False)


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
