"""The database of the store: SQLite in a file, or PostgreSQL. All of its errors are translated here.

Synchronous, for threads: SQLAlchemy's Core over `sqlite3` and psycopg.

Transactions: `read` sees one snapshot at most, `write` commits when its block ends and rolls back
when that raises. Writers to SQLite queue for the file at BEGIN IMMEDIATE, so none of them fails half
way; those to PostgreSQL meet at the row of `change_counter`.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import QueuePool

from engine.accounts import migrations
from engine.accounts.errors import (
    ConflictError,
    InvalidValueError,
    StoreUnavailableError,
    StoreVersionError,
)

__all__ = ["Connection", "Database", "StoreUnavailableError", "StoreVersionError", "open_database"]

REPLACED = "its file was replaced or removed while it was in use; start the server again"
BUSY_SECONDS = 5  # how long a writer waits for another, and anybody for a connection of the pool
_WRITES = "orqen_writes"
_SQLITE_SETTINGS = (
    "PRAGMA synchronous=FULL",  # a revocation survives a power cut
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",  # overwrites what is deleted
)
_POSTGRES_SETTINGS = (
    "-c statement_timeout=10000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=30000"
)


class Database:
    """Connections to one database, for any number of threads; nothing is opened until they are used."""

    def __init__(self, engine: Engine, file: Path | None) -> None:
        self._engine = engine
        self._file = file
        self._opened: tuple[tuple[int, int] | None, ...] | None = None

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading; what its block writes is rolled back."""
        with translated(), self._connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in a transaction that is committed when the block ends."""
        with translated(), self._connect() as connection:
            connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    def upgrade(self) -> list[str]:
        """Create and change the tables as this version needs them; the revisions that were applied.

        Waits for another process that does the same.

        Raises:
            StoreVersionError: a newer version has changed them already.
        """
        self._create_file()
        with self.write() as connection:
            migrations.lock(connection)
            return migrations.upgrade(connection)

    def revision(self) -> str | None:
        """The revision of the tables; None when there are none yet."""
        if self.missing_file is not None:
            return None
        with self.read() as connection:
            return migrations.revision(connection)

    @property
    def missing_file(self) -> Path | None:
        """The file of SQLite while it does not exist."""
        return self._file if self._file is not None and not self._file.exists() else None

    def close(self) -> None:
        self._engine.dispose()
        self._opened = None

    def _connect(self) -> Connection:
        """A connection of the pool, unless the files are no more those that it has open.

        What is written to files that another one has replaced is lost, and SQLite removes the log of
        the new one when it closes the old one. So they are left alone until the end.
        """
        if self._file is None:
            return self._engine.connect()
        found = _identities(self._file)
        pairs = [*zip(self._opened or (None, None), found, strict=True)]
        if any(known not in (None, now) for known, now in pairs):
            raise StoreUnavailableError(REPLACED)
        connection = self._engine.connect()
        self._opened = tuple(known or now for known, now in pairs)  # the log may come later
        return connection

    def _create_file(self) -> None:
        """An empty file for SQLite that only its owner may read; so are those that SQLite adds."""
        if self._file is None:
            return
        with translated(), contextlib.suppress(FileExistsError):
            os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def open_database(url: str) -> Database:
    """The database at `url`: `sqlite:///PATH` or `postgresql://USER@HOST/NAME`. No I/O yet.

    Raises:
        InvalidValueError: it is no such URL.
    """
    try:
        parts = make_url(url)
    except exc.ArgumentError:
        raise InvalidValueError("database", "is not a URL") from None
    if parts.drivername == "sqlite" and parts.database and parts.database != ":memory:":
        file = Path(parts.database)
        return Database(_sqlite(file), file)
    if parts.drivername in {"postgresql", "postgres"}:
        return Database(_postgres(parts.set(drivername="postgresql+psycopg")), None)
    raise InvalidValueError("database", "must start with sqlite:/// or postgresql://")


def _sqlite(file: Path) -> Engine:
    """An engine whose connections do not create the file."""
    uri = f"{file.absolute().as_uri()}?mode=rw"
    engine = create_engine(
        "sqlite://",
        creator=lambda: _connect_sqlite(uri),
        poolclass=QueuePool,
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,
    )
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _identities(file: Path) -> tuple[tuple[int, int] | None, ...]:
    """Which files stand at the paths of a database and of its log; None where there is none."""
    return tuple(_identity(path) for path in (file, file.with_name(f"{file.name}-wal")))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _connect_sqlite(uri: str) -> sqlite3.Connection:
    """A connection that any one thread may use; `_begin_sqlite` begins its transactions."""
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
    )
    try:
        _use_wal(connection)
        for setting in _SQLITE_SETTINGS:
            connection.execute(setting)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Set the mode of the journal. SQLite waits for no other connection there, whatever its timeout."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres(url: Any) -> Engine:
    defaults = {
        "application_name": "orqen",
        "connect_timeout": "3",
        "tcp_user_timeout": "10000",
        "options": _POSTGRES_SETTINGS,
    }
    missing = {name: value for name, value in defaults.items() if name not in url.query}
    return create_engine(
        url.update_query_dict(missing),
        connect_args={"prepare_threshold": None},  # so that a pooler may change the connection
        pool_pre_ping=True,
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,
    )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises into errors of the store, which quote no values."""
    try:
        yield
    except exc.IntegrityError:
        raise ConflictError("it exists already, or something that it needs does not") from None
    except (exc.DataError, UnicodeEncodeError, OverflowError):
        raise InvalidValueError("value", "cannot be stored") from None
    except (exc.DBAPIError, exc.TimeoutError, OSError) as error:
        raise StoreUnavailableError(f"the database cannot be used: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What the driver says; only errors that are translated before quote values."""
    if isinstance(error, exc.DBAPIError):
        return str(error.orig).strip().partition("\n")[0]
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "all connections are in use"
