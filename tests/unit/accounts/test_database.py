"""The database: migrations, transactions, what happens when it is missing, and the change counter."""

import contextlib
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from engine.accounts import changes, migrations
from engine.accounts.accounts import create_account, find_account
from engine.accounts.audit import CLI, add_entry
from engine.accounts.changes import read_changes, read_position, record_change
from engine.accounts.database import Database, StoreUnavailableError, open_database
from engine.accounts.errors import InvalidValueError, StoreVersionError
from engine.accounts.tables import metadata
from tests.tables import each
from tests.unit.accounts.all_audit import list_all_audit
from tests.unit.accounts.conftest import ELSEWHERE

only_sqlite = pytest.mark.skipif(bool(ELSEWHERE), reason="about files of SQLite")


def test_migrations_make_the_tables_that_the_code_names(url: str) -> None:
    database = open_database(url)
    assert (database.revision(), database.upgrade()) == (
        None,
        ["0001", "0002", "0003", "0004", "0005", "0006"],
    )
    assert (database.revision(), database.upgrade()) == (migrations.newest(), [])
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreVersionError):
        database.upgrade()
    assert database.revision() == "9999"


def test_several_processes_may_migrate_at_the_same_time(url: str) -> None:
    applied: list[list[str]] = []

    def start() -> None:
        database = open_database(url)
        applied.append(database.upgrade())
        database.close()

    threads = [threading.Thread(target=start) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [[], [], [], [], ["0001", "0002", "0003", "0004", "0005", "0006"]]


@only_sqlite
def test_a_new_file_that_another_process_writes_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE t (x)")
    timer = threading.Timer(0.2, other.execute, ("COMMIT",))
    timer.start()
    database = open_database(f"sqlite:///{file}")
    assert database.upgrade()
    timer.join()
    database.close()
    other.close()


@only_sqlite
def test_only_the_owner_may_read_the_files(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        create_account(connection, "a", CLI)
        modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in tmp_path.iterdir()}
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


@only_sqlite
def test_a_file_that_is_missing_is_not_made_by_reading(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(StoreUnavailableError, match="unable to open"), database.read():
        pass
    assert (database.revision(), list(tmp_path.iterdir())) == (None, [])


@only_sqlite
def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database, but text that is long enough to be none" * 50)
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(StoreUnavailableError, match="not a database"):
        database.upgrade()


@only_sqlite
def test_settings_that_keep_data_are_on(store: Connection) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
    values = [store.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    assert values == ["wal", 2, 1, 1, 5000]


def test_a_database_without_tables_is_unavailable(url: str) -> None:
    database = open_database(url)
    if not ELSEWHERE:
        Path(url.removeprefix("sqlite:///")).touch()
    with pytest.raises(StoreUnavailableError), database.read() as connection:
        find_account(connection, "a")
    database.close()


def test_a_server_that_is_not_there_is_unavailable_and_its_password_unseen() -> None:
    database = open_database("postgresql://who:hidden-password@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailableError) as failed, database.read():
        pass
    assert "hidden-password" not in str(failed.value)
    assert failed.value.__cause__ is None


@each("wrong", ["", "nothing", "sqlite://", "sqlite:///:memory:", "mysql://a/b"])
def test_another_url_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidValueError):
        open_database(wrong)


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        create_account(connection, "a", CLI)
        raise ZeroDivisionError
    with database.read() as connection:
        assert find_account(connection, "a") is None
        assert read_position(connection).seq == 0


def test_no_error_of_the_driver_quotes_a_value(database: Database) -> None:
    with pytest.raises(StoreUnavailableError) as failed, database.read() as connection:
        connection.execute(text("SELECT * FROM nowhere WHERE secret = :s"), {"s": "canary-value"})
    assert failed.value.__context__ is not None
    assert "canary-value" not in f"{failed.value} {failed.value.__context__}"


def test_reading_changes_nothing(database: Database) -> None:
    with database.read() as connection:
        create_account(connection, "a", CLI)
    with database.read() as connection:
        assert find_account(connection, "a") is None


def test_the_audit_log_cannot_be_changed(database: Database) -> None:
    with database.write() as connection:
        add_entry(connection, None, CLI, "test", "target")
    for change in ("UPDATE audit SET action = 'x'", "DELETE FROM audit"):
        with pytest.raises(Exception, match=r"."), database.write() as connection:
            connection.execute(text(change))
    with database.read() as connection:
        assert [entry.action for entry in list_all_audit(connection)] == ["test"]


# -- the change counter ----------------------------------------------------------------------------


def test_a_reader_that_knows_nothing_reads_everything(store: Connection) -> None:
    known = read_changes(store, None)
    assert known.entries is None
    assert read_changes(store, known.position).entries == ()


def test_changes_come_once_and_in_their_order(store: Connection) -> None:
    known = read_position(store)
    for account in ("a", None, "b"):
        record_change(store, account)
    new = read_changes(store, known)
    assert new.entries is not None
    assert [entry.account_id for entry in new.entries] == ["a", None, "b"]
    assert read_changes(store, new.position).entries == ()


def test_a_reader_far_behind_reads_everything(store: Connection) -> None:
    known = read_position(store)
    store.execute(text("UPDATE change_counter SET seq = :n"), {"n": 2 * changes.MAX_CHANGES - 1})
    record_change(store, "a")
    assert read_changes(store, known).entries is None
    assert store.execute(text("SELECT count(*) FROM changes")).scalar() == 1


def test_a_restored_database_is_noticed_even_when_it_has_caught_up(store: Connection) -> None:
    record_change(store, "a")
    known = read_position(store)
    store.execute(text("DELETE FROM changes WHERE seq = 1"))  # as it was before
    store.execute(text("UPDATE change_counter SET seq = 0"))
    record_change(store, "b")
    assert read_changes(store, known).entries is None
    record_change(store, "c")
    assert read_changes(store, known).entries is None


def test_numbers_become_visible_in_their_order(database: Database) -> None:
    """Writers that overlap: whoever reads number n never misses a smaller one."""
    seen: list[int] = []
    stop = threading.Event()
    with database.read() as connection:
        start = read_position(connection)

    def write() -> None:
        for _ in range(20):
            with database.write() as connection:
                record_change(connection, "a")

    def follow() -> None:
        known = start
        while len(seen) < 80 and not stop.is_set():
            with database.read() as connection:
                new = read_changes(connection, known)
            assert new.entries is not None
            seen.extend(range(known.seq + 1, known.seq + 1 + len(new.entries)))
            assert new.position.seq == known.seq + len(new.entries)
            known = new.position

    writers = [threading.Thread(target=write) for _ in range(4)]
    reader = threading.Thread(target=follow)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    reader.join(30)
    stop.set()
    assert seen == list(range(1, 81))


@only_sqlite
@pytest.mark.parametrize("logs", ["removed", "kept", "removed alone"])
def test_a_file_that_was_replaced_is_left_alone_until_the_start(
    database: Database, tmp_path: Path, logs: str
) -> None:
    """Whoever revokes a key in a file that is gone must not be told that it is revoked."""
    (file,) = tmp_path.rglob("*.db")
    database.upgrade()  # as every process that serves does; the log is there from here on
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM INTO ?", [str(tmp_path / "backup")])
    with database.read() as reading:
        assert find_account(reading, "after") is None
    if logs != "removed alone":
        (tmp_path / "backup").replace(file)
    if logs != "kept":
        for log in file.parent.glob(f"{file.name}-*"):
            log.unlink()
    for use in (database.read, database.write):
        with pytest.raises(StoreUnavailableError, match="start the server again"), use():
            pass
    database.close()
    with database.write() as writing:
        create_account(writing, "after", CLI)
    other = open_database(f"sqlite:///{file}")
    with other.read() as reading:
        assert find_account(reading, "after")
    other.close()


@only_sqlite
def test_nothing_is_written_to_a_file_that_is_gone(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        create_account(connection, "before", CLI)
    for file in tmp_path.rglob("*.db*"):
        file.unlink()
    with pytest.raises(StoreUnavailableError), database.write() as connection:
        create_account(connection, "after", CLI)
    assert not [*tmp_path.rglob("*.db")]
