"""Old usage, removed a few rows at a time while workers write."""

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Table, delete, func, select, tuple_

from engine.accounts.database import Database
from engine.accounts.tables import usage_daily, usage_hourly

MAX_DELETED = 2000  # rows that one transaction removes
_HOURS, _DAYS = usage_hourly.c, usage_daily.c


def delete_usage(database: Database, before: int, max_rows: int = MAX_DELETED) -> int:
    """Remove all usage before a midnight in UTC; the number of hourly rows.

    `max_rows`: how many rows at most in a transaction, between which workers write.
    """
    removed = 0
    for account_id in _accounts(database):
        old = (_HOURS.account_id == account_id, _HOURS.hour < before)
        removed += _delete(database, usage_hourly, old, max_rows)
        old = (_DAYS.account_id == account_id, _DAYS.day < before)
        _delete(database, usage_daily, old, max_rows)
    return removed


def _accounts(database: Database) -> Iterator[str]:
    """The accounts with usage, each found by the index; each hour has its sums, which go last."""
    wanted = select(func.min(_DAYS.account_id))
    found = ""  # that of keys.yaml, which may have none
    while True:
        yield found
        with database.read() as connection:
            following = connection.execute(wanted.where(_DAYS.account_id > found)).scalar_one()
        if following is None:
            return
        found = following


def _delete(
    database: Database,
    table: Table,
    where: Sequence[ColumnElement[bool]],
    max_rows: int,
) -> int:
    """Remove rows in the order of the primary key, so that each transaction begins where the last one ended.

    The sums of a day to keep lie between those to remove, and none is to be read twice.
    """
    columns = list(table.primary_key.columns)[1:]  # of one account
    left: tuple[ColumnElement[bool], ...] = tuple(where)
    last_of_some = select(*columns).order_by(*columns).offset(max_rows - 1).limit(1)
    removed = 0
    while True:
        with database.read() as connection:
            last = connection.execute(last_of_some.where(*left)).one_or_none()
        some = left if last is None else (*left, tuple_(*columns) <= tuple_(*last))
        with database.write() as connection:
            removed += connection.execute(delete(table).where(*some)).rowcount
        if last is None:
            return removed
        left = (*where, tuple_(*columns) > tuple_(*last))
