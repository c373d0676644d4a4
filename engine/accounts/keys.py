"""Gateway keys of accounts: made, listed, limited, rotated and revoked. Only their SHA-256 is stored.

Scopes: `use` calls models, `manage` changes the account by its API. A key has one or both.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from engine.accounts.audit import Actor, add_entry
from engine.accounts.changes import record_change
from engine.accounts.errors import ConflictError, InvalidValueError, NotFoundError
from engine.accounts.gateway_key import GatewayKey, key_of, key_settings
from engine.accounts.key_limits import MAX_COUNTS, NO_LIMITS, KeyLimits
from engine.accounts.tables import accounts, gateway_keys
from engine.accounts.values import (
    checked_expiry,
    checked_names,
    checked_scopes,
    checked_text,
    dump,
    new_id,
    second,
)
from engine.plan.gateway_key import digest, new_key

_IDS_AT_ONCE = 500
MAX_GRACE = 90 * 86400  # seconds that a rotated key may go on
_KEYS = gateway_keys.c


def create_key(  # noqa: PLR0913 one parameter a column
    connection: Connection,
    account_id: str,
    *,
    name: str,
    actor: Actor,
    scopes: Sequence[str] = ("use",),
    models: Sequence[str] | None = None,
    endpoints: Sequence[str] | None = None,
    expires_at: int | None = None,
    limits: KeyLimits = NO_LIMITS,
    now: float | None = None,
) -> tuple[GatewayKey, str]:
    """A new key, and its text, which exists nowhere else.

    Raises:
        InvalidValueError: a name, a scope, a list or the time is unusable.
        NotFoundError: there is no such account.
    """
    at = second(now)
    text = new_key()
    values = {
        "name": checked_text(name, "name"),
        "scopes": dump(checked_scopes(scopes)),
        "models": dump(checked_names(models, "models")),
        "endpoints": dump(checked_names(endpoints, "endpoints")),
        "expires_at": checked_expiry(expires_at, at),
        **limits.columns(),
    }
    key = _insert(connection, account_id, values, bytes.fromhex(digest(text)), text[-4:], at)
    add_entry(connection, account_id, actor, "key.create", key.name, key_settings(key), now)
    return key, text


def import_key(  # noqa: PLR0913 one parameter a column
    connection: Connection,
    account_id: str,
    *,
    name: str,
    sha256: str,
    actor: Actor,
    models: Sequence[str] | None = None,
    endpoints: Sequence[str] | None = None,
    expires_at: int | None = None,
    now: float | None = None,
) -> GatewayKey:
    """A key that exists already, by the SHA-256 of it in hex; it goes on working.

    Raises:
        ConflictError: the store has it.
        InvalidValueError: a value is unusable.
        NotFoundError: there is no such account.
    """
    known = bytes.fromhex(sha256)
    if connection.execute(select(_KEYS.id).where(_KEYS.digest == known)).first():
        raise ConflictError(f"the key `{name}` is in the store already")
    values = {
        "name": checked_text(name, "name"),
        "scopes": dump(("use",)),
        "models": dump(checked_names(models, "models")),
        "endpoints": dump(checked_names(endpoints, "endpoints")),
        "expires_at": expires_at,
    }
    key = _insert(connection, account_id, values, known, "", second(now))
    add_entry(connection, account_id, actor, "key.import", key.name, key_settings(key), now)
    return key


def list_keys(  # noqa: PLR0913 each narrows the list
    connection: Connection,
    account_id: str,
    *,
    query: str = "",
    limit: int = 100,
    after: str | None = None,
    live_at: int | None = None,
) -> list[GatewayKey]:
    """Keys of an account, newest first; `query` is a part of the name, `after` the id of the last one seen.

    `live_at`: only those that are neither revoked nor expired at that time.
    """
    wanted = select(gateway_keys).where(_KEYS.account_id == account_id)
    if live_at is not None:
        wanted = wanted.where(_KEYS.revoked_at.is_(None), func.coalesce(_KEYS.expires_at, live_at + 1) > live_at)  # fmt: skip
    if query:
        wanted = wanted.where(func.lower(_KEYS.name).contains(query.lower(), autoescape=True))
    if after is not None:
        wanted = wanted.where(_KEYS.id < after)
    return [
        key_of(row) for row in connection.execute(wanted.order_by(_KEYS.id.desc()).limit(limit))
    ]


def key_names(connection: Connection, key_ids: Sequence[str]) -> dict[str, str]:
    """`ACCOUNT/NAME` of keys by their ids; revoked ones have names too."""
    found: dict[str, str] = {}
    for at in range(0, len(key_ids), _IDS_AT_ONCE):
        some = key_ids[at : at + _IDS_AT_ONCE]
        wanted = select(_KEYS.id, accounts.c.name, _KEYS.name).where(
            _KEYS.account_id == accounts.c.id, _KEYS.id.in_(some)
        )
        found |= {key: f"{account}/{name}" for key, account, name in connection.execute(wanted)}
    return found


def count_keys(connection: Connection, account_id: str) -> int:
    """How many keys an account has, those that are revoked or expired included."""
    counted = select(func.count()).select_from(gateway_keys).where(_KEYS.account_id == account_id)
    return int(connection.execute(counted).scalar_one())


def get_key(connection: Connection, account_id: str, key_id: str) -> GatewayKey:
    """One key of an account.

    Raises:
        NotFoundError: the account has no such key.
    """
    return key_of(_row(connection, account_id, key_id))


def update_key(  # noqa: PLR0913 one parameter a column
    connection: Connection,
    account_id: str,
    key_id: str,
    *,
    name: str,
    models: Sequence[str] | None,
    endpoints: Sequence[str] | None,
    expires_at: int | None,
    actor: Actor,
    limits: KeyLimits | None = None,
    now: float | None = None,
) -> GatewayKey:
    """Give a key another name and other limits; its scopes stay, as do `limits` that are None.

    Raises:
        NotFoundError, InvalidValueError
        ConflictError: it is revoked or has expired, or was rotated and would end later.
    """
    row = _alive(connection, account_id, key_id)
    same = expires_at == row.expires_at
    if row.expires_at is not None and not same:
        if row.expires_at <= second(now):
            raise ConflictError("the key has expired; make a new one")
        if row.replaced_by is not None and (expires_at is None or expires_at > row.expires_at):
            raise ConflictError("the key was rotated, so it cannot end later")
    values = {
        "name": checked_text(name, "name"),
        "models": dump(checked_names(models, "models")),
        "endpoints": dump(checked_names(endpoints, "endpoints")),
        "expires_at": expires_at if same else checked_expiry(expires_at, second(now)),
        **({} if limits is None else limits.columns()),
    }
    _change(connection, row, **values)
    key = get_key(connection, account_id, key_id)
    add_entry(connection, account_id, actor, "key.update", key.name, key_settings(key), now)
    return key


def revoke_key(
    connection: Connection, account_id: str, key_id: str, actor: Actor, now: float | None = None
) -> GatewayKey:
    """End a key at once; nothing happens to one that is revoked already.

    Raises:
        NotFoundError: the account has no such key.
    """
    row = _row(connection, account_id, key_id, locks=True)
    if row.revoked_at is None:
        _change(connection, row, revoked_at=second(now))
        add_entry(connection, account_id, actor, "key.revoke", row.name, {"id": key_id}, now)
    return get_key(connection, account_id, key_id)


def rotate_key(  # noqa: PLR0913, PLR0917 the interface that others call
    connection: Connection,
    account_id: str,
    key_id: str,
    grace_seconds: int,
    actor: Actor,
    now: float | None = None,
) -> tuple[GatewayKey, str]:
    """A new key in place of another, with its name and limits; the old one ends after `grace_seconds`.

    Raises:
        NotFoundError, InvalidValueError
        ConflictError: it is revoked, expired, or was rotated already.
    """
    at = second(now)
    row = _alive(connection, account_id, key_id)
    if row.replaced_by is not None or (row.expires_at is not None and row.expires_at <= at):
        raise ConflictError("the key was rotated already, or has expired")
    if not 0 <= grace_seconds <= MAX_GRACE:
        raise InvalidValueError("grace_seconds", f"must be 0 to {MAX_GRACE}")
    text = new_key()
    kept = {name: getattr(row, name) for name in ("name", "scopes", "models", "endpoints", "expires_at", *MAX_COUNTS)}  # fmt: skip
    key = _insert(connection, account_id, kept, bytes.fromhex(digest(text)), text[-4:], at)
    end = at + grace_seconds
    values: dict[str, Any] = {"replaced_by": key.id}
    if grace_seconds:
        values["expires_at"] = end if row.expires_at is None else min(end, row.expires_at)
    else:
        values["revoked_at"] = at
    _change(connection, row, **values)
    detail = {"id": key_id, "new": key.id, "grace_seconds": grace_seconds}
    add_entry(connection, account_id, actor, "key.rotate", key.name, detail, now)
    return key, text


def _insert(  # noqa: PLR0913, PLR0917 one parameter a part
    connection: Connection,
    account_id: str,
    values: dict[str, Any],
    key_digest: bytes,
    preview: str,
    at: int,
) -> GatewayKey:
    found = select(accounts.c.id).where(accounts.c.id == account_id)
    if connection.execute(found).first() is None:
        raise NotFoundError("there is no such account")
    row = values | {"id": new_id(), "account_id": account_id, "digest": key_digest}
    row |= {"preview": preview, "created_at": at}
    connection.execute(insert(gateway_keys).values(row))
    record_change(connection, account_id, key_digest)
    return get_key(connection, account_id, row["id"])


def _row(connection: Connection, account_id: str, key_id: str, *, locks: bool = False) -> Row[Any]:
    wanted = select(gateway_keys).where(_KEYS.account_id == account_id, _KEYS.id == key_id)
    if locks:  # SQLite has one writer anyway
        wanted = wanted.with_for_update()
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise NotFoundError("the account has no such key")
    return row


def _alive(connection: Connection, account_id: str, key_id: str) -> Row[Any]:
    row = _row(connection, account_id, key_id, locks=True)
    if row.revoked_at is not None:
        raise ConflictError("the key is revoked")
    return row


def _change(connection: Connection, row: Row[Any], **values: Any) -> None:
    where = (_KEYS.account_id == row.account_id, _KEYS.id == row.id)
    connection.execute(update(gateway_keys).where(*where).values(**values))
    record_change(connection, row.account_id, row.digest)
