"""A store for each test: SQLite, or a schema of the PostgreSQL that ORQEN_TEST_DATABASE names."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from engine.accounts.accounts import AccountInfo, create_account
from engine.accounts.audit import CLI
from engine.accounts.database import Database, open_database
from engine.accounts.vault import Vault
from tests.unit.accounts import quick_statements
from tests.unit.accounts.quick_passwords import quick_passwords
from tests.unit.accounts.vault_keys import vault_key

__all__ = ["quick_passwords", "quick_statements"]
ELSEWHERE = os.environ.get("ORQEN_TEST_DATABASE", "")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    if not ELSEWHERE:
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    schema = f"test_{uuid.uuid4().hex}"
    admin = create_engine(ELSEWHERE.replace("postgresql://", "postgresql+psycopg://", 1))
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield f"{ELSEWHERE}?options=-csearch_path%3D{schema}"
    with admin.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    admin.dispose()


@pytest.fixture(scope="session")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and nothing in them: to copy it costs a hundredth of an upgrade."""
    path = tmp_path_factory.mktemp("upgraded") / "store.db"
    database = open_database(f"sqlite:///{path}")
    database.upgrade()
    database.close()
    return path


@pytest.fixture
def database(url: str, upgraded: Path) -> Iterator[Database]:
    database = open_database(url)
    if ELSEWHERE:
        database.upgrade()
    else:
        shutil.copy(upgraded, url.removeprefix("sqlite:///"))
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> Iterator[Connection]:
    """One transaction for a whole test."""
    with database.write() as connection:
        yield connection


@pytest.fixture
def ours(store: Connection) -> AccountInfo:
    return create_account(store, "ours", CLI)


@pytest.fixture
def theirs(store: Connection) -> AccountInfo:
    return create_account(store, "theirs", CLI)


@pytest.fixture(scope="session")
def vault() -> Vault:
    return Vault([vault_key()])
