"""Provider keys and the vault that encrypts them, and what somebody who writes to the database can do."""

import secrets

import pytest
from sqlalchemy import Connection, text

from engine.accounts import provider_keys as saved
from engine.accounts.accounts import AccountInfo
from engine.accounts.audit import CLI, list_audit
from engine.accounts.changes import Change, read_changes, read_position
from engine.accounts.errors import InvalidValueError, NotFoundError, VaultError
from engine.accounts.tables import metadata
from engine.accounts.vault import SecretPlace, Vault, preview
from tests.tables import each
from tests.unit.accounts.all_audit import list_all_audit
from tests.unit.accounts.vault_keys import vault_key

SECRET = "a-secret-of-a-provider-1234"


def save(store: Connection, vault: Vault, account: AccountInfo, **values: str) -> None:
    saved.save_provider_key(store, vault, account.id, "acme", values or {"key": SECRET}, CLI)


def read(store: Connection, vault: Vault, *accounts: AccountInfo) -> dict[str, dict[str, str]]:
    found = saved.read_provider_keys(store, vault, [account.id for account in accounts])
    return {account.name: found.get(account.id, {}).get("acme", {}) for account in accounts}


@each(("length", "shown"), [(11, ""), (12, "xxxx")])
def test_a_preview_is_a_third_of_a_secret_at_most(length: int, shown: str) -> None:
    assert preview("x" * length) == shown


def test_what_is_saved_is_read_by_its_account_alone(
    store: Connection, vault: Vault, ours: AccountInfo, theirs: AccountInfo
) -> None:
    save(store, vault, ours, id="short", secret=f" {SECRET}\n")
    assert read(store, vault, ours, theirs) == {"ours": {"id": "short", "secret": SECRET}, "theirs": {}}  # fmt: skip
    (info,) = saved.list_provider_keys(store, ours.id)
    assert {name: field.preview for name, field in info.fields.items()} == {"id": "", "secret": "1234"}  # fmt: skip
    assert saved.list_provider_keys(store, theirs.id) == []
    with pytest.raises(NotFoundError):
        saved.delete_provider_key(store, theirs.id, "acme", CLI)
    assert read(store, vault, ours)["ours"]


def test_saving_again_replaces_all_of_it(
    store: Connection, vault: Vault, ours: AccountInfo
) -> None:
    save(store, vault, ours, id="one", secret="two")
    save(store, vault, ours, key="three")
    assert read(store, vault, ours) == {"ours": {"key": "three"}}
    saved.delete_provider_key(store, ours.id, "acme", CLI)
    assert read(store, vault, ours) == {"ours": {}}


def test_each_change_is_counted_and_recorded_without_the_secret(
    store: Connection, vault: Vault, ours: AccountInfo
) -> None:
    before = read_position(store)
    save(store, vault, ours)
    save(store, vault, ours)
    saved.delete_provider_key(store, ours.id, "acme", CLI)
    assert read_changes(store, before).entries == (Change(ours.id),) * 3
    recorded = list_audit(store, ours.id)
    actions = ["provider_key.delete", "provider_key.replace", "provider_key.save"]
    assert sorted(entry.action for entry in recorded)[1:] == actions
    assert SECRET[-4:] not in repr(recorded)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("ours", "acme", "key"), ("theirs", "acme", "key")),
        (("ours", "acme", "key"), ("ours", "other", "key")),
        (("ours", "acme", "key"), ("ours", "acme", "second")),
    ],
)
def test_rows_that_were_swapped_cannot_be_decrypted(
    store: Connection,
    vault: Vault,
    ours: AccountInfo,
    theirs: AccountInfo,
    first: tuple[str, str, str],
    second: tuple[str, str, str],
) -> None:
    ids = {"ours": ours.id, "theirs": theirs.id}
    for account, provider in {first[:2], second[:2]}:
        fields = [place[2] for place in (first, second) if place[:2] == (account, provider)]
        values = {field: f"{SECRET}-{account}-{provider}-{field}" for field in fields}
        saved.save_provider_key(store, vault, ids[account], provider, values, CLI)
    assert saved.find_damaged(store, vault) == []
    _swap(store, *((ids[account], provider, field) for account, provider, field in (first, second)))
    assert {(d.account_id, d.provider, d.field) for d in saved.find_damaged(store, vault)} == {
        (ids[account], provider, field) for account, provider, field in (first, second)
    }
    read = saved.read_provider_keys(store, vault, ids.values())
    assert {(ids[account], provider) for account, provider, _ in (first, second)} == {
        (account_id, provider) for account_id in read for provider in read[account_id]
    }
    assert not any(values for providers in read.values() for values in providers.values())


