"""Gateway keys of accounts, and how the gateway finds them."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import NoResultFound

from engine.accounts import keys, lookup
from engine.accounts.accounts import (
    AccountInfo,
    create_account,
    find_account,
    set_account_disabled,
)
from engine.accounts.audit import CLI, list_audit
from engine.accounts.changes import Change, read_changes, read_position
from engine.accounts.database import Database
from engine.accounts.errors import ConflictError, InvalidValueError, NotFoundError
from engine.accounts.key_limits import NO_LIMITS, KeyLimits
from engine.plan.limits import Budget, CallerLimits, Period, Rate
from tests.tables import each

NOW = 1_800_000_000


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def test_a_key_is_found_by_its_digest_and_stored_nowhere(
    store: Connection, ours: AccountInfo
) -> None:
    key, text_of_key = keys.create_key(
        store, ours.id, name=" phone ", actor=CLI, models=["gpt-*", "gpt-*"], expires_at=NOW + 5, now=NOW
    )  # fmt: skip
    found = lookup.find_keys(store, [digest(text_of_key), bytes(32)], NOW)
    assert found == {
        digest(text_of_key): lookup.KeyEntry(
            digest(text_of_key), key.id, ours.id, "phone", ("use",), ("gpt-*",), None, NOW + 5
        )
    }
    assert (key.name, key.preview) == ("phone", text_of_key[-4:])
    rows = store.execute(text("SELECT * FROM gateway_keys")).all()
    assert text_of_key.removeprefix("sk-orq-") not in repr(rows)


def test_a_key_that_is_revoked_expired_or_of_a_disabled_account_is_not_found(
    store: Connection, ours: AccountInfo
) -> None:
    revoked, first = keys.create_key(store, ours.id, name="a", actor=CLI, now=NOW)
    _, second = keys.create_key(store, ours.id, name="b", actor=CLI, expires_at=NOW + 1, now=NOW)
    _, third = keys.create_key(store, ours.id, name="c", actor=CLI, now=NOW)
    keys.revoke_key(store, ours.id, revoked.id, CLI)
    every = [digest(key) for key in (first, second, third)]
    assert set(lookup.find_keys(store, every, NOW)) == set(every[1:])
    assert set(lookup.find_keys(store, every, NOW + 1)) == set(every[2:])
    set_account_disabled(store, ours.id, CLI, is_disabled=True)
    assert lookup.find_keys(store, every, NOW) == {}
    assert lookup.all_keys(store, 10, now=NOW) == []


def test_all_keys_come_in_pages_of_which_none_repeats(store: Connection, ours: AccountInfo) -> None:
    made = {keys.create_key(store, ours.id, name=str(n), actor=CLI)[0].id for n in range(25)}
    seen: list[str] = []
    while page := lookup.all_keys(store, 10, seen[-1] if seen else None):
        seen += [entry.key_id for entry in page]
    assert len(seen) == 25
    assert set(seen) == made
    assert seen == sorted(seen, reverse=True)


@each("at", [0, lookup.BATCH - 1, lookup.BATCH, 2 * lookup.BATCH])
def test_more_digests_than_one_statement_takes(
    store: Connection, ours: AccountInfo, at: int
) -> None:
    _, key = keys.create_key(store, ours.id, name="a", actor=CLI)
    wanted = [n.to_bytes(32) for n in range(2 * lookup.BATCH)]
    wanted.insert(at, digest(key))
    assert list(lookup.find_keys(store, wanted)) == [digest(key)]


def test_names_are_those_of_the_keys_of_one_account(
    store: Connection, ours: AccountInfo, theirs: AccountInfo
) -> None:
    mine, other = (
        keys.create_key(store, a.id, name=a.name, actor=CLI)[0].id for a in (ours, theirs)
    )
    assert lookup.key_names(store, ours.id, [mine, other, "unknown"]) == {mine: ours.name}


def test_a_rotated_key_goes_on_for_its_grace_and_not_longer(
    store: Connection, ours: AccountInfo
) -> None:
    old, old_text = keys.create_key(
        store, ours.id, name="a", actor=CLI, scopes=["manage", "use"], endpoints=["e"], now=NOW
    )
    new, new_text = keys.rotate_key(store, ours.id, old.id, 60, CLI, NOW)
    assert (new.name, new.scopes, new.endpoints) == ("a", ("use", "manage"), ("e",))
    both = [digest(old_text), digest(new_text)]
    assert set(lookup.find_keys(store, both, NOW + 59)) == set(both)
    assert set(lookup.find_keys(store, both, NOW + 60)) == {both[1]}
    assert keys.get_key(store, ours.id, old.id).replaced_by == new.id
    with pytest.raises(ConflictError):
        keys.rotate_key(store, ours.id, old.id, 60, CLI, NOW)


@pytest.mark.parametrize("end", [None, NOW + 61, NOW + 1000])
@pytest.mark.parametrize("is_rotated", [True, False])
def test_no_change_lets_a_key_live_longer_that_was_rotated_or_has_expired(
    store: Connection, ours: AccountInfo, end: int | None, is_rotated: bool
) -> None:
    key, _ = keys.create_key(store, ours.id, name="a", actor=CLI, expires_at=NOW + 60, now=NOW)
    if is_rotated:
        keys.rotate_key(store, ours.id, key.id, 60, CLI, NOW)
    at = NOW if is_rotated else NOW + 60

    def change(expires_at: int | None) -> None:
        keys.update_key(
            store, ours.id, key.id, name="b", models=None, endpoints=None, actor=CLI, now=at, expires_at=expires_at
        )  # fmt: skip

    with pytest.raises(ConflictError):
        change(end)
    change(NOW + 60)
    if is_rotated:
        change(NOW + 30)


def test_grace_never_makes_a_key_live_longer(store: Connection, ours: AccountInfo) -> None:
    old, _ = keys.create_key(store, ours.id, name="a", actor=CLI, expires_at=NOW + 10, now=NOW)
    keys.rotate_key(store, ours.id, old.id, 60, CLI, NOW)
    assert keys.get_key(store, ours.id, old.id).expires_at == NOW + 10


def test_without_grace_the_old_key_ends_at_once(store: Connection, ours: AccountInfo) -> None:
    old, text_of_key = keys.create_key(store, ours.id, name="a", actor=CLI)
    keys.rotate_key(store, ours.id, old.id, 0, CLI)
    assert lookup.find_keys(store, [digest(text_of_key)]) == {}


@pytest.mark.parametrize(
    "change",
    [
        keys.get_key,
        lambda store, account, key: keys.revoke_key(store, account, key, CLI),
        lambda store, account, key: keys.rotate_key(store, account, key, 0, CLI),
        lambda store, account, key: keys.update_key(store, account, key, name="x", models=None, endpoints=None, expires_at=None, actor=CLI),
    ],
)  # fmt: skip
def test_another_account_neither_sees_nor_changes_a_key(
    store: Connection, ours: AccountInfo, theirs: AccountInfo, change: object
) -> None:
    key, text_of_key = keys.create_key(store, ours.id, name="a", actor=CLI)
    before = keys.get_key(store, ours.id, key.id)
    with pytest.raises(NotFoundError):
        change(store, theirs.id, key.id)  # type: ignore[operator]
    assert keys.get_key(store, ours.id, key.id) == before
    assert keys.list_keys(store, theirs.id) == []
    assert keys.count_keys(store, theirs.id) == 0
    assert digest(text_of_key) in lookup.find_keys(store, [digest(text_of_key)])


def test_a_list_is_searched_by_a_part_of_the_name_as_it_is_written(
    store: Connection, ours: AccountInfo
) -> None:
    for name in ("Phone", "tele%phone", "laptop"):
        keys.create_key(store, ours.id, name=name, actor=CLI)
    assert [k.name for k in keys.list_keys(store, ours.id, query="PHONE")] == [
        "tele%phone",
        "Phone",
    ]
    assert [k.name for k in keys.list_keys(store, ours.id, query="%p")] == ["tele%phone"]
    assert keys.list_keys(store, ours.id, query="_") == []
    first, *rest = keys.list_keys(store, ours.id, limit=2)
    assert keys.list_keys(store, ours.id, after=first.id)[0] == rest[0]


@each(
    "wrong",
    [
        {"name": ""}, {"name": "a" * 101}, {"name": "a\nb"}, {"name": "a\0b"}, {"name": "\ud800"},
        {"name": "a", "scopes": []}, {"name": "a", "scopes": ["root"]},
        {"name": "a", "models": []}, {"name": "a", "models": ["x" * 201]}, {"name": "a", "endpoints": [""]},
        {"name": "a", "expires_at": NOW}, {"name": "a", "expires_at": 10**30},
    ],
)  # fmt: skip
def test_unusable_values_are_refused_by_the_name_of_the_field(
    store: Connection, ours: AccountInfo, wrong: dict[str, object]
) -> None:
    with pytest.raises(InvalidValueError) as refused:
        keys.create_key(store, ours.id, actor=CLI, now=NOW, **wrong)  # type: ignore[arg-type]
    assert refused.value.field in wrong
    assert keys.count_keys(store, ours.id) == 0


def test_a_revoked_key_stays_revoked(store: Connection, ours: AccountInfo) -> None:
    key, _ = keys.create_key(store, ours.id, name="a", actor=CLI)
    revoked = keys.revoke_key(store, ours.id, key.id, CLI, NOW)
    assert keys.revoke_key(store, ours.id, key.id, CLI, NOW + 9) == revoked
    with pytest.raises(ConflictError):
        keys.rotate_key(store, ours.id, key.id, 0, CLI)
    with pytest.raises(ConflictError):
        keys.update_key(store, ours.id, key.id, name="b", models=None, endpoints=None, expires_at=None, actor=CLI)  # fmt: skip


def test_each_change_is_counted_by_its_key_and_recorded(
    store: Connection, ours: AccountInfo
) -> None:
    before = read_position(store)
    key, text_of_key = keys.create_key(store, ours.id, name="a", actor=CLI)
    keys.update_key(store, ours.id, key.id, name="b", models=["m"], endpoints=None, expires_at=None, actor=CLI)  # fmt: skip
    keys.revoke_key(store, ours.id, key.id, CLI)
    assert read_changes(store, before).entries == (Change(ours.id, digest(text_of_key)),) * 3
    recorded = list_audit(store, ours.id)
    assert sorted(entry.action for entry in recorded) == ["account.create", "key.create", "key.revoke", "key.update"]  # fmt: skip
    assert text_of_key not in repr(recorded)
    assert digest(text_of_key).hex() not in repr(recorded)


def test_a_change_of_which_no_worker_would_be_told_is_not_made(
    database: Database,
) -> None:
    """Neither is it made and reported as failed, nor made and not in force."""
    with database.write() as connection:
        ours = create_account(connection, "ours", CLI)
        key, _ = keys.create_key(connection, ours.id, name="a", actor=CLI)
        connection.execute(text("DELETE FROM change_counter"))
    rest: dict[str, Any] = {"models": None, "endpoints": None, "expires_at": None, "actor": CLI}
    changes: list[Callable[[Connection], object]] = [
        lambda c: keys.update_key(c, ours.id, key.id, name="b", **rest),
        lambda c: keys.revoke_key(c, ours.id, key.id, CLI),
        lambda c: keys.rotate_key(c, ours.id, key.id, 0, CLI),
        lambda c: keys.create_key(c, ours.id, name="c", actor=CLI),
        lambda c: set_account_disabled(c, ours.id, CLI, is_disabled=True),
    ]
    for change in changes:
        with pytest.raises(NoResultFound), database.write() as connection:
            change(connection)
        with database.read() as connection:
            assert keys.list_keys(connection, ours.id, limit=9) == [key]
            assert find_account(connection, ours.name) == ours


def test_an_imported_key_goes_on_and_is_imported_once(store: Connection, ours: AccountInfo) -> None:
    known = digest("sk-orq-known")
    key = keys.import_key(store, ours.id, name="old", sha256=known.hex(), actor=CLI, models=["m"])
    assert lookup.find_keys(store, [known])[known].key_id == key.id
    with pytest.raises(ConflictError):
        keys.import_key(store, ours.id, name="old", sha256=known.hex(), actor=CLI)


def test_a_key_needs_an_account(store: Connection) -> None:
    with pytest.raises(NotFoundError):
        keys.create_key(store, "nobody", name="a", actor=CLI)


def test_limits_of_use_reach_the_gateway_and_unusable_ones_are_refused(
    store: Connection, ours: AccountInfo
) -> None:
    limits = KeyLimits(60, weekly_token_budget=9, monthly_nano_usd_budget=5)
    key, words = keys.create_key(store, ours.id, name="a", actor=CLI, limits=limits)
    (entry,) = lookup.find_keys(store, [digest(words)]).values()
    assert entry.limits.caller_limits() == CallerLimits(
        requests=Rate(60, 60),
        budgets=(Budget(9, Period.WEEK), Budget(5, Period.MONTH, is_usd=True)),
    )
    rest: dict[str, Any] = {
        "name": "b",
        "models": None,
        "endpoints": None,
        "expires_at": None,
        "actor": CLI,
    }
    assert keys.update_key(store, ours.id, key.id, **rest).limits == limits
    assert keys.update_key(store, ours.id, key.id, limits=NO_LIMITS, **rest).limits == NO_LIMITS
    (entry,) = lookup.find_keys(store, [digest(words)]).values()
    assert entry.limits.caller_limits() is None
    for unusable in (KeyLimits(rate_limit_rpm=0), KeyLimits(daily_token_budget=10**16)):
        with pytest.raises(InvalidValueError):
            keys.create_key(store, ours.id, name="c", actor=CLI, limits=unusable)
