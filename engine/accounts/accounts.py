"""Accounts: what owns gateway keys and provider keys, and what people belong to."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from engine.accounts.audit import Actor, add_entry
from engine.accounts.changes import record_change
from engine.accounts.errors import ConflictError, NotFoundError
from engine.accounts.key_limits import NO_LIMITS, KeyLimits
from engine.accounts.tables import accounts
from engine.accounts.values import checked_text, new_id, second


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """An account. The gateway keys of a disabled one are refused; `limits` are of all keys together."""

    id: str
    name: str
    is_disabled: bool
    created_at: int
    limits: KeyLimits = NO_LIMITS


def account_of(row: Any) -> AccountInfo:
    """The account in a row that has all columns of the table."""
    return AccountInfo(row.id, row.name, row.is_disabled, row.created_at, KeyLimits.of(row))


def create_account(
    connection: Connection, name: str, actor: Actor, now: float | None = None
) -> AccountInfo:
    """A new account, without keys and people.

    Raises:
        ConflictError: another has that name.
        InvalidValueError: the name is unusable.
    """
    name = checked_text(name, "name")
    if find_account(connection, name) is not None:
        raise ConflictError(f"there is an account `{name}` already")
    account = AccountInfo(new_id(), name, is_disabled=False, created_at=second(now))
    row = {"id": account.id, "name": name, "is_disabled": False, "created_at": account.created_at}
    connection.execute(insert(accounts).values(row))
    add_entry(connection, account.id, actor, "account.create", name, now=now)
    record_change(connection, account.id)
    return account


def find_account(connection: Connection, name: str) -> AccountInfo | None:
    """The account with exactly this name."""
    row = connection.execute(select(accounts).where(accounts.c.name == name)).one_or_none()
    return None if row is None else account_of(row)


def get_account(connection: Connection, account_id: str) -> AccountInfo:
    """The account with this id.

    Raises:
        NotFoundError: there is none.
    """
    row = connection.execute(select(accounts).where(accounts.c.id == account_id)).one_or_none()
    if row is None:
        raise NotFoundError("there is no such account")
    return account_of(row)


def list_accounts(
    connection: Connection, *, limit: int = 100, after: str | None = None
) -> list[AccountInfo]:
    """Accounts by their names; `after` is the name of the last one seen. For operators alone."""
    wanted = select(accounts).order_by(accounts.c.name).limit(limit)
    if after is not None:
        wanted = wanted.where(accounts.c.name > after)
    return [account_of(row) for row in connection.execute(wanted)]


def rename_account(connection: Connection, account_id: str, name: str, actor: Actor) -> AccountInfo:
    """Give an account another name.

    Raises:
        ConflictError, InvalidValueError, NotFoundError
    """
    name = checked_text(name, "name")
    known = find_account(connection, name)
    if known is not None and known.id != account_id:
        raise ConflictError(f"there is an account `{name}` already")
    before = get_account(connection, account_id)
    _update(connection, account_id, name=name)
    add_entry(connection, account_id, actor, "account.rename", name, {"from": before.name})
    return get_account(connection, account_id)


def set_account_disabled(
    connection: Connection, account_id: str, actor: Actor, *, is_disabled: bool
) -> AccountInfo:
    """Refuse all gateway keys of an account, or accept them again.

    Raises:
        NotFoundError: there is no such account.
    """
    _update(connection, account_id, is_disabled=is_disabled)
    account = get_account(connection, account_id)
    add_entry(
        connection,
        account_id,
        actor,
        "account.disable" if is_disabled else "account.enable",
        account.name,
    )
    return account


def limit_account(
    connection: Connection, account_id: str, limits: KeyLimits, actor: Actor
) -> AccountInfo:
    """Limit what all keys of an account use together, besides the limits of each.

    Raises:
        NotFoundError: there is no such account.
        InvalidValueError: a limit is unusable.
    """
    columns = limits.columns()
    _update(connection, account_id, **columns)
    account = get_account(connection, account_id)
    known = {name: value for name, value in columns.items() if value is not None}
    add_entry(connection, account_id, actor, "account.limit", account.name, known)
    return account


def _update(connection: Connection, account_id: str, **values: object) -> None:
    done = connection.execute(update(accounts).where(accounts.c.id == account_id).values(**values))
    if not done.rowcount:
        raise NotFoundError("there is no such account")
    record_change(connection, account_id)
