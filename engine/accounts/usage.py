"""Usage by the hour: counts that workers add and pages read. Tokens that nobody has measured are None, not 0."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite

from engine.accounts.tables import LATENCY_COLUMNS, usage_daily, usage_hourly

HOUR, DAY = 3600, 86400
By = Literal["hour", "day", "key", "model", "provider"]
_USAGE = usage_hourly.c
_DAYS = usage_daily.c
_HOURLY = ("account_id", "hour", "key_id", "model", "provider", "price_version")
_DAILY = ("account_id", "dimension", "label", "day")
_COUNTS = ("requests", "errors", "ms_total", *LATENCY_COLUMNS, "unpriced")
_UNKNOWN = ("input_tokens", "output_tokens", "cost_nano_usd")  # None where nobody knows them
_ADDED = (*_COUNTS, *_UNKNOWN)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one worker counted in one hour (a time that 3600 divides), to be added.

    `account_id` and `key_id` are "" for keys of keys.yaml. `latency` has one count for each bucket:
    up to LATENCY_BOUNDS in ms, and above the last. `cost_nano_usd` are billionths of a dollar by the
    prices of `price_version`, and `unpriced` the requests of which no cost is known.
    """

    hour: int
    account_id: str
    key_id: str
    model: str
    provider: str
    requests: int
    errors: int
    ms_total: int
    latency: tuple[int, ...]
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nano_usd: int | None = None
    unpriced: int = 0
    price_version: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """A sum. `label` is the start of the hour or day in seconds as text, or an id or a name."""

    label: str
    requests: int
    errors: int
    input_tokens: int | None
    output_tokens: int | None
    ms_total: int
    latency: tuple[int, ...]
    cost_nano_usd: int | None
    unpriced: int


def add_usage(connection: Connection, rows: Sequence[UsageRow]) -> None:
    """Add counts to what is there, by the hour and by the day."""
    values = [_values(row) for row in rows]
    _add(connection, usage_hourly, _HOURLY, values)
    _add(connection, usage_daily, _DAILY, [day for value in values for day in _days(value)])


def _add(
    connection: Connection, table: Table, primary: Sequence[str], rows: Iterable[dict[str, Any]]
) -> None:
    """Add `rows`. Those with the same key are summed first; the order avoids deadlocks."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in primary)
        merged[key] = _summed(merged[key], row) if key in merged else row
    if merged:
        ordered = [merged[key] for key in sorted(merged)]
        values: Any = ordered
        if connection.dialect.name == "postgresql":
            values = {column.name: [row[column.name] for row in ordered] for column in table.c}
        connection.execute(_upsert(connection, table, primary), values)


def _days(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What an hour adds to its day: to the account, and to its key, model and provider."""
    counts = {name: row[name] for name in _ADDED}
    day = row["hour"] - row["hour"] % DAY
    labels = {"all": "", "key": row["key_id"], "model": row["model"], "provider": row["provider"]}
    for dimension, label in labels.items():
        at = {"account_id": row["account_id"], "dimension": dimension, "label": label, "day": day}
        yield at | counts


def read_usage(  # noqa: PLR0913 each narrows what is read
    connection: Connection,
    account_id: str,
    since: int,
    until: int,
    by: By,
    *,
    key_id: str | None = None,
    limit: int | None = None,
) -> list[Usage]:
    """The usage of an account from `since` up to but without `until`, in seconds; whole hours count.

    By time in its order, by all else the most requests first. `key_id`: only of that key; `limit`: no more sums.
    Whole days in UTC, from midnight to midnight, are read from their sums.
    """
    is_of_days = since % DAY == 0 and until % DAY == 0 and by != "hour"
    if is_of_days and (key_id is None or by == "day"):
        return _read_days(connection, account_id, since, until, by, key_id, limit)
    whose = _USAGE.account_id == account_id
    if key_id is not None:
        whose = and_(whose, _USAGE.key_id == key_id)
    return _read(connection, whose, since, until, by, limit)