def _swap(store: Connection, *places: tuple[str, str, str]) -> None:
    """Give each of two rows the encrypted columns of the other."""
    columns = ["vault_key_id", "wrap_nonce", "wrapped_key", "nonce", "ciphertext"]
    where = "WHERE account_id = :a AND provider = :p AND field = :f"
    names = [dict(zip("apf", place, strict=True)) for place in places]
    rows = [
        store.execute(text(f"SELECT {', '.join(columns)} FROM provider_keys {where}"), name).one()
        for name in names
    ]
    settings = ", ".join(f"{column} = :{column}" for column in columns)
    for name, row in zip(names, reversed(rows), strict=True):
        values = dict(zip(columns, row, strict=True)) | name
        store.execute(text(f"UPDATE provider_keys SET {settings} {where}"), values)


@pytest.mark.parametrize("column", ["wrap_nonce", "wrapped_key", "nonce", "ciphertext"])
def test_a_row_that_was_changed_cannot_be_decrypted(
    store: Connection, vault: Vault, ours: AccountInfo, column: str
) -> None:
    save(store, vault, ours)
    value = bytearray(store.execute(text(f"SELECT {column} FROM provider_keys")).scalar_one())
    value[-1] ^= 1
    store.execute(text(f"UPDATE provider_keys SET {column} = :v"), {"v": bytes(value)})
    assert read(store, vault, ours) == {"ours": {}}


def test_an_older_version_of_a_value_does_not_fit_a_newer_row(
    store: Connection, vault: Vault, ours: AccountInfo
) -> None:
    save(store, vault, ours)
    columns = "vault_key_id, wrap_nonce, wrapped_key, nonce, ciphertext"
    old = store.execute(text(f"SELECT {columns} FROM provider_keys")).mappings().one()
    save(store, vault, ours, key="a-newer-secret")
    settings = ", ".join(f"{name} = :{name}" for name in columns.split(", "))
    store.execute(text(f"UPDATE provider_keys SET {settings}"), dict(old))
    assert read(store, vault, ours) == {"ours": {}}


def test_a_set_with_one_broken_value_is_no_credential(
    store: Connection, vault: Vault, ours: AccountInfo
) -> None:
    save(store, vault, ours, id="one", secret="two")
    store.execute(text("UPDATE provider_keys SET version = 9 WHERE field = 'id'"))
    assert read(store, vault, ours) == {"ours": {}}


# -- several vault keys ----------------------------------------------------------------------------


def test_any_vault_key_decrypts_and_the_first_encrypts(
    store: Connection, ours: AccountInfo, theirs: AccountInfo
) -> None:
    old, new = vault_key(), vault_key()
    save(store, Vault([old]), ours)
    both = Vault([new, old])
    save(store, both, theirs)
    assert read(store, both, ours, theirs) == {"ours": {"key": SECRET}, "theirs": {"key": SECRET}}
    assert read(store, Vault([new]), ours, theirs) == {"ours": {}, "theirs": {"key": SECRET}}


