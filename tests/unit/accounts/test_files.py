"""What somebody who copies the files of SQLite gets: no secret, neither from the file nor from its log or a backup."""

import sqlite3
from pathlib import Path

import pytest

from engine.accounts.accounts import create_account
from engine.accounts.audit import CLI
from engine.accounts.database import open_database
from engine.accounts.keys import create_key, rotate_key
from engine.accounts.members import Role, create_invite
from engine.accounts.people import create_person, set_password
from engine.accounts.provider_keys import delete_provider_key, rotate_vault_key, save_provider_key
from engine.accounts.sessions import create_session, create_sign_in_link
from engine.accounts.vault import Vault
from tests.unit.accounts.conftest import ELSEWHERE
from tests.unit.accounts.vault_keys import vault_key

pytestmark = pytest.mark.skipif(bool(ELSEWHERE), reason="about files of SQLite")
PASSWORD = "canary-password-of-ann"
PROVIDER_KEYS = [f"canary-provider-key-{n}-{'x' * n}" for n in range(40)]


def fill(folder: Path) -> list[str]:
    """A store with one of each secret; the secrets."""
    database = open_database(f"sqlite:///{folder / 'store.db'}")
    database.upgrade()
    old, new = vault_key(), vault_key()
    with database.write() as store:
        account = create_account(store, "a", CLI)
        key, first = create_key(store, account.id, name="k", actor=CLI)
        _, second = rotate_key(store, account.id, key.id, 60, CLI)
        person = create_person(store, name="Ann", email="a@b.c", actor=CLI)
        set_password(store, person.id, PASSWORD, CLI)
        tokens = [
            create_session(store, person.id)[1],
            create_sign_in_link(store, person.id, CLI),
            create_invite(store, account.id, "x@y.z", Role.OWNER, CLI)[1],
        ]
    for n, value in enumerate(PROVIDER_KEYS):
        with database.write() as store:
            save_provider_key(store, Vault([old]), account.id, f"p{n % 10}", {"key": value}, CLI)
    with database.write() as store:
        rotate_vault_key(store, Vault([new, old]), CLI)
        delete_provider_key(store, account.id, "p1", CLI)
    keys = [first, second, first.removeprefix("sk-orq-"), second.removeprefix("sk-orq-")]
    masters = [form for key in (old, new) for form in (key.secret.hex(), key.secret.decode("latin-1"))]  # fmt: skip
    with sqlite3.connect(folder / "backup.db") as backup, sqlite3.connect(folder / "store.db") as source:  # fmt: skip
        source.backup(backup)
    backup.close()
    source.close()
    return [*PROVIDER_KEYS, *keys, *tokens, *masters, PASSWORD]


def test_no_file_holds_a_secret(tmp_path: Path) -> None:
    secrets = fill(tmp_path)
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(files) == {"store.db", "store.db-wal", "store.db-shm", "backup.db"}
    assert len(files["store.db-wal"]) > 100_000  # it has seen each of them
    # Without zeros a text in UTF-16 is the same as in one byte a character, and empty pages are nothing.
    dense = {name: data.replace(b"\0", b"") for name, data in files.items()}
    found = [
        (name, secret[:12])
        for name, data in dense.items()
        for secret in secrets
        if secret.encode("latin-1").replace(b"\0", b"") in data
    ]
    assert found == []
    assert b"a@b.c" in files["store.db-wal"]  # what is no secret is found this way
