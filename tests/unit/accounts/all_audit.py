"""The audit log of all accounts and of what concerns none, which only tests read."""

from sqlalchemy import Connection, select

from engine.accounts.audit import AuditEntry, entry_of
from engine.accounts.tables import audit


def list_all_audit(connection: Connection, limit: int = 100) -> list[AuditEntry]:
    """The newest rows, newest first."""
    wanted = select(audit).order_by(audit.c.id.desc()).limit(limit)
    return [entry_of(row) for row in connection.execute(wanted)]