def test_rotating_makes_the_older_vault_key_needless(store: Connection, ours: AccountInfo) -> None:
    old, new = vault_key(), vault_key()
    save(store, Vault([old]), ours, key=SECRET, other="value")
    with pytest.raises(VaultError, match=old.id):
        saved.check_vault(store, Vault([new]))
    both = Vault([new, old])
    assert saved.rotate_vault_key(store, both, CLI) == 2
    assert saved.rotate_vault_key(store, both, CLI) == 0
    alone = Vault([new])
    saved.check_vault(store, alone)
    assert saved.find_damaged(store, alone) == []
    assert read(store, alone, ours) == {"ours": {"key": SECRET, "other": "value"}}
    assert saved.count_by_vault_key(store) == {new.id: 2}
    (info,) = saved.list_provider_keys(store, ours.id)
    assert info.fields["key"].fingerprint == alone.fingerprint(SECRET)
    assert [e.action for e in list_all_audit(store)].count("vault.rotate") == 1
    encrypted = {t.name for t in metadata.tables.values() if "vault_key_id" in t.columns}
    assert encrypted == {"provider_keys"}, "rotation has to know each table with secrets"


def test_rotating_without_the_older_key_changes_nothing(
    store: Connection, ours: AccountInfo
) -> None:
    old, new = vault_key(), vault_key()
    save(store, Vault([old]), ours)
    with pytest.raises(VaultError):
        saved.rotate_vault_key(store, Vault([new]), CLI)
    assert read(store, Vault([old]), ours) == {"ours": {"key": SECRET}}


# -- the vault alone -------------------------------------------------------------------------------


def test_equal_secrets_are_encrypted_differently_and_recognized(vault: Vault) -> None:
    bound = SecretPlace("a", "p", "f", 1)
    first, second = vault.seal(SECRET, bound), vault.seal(SECRET, bound)
    assert first.ciphertext != second.ciphertext
    assert first.wrapped_key != second.wrapped_key
    assert vault.fingerprint(SECRET) == vault.fingerprint(SECRET) != vault.fingerprint(SECRET + "x")
    assert Vault([vault_key()]).fingerprint(SECRET) != vault.fingerprint(SECRET)


@pytest.mark.parametrize(
    "other",
    [SecretPlace("a", "p", "fx", 1), SecretPlace("ap", "", "fx", 1), SecretPlace("a", "pf", "x", 1), SecretPlace("a", "p", "f", 11)],
)  # fmt: skip
def test_places_whose_parts_run_together_are_different(vault: Vault, other: SecretPlace) -> None:
    sealed = vault.seal(SECRET, SecretPlace("a", "pfx", "", 1))
    with pytest.raises(VaultError):
        vault.open(sealed, other)
    with pytest.raises(VaultError):
        vault.rewrap(sealed, other)


def test_a_vault_needs_a_key_and_shows_none() -> None:
    with pytest.raises(VaultError):
        Vault([])
    key = vault_key()
    vault = Vault([key])
    sealed = vault.seal(SECRET, SecretPlace("a", "p", "f", 1))
    assert key.secret.hex() not in repr((key, vault, sealed, vars(vault)))
    assert SECRET not in repr(sealed)
    assert repr(sealed.ciphertext) not in repr(sealed)


@pytest.mark.parametrize(
    "wrong", [{}, {"key": ""}, {"key": "a\0b"}, {"key": "x" * 65_537}, {"": "hidden"}, {"a\nb": "hidden"}, {"key": "\ud800"}]
)  # fmt: skip
def test_unusable_values_are_refused_and_not_quoted(
    store: Connection, vault: Vault, ours: AccountInfo, wrong: dict[str, str]
) -> None:
    with pytest.raises(InvalidValueError) as refused:
        saved.save_provider_key(store, vault, ours.id, "acme", wrong, CLI)
    assert not any(value and value in str(refused.value) for value in wrong.values())
    assert saved.list_provider_keys(store, ours.id) == []


def test_a_long_value_of_several_lines_is_kept_as_it_is(
    store: Connection, vault: Vault, ours: AccountInfo
) -> None:
    document = '{\r\n\t"private_key": "' + secrets.token_hex(4000) + '€"\n}'
    save(store, vault, ours, file=document)
    assert read(store, vault, ours) == {"ours": {"file": document}}


def test_a_provider_key_needs_an_account(store: Connection, vault: Vault) -> None:
    with pytest.raises(NotFoundError):
        saved.save_provider_key(store, vault, "nobody", "acme", {"key": "v"}, CLI)
