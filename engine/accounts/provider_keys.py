"""Provider keys of accounts: values by the names of `credentials` and `variables`, each encrypted.

One set a provider and account; saving replaces the set. What is shown of a value is its preview and its fingerprint.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from engine.accounts.accounts import get_account
from engine.accounts.audit import Actor, add_entry
from engine.accounts.changes import record_change
from engine.accounts.errors import InvalidValueError, NotFoundError, VaultError
from engine.accounts.tables import provider_keys
from engine.accounts.values import checked_text, second
from engine.accounts.vault import Sealed, SecretPlace, Vault, preview

MAX_VALUE = 64 * 1024  # characters; a service account of a cloud is a few KiB of JSON
MAX_FIELDS = 32
BATCH = 500  # accounts in one statement
_ROWS = provider_keys.c
_SEALED = ("vault_key_id", "wrap_nonce", "wrapped_key", "nonce", "ciphertext")


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """What is shown of a value: its last characters ("" for a short one) and 16 hex digits."""

    preview: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ProviderKeyInfo:
    """What is shown of the values that an account has saved for a provider."""

    provider: str
    fields: Mapping[str, FieldInfo]
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class DamagedSecret:
    """A row that the vault cannot open, and why."""

    account_id: str
    provider: str
    field: str
    reason: str


def save_provider_key(  # noqa: PLR0913, PLR0917 the interface that others call
    connection: Connection,
    vault: Vault,
    account_id: str,
    provider: str,
    values: Mapping[str, str],
    actor: Actor,
    now: float | None = None,
) -> ProviderKeyInfo:
    """Save `values` for a provider in place of all that was saved for it.

    Raises:
        InvalidValueError: the name of the provider, or a name or value is unusable.
        NotFoundError: there is no such account.
    """
    get_account(connection, account_id)
    provider = checked_text(provider, "provider")
    checked = _checked(values)
    at = second(now)
    where = (_ROWS.account_id == account_id, _ROWS.provider == provider)
    known = connection.execute(select(_ROWS.version, _ROWS.created_at).where(*where)).all()
    version = max((row.version for row in known), default=0) + 1
    created_at = min((row.created_at for row in known), default=at)
    connection.execute(delete(provider_keys).where(*where))
    rows = [
        _encrypted(vault, SecretPlace(account_id, provider, name, version), value)
        | {"created_at": created_at, "updated_at": at}
        for name, value in checked.items()
    ]
    connection.execute(insert(provider_keys), rows)
    action = "provider_key.replace" if known else "provider_key.save"
    add_entry(connection, account_id, actor, action, provider, {"fields": sorted(checked)}, now)
    record_change(connection, account_id)
    return next(i for i in list_provider_keys(connection, account_id) if i.provider == provider)


def list_provider_keys(connection: Connection, account_id: str) -> list[ProviderKeyInfo]:
    """What an account has saved, by the names of the providers."""
    columns = (_ROWS.provider, _ROWS.field, _ROWS.preview, _ROWS.fingerprint, _ROWS.created_at, _ROWS.updated_at)  # fmt: skip
    wanted = select(*columns).where(_ROWS.account_id == account_id)
    by_provider: dict[str, list[Any]] = {}
    for row in connection.execute(wanted.order_by(_ROWS.provider, _ROWS.field)):
        by_provider.setdefault(row.provider, []).append(row)
    return [
        ProviderKeyInfo(
            name,
            {row.field: FieldInfo(row.preview, row.fingerprint) for row in rows},
            rows[0].created_at,
            rows[0].updated_at,
        )
        for name, rows in by_provider.items()
    ]


def delete_provider_key(
    connection: Connection, account_id: str, provider: str, actor: Actor
) -> None:
    """Remove what an account has saved for a provider.

    Raises:
        NotFoundError: it has saved nothing for it.
    """
    where = (_ROWS.account_id == account_id, _ROWS.provider == provider)
    if not connection.execute(delete(provider_keys).where(*where)).rowcount:
        raise NotFoundError("the account has no key for that provider")
    add_entry(connection, account_id, actor, "provider_key.delete", provider)
    record_change(connection, account_id)


def read_provider_keys(
    connection: Connection,
    vault: Vault,
    account_ids: Collection[str],
    damaged: Callable[[DamagedSecret], None] = lambda _: None,
) -> dict[str, dict[str, dict[str, str]]]:
    """The values by account, provider and name, decrypted; accounts that have none are not in it.

    A set with a value that the vault cannot open is empty: half of one is no credential, and the
    account has not removed it. `damaged` is called with each such value.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    broken: set[tuple[str, str]] = set()
    for row in _rows_of(connection, account_ids):
        of_provider = found.setdefault(row.account_id, {}).setdefault(row.provider, {})
        try:
            of_provider[row.field] = vault.open(*_read(row))
        except VaultError as error:
            broken.add((row.account_id, row.provider))
            damaged(DamagedSecret(row.account_id, row.provider, row.field, str(error)))
    for account_id, provider in broken:
        found[account_id][provider] = {}
    return found


