"""The audit log: who did what when. Rows are only added; the database refuses to change one.

Nothing in it is secret: `detail` holds names, roles and times, never a key or a part of one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, insert, select

from engine.accounts.tables import audit
from engine.accounts.values import new_id, second


class ActorKind(StrEnum):
    PERSON = "person"
    KEY = "key"  # a gateway key with the scope `manage`
    CLI = "cli"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something; `name` is kept as it was then."""

    kind: ActorKind
    id: str | None
    name: str


SYSTEM = Actor(ActorKind.SYSTEM, None, "orqen")
CLI = Actor(ActorKind.CLI, None, "command line")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A row of the log; `account_id` None for what concerns no account."""

    id: str
    at: int
    account_id: str | None
    actor: Actor
    action: str
    target: str
    detail: Mapping[str, Any]


def add_entry(  # noqa: PLR0913, PLR0917 one parameter a column
    connection: Connection,
    account_id: str | None,
    actor: Actor,
    action: str,
    target: str,
    detail: Mapping[str, Any] | None = None,
    now: float | None = None,
) -> None:
    """Add a row, in the transaction of what it records."""
    row = {
        "id": new_id(),
        "at": second(now),
        "account_id": account_id,
        "actor_kind": str(actor.kind),
        "actor_id": actor.id,
        "actor_name": actor.name[:100],
        "action": action,
        "target": target[:200],
        "detail": json.dumps(detail or {}),
    }
    connection.execute(insert(audit).values(row))


def list_audit(
    connection: Connection, account_id: str, limit: int = 100, before: str | None = None
) -> list[AuditEntry]:
    """The newest rows of an account, newest first; `before` is the id of the last one seen."""
    whose = audit.c.account_id == account_id
    wanted = select(audit).where(whose).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(audit.c.id < before)
    return [entry_of(row) for row in connection.execute(wanted)]


def entry_of(row: Any) -> AuditEntry:
    """The entry in a row that has all columns of the table."""
    return AuditEntry(
        row.id,
        row.at,
        row.account_id,
        Actor(ActorKind(row.actor_kind), row.actor_id, row.actor_name),
        row.action,
        row.target,
        json.loads(row.detail),
    )
