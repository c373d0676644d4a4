"""What the environment gives server.yaml: the URL of the database, the vault keys, a client secret."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from engine.config.checks.registry import SERVER, CheckContext, Stage, check
from engine.config.compile.files import describe_unreadable, expected_path, path_hint
from engine.config.compile.listener_tls import TlsFileError, check_tls_files, validity_problem
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.extras import installing
from engine.config.server import (
    AccountsEntry,
    Admin,
    LimitsEntry,
    ListenerTlsEntry,
    MetricsEntry,
    SecretSource,
)
from engine.config.source.files import read_file
from engine.plan import accounts as plan
from engine.plan.limit_store import NO_STORE, LimitSettings, StoreServer
from engine.plan.settings import Metrics, ServerSettings
from engine.plan.tls import ListenerTls

MAX_SECRET = 64 * 1024
NEEDED = ("sqlalchemy", "alembic", "cryptography", "argon2", "starlette", "authlib")
_TOKEN = re.compile(r"[\x21-\x7e]{16,4096}")
_SQLITE = "sqlite:///"
_MAKE_KEY = "make one with `engine vault new-key`"


@dataclass(slots=True)
class _Reading:
    """server.yaml while its values are looked up, and the findings so far."""

    context: CheckContext
    directory: Path
    environ: Mapping[str, str]
    found: list[Diagnostic] = field(default_factory=list)

    def report(self, code: str, message: str, source: SecretSource, help: str = "") -> None:  # noqa: A002 the field's name
        self.found.append(
            self.context.at(code, message, SERVER, source.at, EntryPart.VALUE, help=help)
        )


def resolve_server(
    context: CheckContext, directory: Path, environ: Mapping[str, str] | None
) -> tuple[ServerSettings | None, list[Diagnostic]]:
    """The settings of server.yaml; None without one, without an `environ`, or if something is missing."""
    declared = context.config.server
    if declared is None or environ is None:
        return None, []
    reading = _Reading(context, directory, environ)
    accounts = None if declared.accounts is None else _accounts(reading, declared.accounts)
    admin = None if declared.admin is None else _admin(reading, declared.admin)
    tls = None if declared.tls is None else read_tls(reading, declared.tls)
    limits = NO_STORE if declared.limits is None else _limits(reading, declared.limits)
    metrics = None if declared.metrics is None else _metrics(reading, declared.metrics)
    if declared.accounts is not None:
        report_uninstalled(reading, declared.accounts)
    if any(one.code in ("E405", "E408") for one in reading.found):
        return None, reading.found
    store = None if accounts is None else plan.AccountsSettings(accounts, admin)
    return ServerSettings(store, metrics, tls, limits), reading.found


def _accounts(reading: _Reading, declared: AccountsEntry) -> plan.Accounts | None:
    database = read_database(reading, declared.database)
    keys = read_vault_keys(reading, declared.vault_keys)
    if database is None or not keys:
        return None
    return plan.Accounts(
        database,
        tuple(keys),
        declared.provider_keys,
        declared.key_cache,
        declared.default_rate_limit_rpm,
    )


def _admin(reading: _Reading, declared: Admin) -> plan.Admin:
    client = declared.oidc
    oidc = None
    if client is not None:
        secret = read_secret(reading, client.client_secret) or ""
        oidc = plan.Oidc(client.issuer, client.client_id, secret, client.name)
    return plan.Admin(declared.host, declared.port, declared.public_url, oidc)


@check("E408", stage=Stage.STEP)
def read_database(reading: _Reading, source: SecretSource) -> str | None:
    """The URL of the database, with an absolute path for SQLite."""
    url = source.value or read_secret(reading, source)
    if url is None:
        return None
    if url.startswith(_SQLITE) and url.removeprefix(_SQLITE) not in ("", ":memory:"):
        return f"{_SQLITE}{(reading.directory / url.removeprefix(_SQLITE)).absolute()}"
    if url.startswith(("postgresql://", "postgres://")) and _can_be_split(url):
        return url.replace("postgres://", "postgresql://", 1)
    words = f"{_named(source)} is no URL of a database"
    reading.report("E408", words, source, "write sqlite:///PATH or postgresql://USER@HOST/NAME")
    return None


def _can_be_split(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:  # such as brackets that do not close
        return False


@check("E405", "E408", "E409", "E410", stage=Stage.STEP)
def read_tls(reading: _Reading, declared: ListenerTlsEntry) -> ListenerTls:
    """How the listener speaks TLS; its files are read, and again by the server."""
    folder = reading.directory.absolute()
    tls = ListenerTls(
        folder / declared.certificate,
        folder / declared.key,
        None if declared.client_ca is None else folder / declared.client_ca,
        declared.oldest,
        declared.http2,
    )
    try:
        code, words = validity_problem(check_tls_files(tls), reading.context.now)
        if code:
            source = SecretSource(("tls", "certificate"))
            reading.report(code, f"the `certificate` of `tls` {words}", source)
    except TlsFileError as error:
        where = expected_path(reading.directory, getattr(declared, error.name))
        words = f"the `{error.name}` of `tls` {error}{where if error.is_absent else ''}"
        source = SecretSource(("tls", error.name))
        reading.report("E405" if error.is_absent else "E408", words, source, error.fix_hint)
    return tls


def _metrics(reading: _Reading, declared: MetricsEntry) -> Metrics:
    token = None if declared.token is None else read_token(reading, declared.token)
    return Metrics(declared.host, declared.port, declared.otlp, token)


@check("E408", stage=Stage.STEP)
def read_token(reading: _Reading, source: SecretSource) -> str | None:
    """The token of /metrics: one that a header can carry (RFC 6750, 2.1) and nobody guesses."""
    token = read_secret(reading, source)
    if token is not None and not _TOKEN.fullmatch(token):
        words = f"{_named(source)} is no token of at least 16 visible characters"
        reading.report("E408", words, source, "make one with `openssl rand -hex 32`")
    return token


def _limits(reading: _Reading, declared: LimitsEntry) -> LimitSettings:
    store = None if declared.store is None else read_store(reading, declared.store)
    file = None if declared.file is None else reading.directory.absolute() / declared.file
    return LimitSettings(store, declared.on_store_error, file, declared.store_timeout)


@check("E408", stage=Stage.STEP)
def read_store(reading: _Reading, source: SecretSource) -> StoreServer | None:
    """The server that counts limits."""
    url = source.value or read_secret(reading, source)
    if url is None:
        return None
    try:
        return StoreServer.of(url)
    except ValueError:  # which may quote a password
        words = f"{_named(source)} is no URL of a Redis or Valkey server"
        reading.report("E408", words, source, "write redis://HOST:PORT, or rediss:// for TLS")
        return None


@check("E408", stage=Stage.STEP)
def read_vault_keys(reading: _Reading, sources: tuple[SecretSource, ...]) -> list[plan.VaultKey]:
    """The vault keys that can be used, each once."""
    keys: dict[str, plan.VaultKey] = {}
    for source in sources:
        text = read_secret(reading, source)
        if text is None:
            continue
        try:
            key = plan.parse_vault_key(text)
        except plan.VaultKeyError as error:
            reading.report("E408", f"{_named(source)} {error}", source, _MAKE_KEY)
            continue
        if key.id in keys:
            reading.report(
                "E408", f"{_named(source)} has the same vault key as another entry", source
            )
        keys[key.id] = key
    return list(keys.values())


@check("E405", stage=Stage.STEP)
def read_secret(reading: _Reading, source: SecretSource) -> str | None:
    """The text of a source; None, with a finding, when there is none."""
    if source.env is not None:
        value = reading.environ.get(source.env, "").strip()
        if not value:
            reading.report("E405", f"`{source.env}` is not set, and {SERVER} needs it", source)
        return value or None
    name = source.file or ""
    path = reading.directory / name
    try:
        value = read_file(path, MAX_SECRET).decode("utf-8").strip()
    except OSError as error:
        where = expected_path(reading.directory, name)
        words = f"a file that {SERVER} needs {describe_unreadable(path, error)}{where}"
        reading.report("E405", words, source, path_hint(name))
        return None
    except UnicodeDecodeError:
        value = ""
    if not value:
        reading.report("E405", f"a file that {SERVER} needs is empty or not text", source)
    return value or None


@check("E404", stage=Stage.STEP)
def report_uninstalled(reading: _Reading, declared: AccountsEntry) -> None:
    """What accounts need besides; reported, and `engine serve` does not start without it."""
    if not all(find_spec(package) for package in NEEDED):
        message = f"accounts need `{installing('accounts')}`"
        reading.report("E404", message, declared.database)


def _named(source: SecretSource) -> str:
    """What messages call a source; a file's name may be a secret that was put in its place."""
    return f"`{source.env}`" if source.env else "the file" if source.file else f"`{source.at[-1]}`"
