"""Versions of the tables, forward only. A revision is a module here, and is never changed once released.

Alembic finds them by their files; they use its `op` alone, and nothing of `tables`, which is always the newest.
"""

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from engine.accounts.errors import StoreVersionError

_LOCK = 0x6F7271656E  # of PostgreSQL; any number that other programs do not use
_LOCK_SECONDS = 60


def lock(connection: Connection) -> None:
    """Keep other processes from migrating until the transaction ends. SQLite's write lock already does this."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})


def upgrade(connection: Connection) -> list[str]:
    """Apply what is missing, in the transaction of `connection`; the revisions that were applied."""
    scripts = _scripts()
    applied: list[str] = []

    def steps(current: Any, _context: MigrationContext) -> Any:
        found = scripts._upgrade_revs("head", current)  # as Alembic's command does
        applied.extend(step.revision.revision for step in found)
        return found

    try:
        with EnvironmentContext(Config(), scripts, fn=steps) as environment:
            environment.configure(connection=connection)
            environment.run_migrations()
    except CommandError:
        raise StoreVersionError("the database is of a newer version of this program") from None
    return applied


def revision(connection: Connection) -> str | None:
    """The revision of the tables that there are."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The revision that this version of the program needs."""
    return str(_scripts().get_current_head())


def is_known(revision: str) -> bool:
    """Whether this version of the program has the revision; it lacks those of newer ones."""
    return revision in {script.revision for script in _scripts().walk_revisions()}


def _scripts() -> ScriptDirectory:
    folder = str(Path(__file__).parent)
    return ScriptDirectory(folder, version_locations=[folder])
