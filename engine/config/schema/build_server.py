"""server.yaml as a value, once all of it passed the schema."""

from typing import Any

from engine.config.server import (
    AccountsEntry,
    Admin,
    LimitsEntry,
    ListenerTlsEntry,
    MetricsEntry,
    Oidc,
    SecretSource,
    Server,
)
from engine.config.source.document import Path
from engine.config.units import parse_duration, parse_size
from engine.plan.accounts import DEFAULT_ADMIN_PORT, DEFAULT_KEY_CACHE, ProviderKeyPolicy
from engine.plan.limit_store import STORE_TIMEOUT
from engine.plan.limits import StorePolicy
from engine.plan.settings import DEFAULT_INTERVAL, DEFAULT_METRICS_PORT, OtlpMetrics
from engine.plan.tls import TlsVersion

_DEFAULT_POLICY = ProviderKeyPolicy.ACCOUNT_THEN_OPERATOR


def build_server(data: dict[str, Any]) -> Server:
    return Server(
        accounts=_accounts(data["accounts"]) if "accounts" in data else None,
        admin=_admin(data["admin"]) if "admin" in data else None,
        metrics=_metrics(data["metrics"]) if "metrics" in data else None,
        tls=_tls(data["tls"]) if "tls" in data else None,
        limits=_limits(data["limits"]) if "limits" in data else None,
    )


def _accounts(data: dict[str, Any]) -> AccountsEntry:
    cache = data.get("key_cache")
    at: Path = ("accounts", "vault_keys")
    return AccountsEntry(
        database=_source(data["database"], ("accounts", "database")),
        vault_keys=tuple(_source(k, (*at, index)) for index, k in enumerate(data["vault_keys"])),
        provider_keys=ProviderKeyPolicy(data.get("provider_keys", _DEFAULT_POLICY)),
        key_cache=DEFAULT_KEY_CACHE if cache is None else parse_size(cache),
        default_rate_limit_rpm=data.get("default_rate_limit_rpm"),
    )


def _metrics(data: dict[str, Any]) -> MetricsEntry:
    return MetricsEntry(
        host=data.get("host", "127.0.0.1"),
        port=data.get("port", DEFAULT_METRICS_PORT),
        otlp=_otlp(data["otlp"]) if "otlp" in data else None,
        token=_source(data["token"], ("metrics", "token")) if "token" in data else None,
    )


def _otlp(data: dict[str, Any]) -> OtlpMetrics:
    text = data.get("interval")
    return OtlpMetrics(data.get("endpoint"), parse_duration(text) if text else DEFAULT_INTERVAL)


def _tls(data: dict[str, Any]) -> ListenerTlsEntry:
    return ListenerTlsEntry(
        certificate=data["certificate"],
        key=data["key"],
        client_ca=data.get("client_ca"),
        oldest=TlsVersion(data.get("minimum", TlsVersion.TLS_1_2)),
        http2=data.get("http2", True),
    )


def _admin(data: dict[str, Any]) -> Admin:
    oidc = data.get("oidc")
    return Admin(
        host=data.get("host", "127.0.0.1"),
        port=data.get("port", DEFAULT_ADMIN_PORT),
        public_url=data.get("public_url"),
        oidc=None if oidc is None else _oidc(oidc),
    )


def _oidc(data: dict[str, Any]) -> Oidc:
    secret = _source(data["client_secret"], ("admin", "oidc", "client_secret"))
    name = data.get("name", "single sign-on")
    return Oidc(data["issuer"], data["client_id"], secret, name)


def _limits(data: dict[str, Any]) -> LimitsEntry:
    store, timeout = data.get("store"), data.get("store_timeout")
    return LimitsEntry(
        store=None if store is None else _source(store, ("limits", "store")),
        on_store_error=StorePolicy(data.get("on_store_error", StorePolicy.LOCAL)),
        file=data.get("file"),
        store_timeout=parse_duration(timeout) if timeout else STORE_TIMEOUT,
    )


def _source(value: Any, at: Path) -> SecretSource:
    if isinstance(value, str):
        return SecretSource(at, value=value)
    return SecretSource(at, env=value.get("env"), file=value.get("file"))