def rotate_vault_key(connection: Connection, vault: Vault, actor: Actor) -> int:
    """Wrap what an older vault key wraps with the first one; the number of values.

    Raises:
        VaultError: a value cannot be opened, so an older key is still needed, or a row is damaged.
    """
    wanted = select(provider_keys).where(_ROWS.vault_key_id != vault.primary_key_id)
    rows = connection.execute(wanted.with_for_update()).all()
    for row in rows:
        sealed, bound = _read(row)
        values = _columns(vault.rewrap(sealed, bound))
        values["fingerprint"] = vault.fingerprint(vault.open(sealed, bound))
        connection.execute(update(provider_keys).where(*_at(bound)).values(values))
    if rows:
        detail = {"values": len(rows), "vault_key": vault.primary_key_id}
        add_entry(connection, None, actor, "vault.rotate", "vault", detail)
    return len(rows)


def find_damaged(connection: Connection, vault: Vault) -> list[DamagedSecret]:
    """Every value that the vault cannot open. Reads and decrypts all of them."""
    found = []
    for row in connection.execute(select(provider_keys)).yield_per(BATCH):
        try:
            vault.open(*_read(row))
        except VaultError as error:
            found.append(DamagedSecret(row.account_id, row.provider, row.field, str(error)))
    return found


def count_by_vault_key(connection: Connection) -> dict[str, int]:
    """How many values each vault key wraps, by its id."""
    counted = select(_ROWS.vault_key_id, func.count()).group_by(_ROWS.vault_key_id)
    return {row[0]: row[1] for row in connection.execute(counted)}


def check_vault(connection: Connection, vault: Vault) -> None:
    """Whether server.yaml has every vault key that some value needs; for a start.

    Raises:
        VaultError: one is missing.
    """
    counts = count_by_vault_key(connection)
    for key_id in sorted(counts.keys() - vault.key_ids):
        raise VaultError(
            f"{counts[key_id]} saved provider values need the vault key `{key_id}`, which is not in server.yaml"
        )


def _checked(values: Mapping[str, str]) -> dict[str, str]:
    if not 1 <= len(values) <= MAX_FIELDS:
        raise InvalidValueError("values", f"must have 1 to {MAX_FIELDS} entries")
    return {checked_text(name, "values"): _checked_value(name, values[name]) for name in values}


def _checked_value(name: str, value: str) -> str:
    value = value.strip()
    if not 1 <= len(value) <= MAX_VALUE:
        raise InvalidValueError(name, f"must have 1 to {MAX_VALUE} characters")
    if not all(char.isprintable() or char in "\t\r\n" for char in value):
        raise InvalidValueError(name, "must not have control characters")
    return value


def _encrypted(vault: Vault, place: SecretPlace, value: str) -> dict[str, Any]:
    return {
        "account_id": place.account_id,
        "provider": place.provider,
        "field": place.field,
        "version": place.version,
        "preview": preview(value),
        "fingerprint": vault.fingerprint(value),
        **_columns(vault.seal(value, place)),
    }


def _columns(sealed: Sealed) -> dict[str, Any]:
    return {name: getattr(sealed, name) for name in _SEALED}


def _read(row: Row[Any]) -> tuple[Sealed, SecretPlace]:
    sealed = Sealed(*(getattr(row, name) for name in _SEALED))
    return sealed, SecretPlace(row.account_id, row.provider, row.field, row.version)


def _at(place: SecretPlace) -> tuple[Any, ...]:
    return (
        _ROWS.account_id == place.account_id,
        _ROWS.provider == place.provider,
        _ROWS.field == place.field,
    )


def _rows_of(connection: Connection, account_ids: Collection[str]) -> Iterator[Row[Any]]:
    wanted = list(account_ids)
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        yield from connection.execute(select(provider_keys).where(_ROWS.account_id.in_(batch)))
