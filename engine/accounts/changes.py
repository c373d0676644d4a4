"""The change counter: by it, workers see what was changed since they last read.

A sequence would not do: numbers of it become visible in another order than they were drawn, so a
reader could miss one. Here the row of the counter stays locked until its writer has committed.

Each number has a random mark. A reader whose newest pair of number and mark is no longer in the
database, since that was restored or replaced, or is too old, gets None for `entries`.
"""

import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from engine.accounts.tables import change_counter, changes

MAX_CHANGES = 10_000  # numbers that a reader may be behind


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """How far a reader has read."""

    seq: int
    mark: int


@dataclass(frozen=True, slots=True)
class Change:
    """What changed: one gateway key by its digest, all of an account, or, with neither, everything."""

    account_id: str | None
    key_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new up to `position`. `entries` None: nothing that was read before can be relied on."""

    position: ReadPosition
    entries: tuple[Change, ...] | None


def record_change(
    connection: Connection, account_id: str | None, key_digest: bytes | None = None
) -> int:
    """Count a change in the transaction of `connection`; its number."""
    mark = secrets.randbits(62)
    count = (
        update(change_counter)
        .values(seq=change_counter.c.seq + 1, mark=mark)
        .returning(change_counter.c.seq)
    )
    seq = int(connection.execute(count).scalar_one())
    connection.execute(
        insert(changes).values(seq=seq, mark=mark, account_id=account_id, key_digest=key_digest)
    )
    if seq % 100 == 0:
        connection.execute(delete(changes).where(changes.c.seq < seq - MAX_CHANGES))
    return seq


def wait_for_writers(connection: Connection) -> None:
    """Wait for other writers that take their turn or change something, until they have committed."""
    connection.execute(select(change_counter.c.seq).with_for_update()).one()


def read_position(connection: Connection) -> ReadPosition:
    """The newest change; cheap enough to ask four times a second."""
    row = connection.execute(select(change_counter.c.seq, change_counter.c.mark)).one()
    return ReadPosition(row.seq, row.mark)


def read_changes(connection: Connection, known: ReadPosition | None) -> Changes:
    """What changed after `known`; None for a reader that knows nothing yet."""
    newest = read_position(connection)
    if newest == known:
        return Changes(newest, ())
    if known is None:
        return Changes(newest, None)
    rows = connection.execute(
        select(changes).where(changes.c.seq.between(known.seq, newest.seq)).order_by(changes.c.seq)
    ).all()
    if not rows or (rows[0].seq, rows[0].mark) != (known.seq, known.mark):
        return Changes(newest, None)
    return Changes(newest, tuple(Change(row.account_id, row.key_digest) for row in rows[1:]))
