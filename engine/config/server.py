"""server.yaml as frozen values once it passed its schema; a part of `model`."""

from dataclasses import dataclass

from engine.config.source.document import Path
from engine.plan.accounts import ProviderKeyPolicy
from engine.plan.limit_store import STORE_TIMEOUT
from engine.plan.limits import StorePolicy
from engine.plan.settings import OtlpMetrics
from engine.plan.tls import TlsVersion


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a value comes from: an environment variable, a file, or the file itself (`value`)."""

    at: Path
    env: str | None = None
    file: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Oidc:
    """The entry `admin.oidc`."""

    issuer: str
    client_id: str
    client_secret: SecretSource
    name: str


@dataclass(frozen=True, slots=True)
class Admin:
    """The entry `admin:`."""

    host: str
    port: int
    public_url: str | None
    oidc: Oidc | None


@dataclass(frozen=True, slots=True)
class MetricsEntry:
    """The entry `metrics:`."""

    host: str
    port: int
    otlp: OtlpMetrics | None
    token: SecretSource | None


@dataclass(frozen=True, slots=True)
class ListenerTlsEntry:
    """The entry `tls:`; paths as they were written."""

    certificate: str
    key: str
    client_ca: str | None
    oldest: TlsVersion
    http2: bool


@dataclass(frozen=True, slots=True)
class AccountsEntry:
    """The entry `accounts:`; `key_cache` is in bytes."""

    database: SecretSource
    vault_keys: tuple[SecretSource, ...]
    provider_keys: ProviderKeyPolicy
    key_cache: int
    default_rate_limit_rpm: int | None = None


@dataclass(frozen=True, slots=True)
class LimitsEntry:
    """The entry `limits:`."""

    store: SecretSource | None
    on_store_error: StorePolicy
    file: str | None = None
    store_timeout: float = STORE_TIMEOUT


@dataclass(frozen=True, slots=True)
class Server:
    """All of server.yaml."""

    accounts: AccountsEntry | None = None
    admin: Admin | None = None
    metrics: MetricsEntry | None = None
    tls: ListenerTlsEntry | None = None
    limits: LimitsEntry | None = None


def accounts_of(server: Server | None) -> AccountsEntry | None:
    """The entry `accounts:` of a server.yaml that may not be there."""
    return server.accounts if server else None