def _read_days(  # noqa: PLR0913, PLR0917 as `read_usage`
    connection: Connection,
    account_id: str,
    since: int,
    until: int,
    by: By,
    key_id: str | None,
    limit: int | None,
) -> list[Usage]:
    dimension = by if by != "day" else "all" if key_id is None else "key"
    where = [_DAYS.account_id == account_id, _DAYS.dimension == dimension, _DAYS.day >= since, _DAYS.day < until]  # fmt: skip
    if key_id is not None:
        where.append(_DAYS.label == key_id)
    label = (_DAYS.day if by == "day" else _DAYS.label).label("label")
    requests = func.sum(_DAYS.requests)
    order = (label,) if by == "day" else (requests.desc(), label)
    if limit is not None and by != "day":  # all sums of the few that are wanted, not of thousands
        first = select(_DAYS.label).where(*where).group_by(_DAYS.label)
        where.append(_DAYS.label.in_(first.order_by(requests.desc(), _DAYS.label).limit(limit)))
    sums = [func.sum(_DAYS[name]).label(name) for name in _ADDED]
    wanted = select(label, *sums).where(*where).group_by(label).order_by(*order).limit(limit)
    return [_usage(row) for row in connection.execute(wanted)]


def has_usage(connection: Connection, account_id: str) -> bool:
    """Whether anything was ever called with a key of an account."""
    wanted = select(_USAGE.hour).where(_USAGE.account_id == account_id).limit(1)
    return connection.execute(wanted).first() is not None


def read_all_usage(connection: Connection, since: int, until: int, by: By) -> list[Usage]:
    """The same for all accounts and for keys of keys.yaml; for operators alone."""
    return _read(connection, true(), since, until, by)


def _values(row: UsageRow) -> dict[str, Any]:
    if len(row.latency) != len(LATENCY_COLUMNS):
        raise ValueError(f"{len(row.latency)} buckets")
    texts = {"model": row.model[:200], "provider": row.provider[:100]}
    names = ("account_id", "hour", "key_id", "price_version", *_COUNTS[:3], *_UNKNOWN, "unpriced")
    values = {name: getattr(row, name) for name in names}
    return values | texts | dict(zip(LATENCY_COLUMNS, row.latency, strict=True))


def _summed(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    sums: dict[str, Any] = {name: old[name] + new[name] for name in _COUNTS}
    for name in _UNKNOWN:
        known = [count for count in (old[name], new[name]) if count is not None]
        sums[name] = sum(known) if known else None
    return old | sums


def _upsert(connection: Connection, table: Table, primary: Sequence[str]) -> Any:
    """One statement for any number of rows, compiled once.

    SQLite repeats it for each row; PostgreSQL takes a list for each column, which is one round trip.
    """
    is_postgres = connection.dialect.name == "postgresql"
    insert = postgresql.insert if is_postgres else sqlite.insert
    statement = insert(table)
    if is_postgres:
        lists = (cast(bindparam(c.name), postgresql.ARRAY(c.type)) for c in table.c)
        statement = statement.from_select(
            [c.name for c in table.c], select(*map(func.unnest, lists))
        )
    new = statement.excluded
    sums: dict[str, Any] = {name: table.c[name] + new[name] for name in _COUNTS}
    for name in _UNKNOWN:
        old = table.c[name]
        sums[name] = case(
            (old.is_(None), new[name]), (new[name].is_(None), old), else_=old + new[name]
        )
    return statement.on_conflict_do_update(index_elements=primary, set_=sums)


def _read(  # noqa: PLR0913, PLR0917 as `read_usage`
    connection: Connection,
    whose: ColumnElement[bool],
    since: int,
    until: int,
    by: By,
    limit: int | None = None,
) -> list[Usage]:
    label = _label(by)
    sums = [func.sum(_USAGE[name]).label(name) for name in _ADDED]
    where = (whose, _USAGE.hour >= since - since % HOUR, _USAGE.hour < until)
    wanted = select(label, *sums).where(*where).group_by(label)
    is_time = by in {"hour", "day"}
    wanted = wanted.order_by(label if is_time else func.sum(_USAGE.requests).desc(), label).limit(
        limit
    )
    return [_usage(row) for row in connection.execute(wanted)]


def _label(by: By) -> ColumnElement[Any]:
    if by == "day":
        return (_USAGE.hour - _USAGE.hour % literal(DAY)).label("label")
    column = {"hour": _USAGE.hour, "key": _USAGE.key_id, "model": _USAGE.model}
    return column.get(by, _USAGE.provider).label("label")


def _usage(row: Any) -> Usage:
    def count(name: str) -> int:
        return int(getattr(row, name))

    def known(name: str) -> int | None:
        return None if getattr(row, name) is None else count(name)

    return Usage(
        str(row.label),
        count("requests"),
        count("errors"),
        known("input_tokens"),
        known("output_tokens"),
        count("ms_total"),
        tuple(count(name) for name in LATENCY_COLUMNS),
        known("cost_nano_usd"),
        count("unpriced"),
    )
