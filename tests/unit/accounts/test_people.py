"""People: how they sign in, what they belong to, and that nobody reaches another account."""

import threading
import time

import pytest
from sqlalchemy import Connection

from engine.accounts import members, people, sessions
from engine.accounts.accounts import (
    AccountInfo,
    create_account,
    get_account,
    list_accounts,
    rename_account,
)
from engine.accounts.audit import CLI, SYSTEM, add_entry, list_audit
from engine.accounts.database import Database
from engine.accounts.errors import ConflictError, InvalidValueError, NotFoundError
from engine.accounts.members import Role
from engine.accounts.passwords import is_password_of, needs_rehash
from engine.accounts.people import Person
from engine.accounts.start import FIRST_ACCOUNT, create_first_account
from tests.unit.accounts.all_audit import list_all_audit
from tests.unit.accounts.quick_passwords import OF_TODAY, QUICK

NOW = 1_800_000_000
PASSWORD = "correct horse battery"


@pytest.fixture
def ann(store: Connection) -> Person:
    return people.create_person(store, name="Ann", email="Ann@Example.com", actor=CLI)


@pytest.fixture
def bob(store: Connection) -> Person:
    return people.create_person(store, name="Bob", email="bob@example.com", actor=CLI)


# -- people and passwords --------------------------------------------------------------------------


def test_an_address_is_known_in_any_case_and_belongs_to_one_person(
    store: Connection, ann: Person, bob: Person
) -> None:
    assert people.find_person_by_email(store, " ann@EXAMPLE.com") == ann
    with pytest.raises(ConflictError):
        people.create_person(store, name="x", email="ANN@example.com", actor=CLI)
    with pytest.raises(ConflictError):
        people.update_person(store, bob.id, name="Bob", email="ann@example.com", actor=CLI)
    assert people.update_person(store, ann.id, name="Anna", email=ann.email, actor=CLI).name == "Anna"  # fmt: skip


@pytest.mark.parametrize("wrong", ["", "ann", "@example.com", "ann@", "a b@c.d", "a@" + "b" * 260])
def test_what_is_no_address_is_refused(store: Connection, wrong: str) -> None:
    with pytest.raises(InvalidValueError):
        people.create_person(store, name="x", email=wrong, actor=CLI)


def test_a_password_is_verified_and_only_its_hash_is_stored(store: Connection, ann: Person) -> None:
    assert people.read_password_hash(store, "ann@example.com") == (ann.id, None)
    people.set_password(store, ann.id, PASSWORD, CLI)
    found, stored = people.read_password_hash(store, "Ann@example.com")
    assert stored is not None
    assert (found, people.get_person(store, ann.id).has_password) == (ann.id, True)
    assert is_password_of(stored, PASSWORD)
    assert not is_password_of(stored, PASSWORD + "x")
    assert stored.startswith("$argon2id$")
    assert not needs_rehash(stored)
    assert PASSWORD not in repr(list_all_audit(store))
    people.set_person_disabled(store, ann.id, CLI, is_disabled=True)
    assert people.read_password_hash(store, "ann@example.com") == (None, None)


@pytest.mark.parametrize("weak", ["short", "a" * 30, "abab" * 8, "x" * 257])
def test_a_weak_password_is_refused(store: Connection, ann: Person, weak: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        people.set_password(store, ann.id, weak, CLI)
    assert weak not in str(refused.value)


def test_a_hash_costs_what_rfc_9106_recommends() -> None:
    """Its second choice: 64 MiB, three passes, four lanes."""
    hasher = OF_TODAY
    assert (hasher.memory_cost, hasher.time_cost, hasher.parallelism) == (64 * 1024, 3, 4)
    assert hasher.check_needs_rehash(QUICK.hash("x"))


def test_text_that_is_no_unicode_matches_nothing() -> None:
    assert not is_password_of(None, "\ud800")
    assert not is_password_of("no hash", PASSWORD)


def test_an_identity_belongs_to_one_person(store: Connection, ann: Person, bob: Person) -> None:
    people.link_identity(store, ann.id, "https://id.example", "42", CLI)
    assert people.find_person_by_identity(store, "https://id.example", "42") == ann
    assert people.find_person_by_identity(store, "https://other.example", "42") is None
    with pytest.raises(ConflictError):
        people.link_identity(store, bob.id, "https://id.example", "42", CLI)


def test_signing_in_is_recorded(store: Connection, ann: Person) -> None:
    people.record_sign_in(store, ann.id, "password", NOW)
    assert people.get_person(store, ann.id).signed_in_at == NOW
    assert "person.sign_in" in [entry.action for entry in list_all_audit(store)]


# -- sessions and links ----------------------------------------------------------------------------


def test_a_session_lives_while_it_is_used_and_not_beyond_its_end(
    store: Connection, ann: Person
) -> None:
    session, token = sessions.create_session(store, ann.id, user_agent="x\ny", now=NOW)
    assert sessions.find_session(store, token, NOW) == session
    assert session.user_agent == "xy"
    assert sessions.find_session(store, token + "x", NOW) is None
    assert sessions.find_session(store, token, NOW + sessions.IDLE_SECONDS) is None
    sessions.touch_session(store, session.id, NOW + sessions.SESSION_SECONDS - 1)
    assert sessions.find_session(store, token, NOW + sessions.SESSION_SECONDS - 1)
    assert sessions.find_session(store, token, NOW + sessions.SESSION_SECONDS) is None


def test_a_session_can_be_ended_by_its_person_alone(
    store: Connection, ann: Person, bob: Person
) -> None:
    session, token = sessions.create_session(store, ann.id)
    with pytest.raises(NotFoundError):
        sessions.revoke_session(store, bob.id, session.id)
    assert sessions.find_session(store, token)
    sessions.revoke_session(store, ann.id, session.id)
    assert sessions.find_session(store, token) is None


def test_all_but_one_session_are_ended(store: Connection, ann: Person, bob: Person) -> None:
    made = [sessions.create_session(store, ann.id) for _ in range(3)]
    other, _ = sessions.create_session(store, bob.id)
    link, others = (sessions.create_sign_in_link(store, who.id, CLI) for who in (ann, bob))
    assert sessions.revoke_sessions(store, ann.id, except_id=made[1][0].id) == 2
    assert sessions.use_sign_in_link(store, link) is None
    assert sessions.use_sign_in_link(store, others) == bob.id
    assert sessions.list_sessions(store, ann.id) == [made[1][0]]
    assert sessions.list_sessions(store, bob.id) == [other]


def test_a_disabled_person_has_no_session_and_no_link(store: Connection, ann: Person) -> None:
    _, token = sessions.create_session(store, ann.id)
    link = sessions.create_sign_in_link(store, ann.id, CLI)
    people.set_person_disabled(store, ann.id, CLI, is_disabled=True)
    assert sessions.find_session(store, token) is None
    assert sessions.use_sign_in_link(store, link) is None
    with pytest.raises(NotFoundError):  # their password was being compared meanwhile
        sessions.create_session(store, ann.id)


def test_a_link_signs_in_once_and_in_time(store: Connection, ann: Person) -> None:
    link = sessions.create_sign_in_link(store, ann.id, CLI, 60, NOW)
    late = sessions.create_sign_in_link(store, ann.id, CLI, 60, NOW)
    assert sessions.use_sign_in_link(store, link + "x", NOW) is None
    assert sessions.use_sign_in_link(store, link, NOW) == ann.id
    assert sessions.use_sign_in_link(store, link, NOW) is None
    assert sessions.use_sign_in_link(store, late, NOW + 60) is None


def test_of_many_who_use_a_link_at_once_one_signs_in(database: Database) -> None:
    with database.write() as store:
        person = people.create_person(store, name="Ann", email=None, actor=CLI)
        link = sessions.create_sign_in_link(store, person.id, CLI)
    used: list[str | None] = []

    def use() -> None:
        with database.write() as store:
            used.append(sessions.use_sign_in_link(store, link))

    threads = [threading.Thread(target=use) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(used, key=str) == [None, None, None, None, person.id] or used.count(person.id) == 1  # fmt: skip


# -- accounts and members --------------------------------------------------------------------------


def test_an_account_has_a_name_of_its_own(store: Connection, ours: AccountInfo, theirs: AccountInfo) -> None:  # fmt: skip
    with pytest.raises(ConflictError):
        create_account(store, " ours ", CLI)
    with pytest.raises(ConflictError):
        rename_account(store, ours.id, "theirs", CLI)
    assert rename_account(store, ours.id, "a", CLI).name == "a"
    assert [account.name for account in list_accounts(store)] == ["a", "theirs"]
    assert [account.name for account in list_accounts(store, after="a")] == ["theirs"]
    with pytest.raises(NotFoundError):
        get_account(store, "none")


def test_a_role_counts_in_its_account_alone(
    store: Connection, ours: AccountInfo, theirs: AccountInfo, ann: Person, bob: Person
) -> None:
    members.add_member(store, ours.id, ann.id, Role.OWNER, CLI)
    members.add_member(store, ours.id, bob.id, Role.VIEWER, CLI)
    members.add_member(store, theirs.id, bob.id, Role.OWNER, CLI)
    assert members.role_of(store, ours.id, bob.id) is Role.VIEWER
    assert members.role_of(store, theirs.id, ann.id) is None
    assert [(m.name, m.role) for m in members.list_members(store, ours.id)] == [("Ann", "owner"), ("Bob", "viewer")]  # fmt: skip
    assert [(a.name, r) for a, r in members.list_memberships(store, bob.id)] == [("ours", "viewer"), ("theirs", "owner")]  # fmt: skip
    with pytest.raises(NotFoundError):
        members.set_role(store, theirs.id, ann.id, Role.OWNER, CLI)
    with pytest.raises(NotFoundError):
        members.remove_member(store, theirs.id, ann.id, CLI)
    with pytest.raises(ConflictError):
        members.add_member(store, ours.id, bob.id, Role.OWNER, CLI)


def test_an_account_keeps_an_owner(
    store: Connection, ours: AccountInfo, ann: Person, bob: Person
) -> None:
    members.add_member(store, ours.id, ann.id, Role.OWNER, CLI)
    members.add_member(store, ours.id, bob.id, Role.MEMBER, CLI)
    with pytest.raises(ConflictError):
        members.set_role(store, ours.id, ann.id, Role.MEMBER, CLI)
    with pytest.raises(ConflictError):
        members.remove_member(store, ours.id, ann.id, CLI)
    members.set_role(store, ours.id, bob.id, Role.OWNER, CLI)
    members.remove_member(store, ours.id, ann.id, CLI)
    assert [m.name for m in members.list_members(store, ours.id)] == ["Bob"]


def test_an_owner_who_is_disabled_does_not_count(
    store: Connection, ours: AccountInfo, ann: Person, bob: Person
) -> None:
    """The account is left to somebody who can sign in; and who is disabled may be removed."""
    for person in (ann, bob):
        members.add_member(store, ours.id, person.id, Role.OWNER, CLI)
    people.set_person_disabled(store, bob.id, CLI, is_disabled=True)
    assert [m.is_disabled for m in members.list_members(store, ours.id)] == [False, True]
    with pytest.raises(ConflictError):
        members.set_role(store, ours.id, ann.id, Role.MEMBER, CLI)
    with pytest.raises(ConflictError):
        members.remove_member(store, ours.id, ann.id, CLI)
    members.remove_member(store, ours.id, bob.id, CLI)
    assert [m.name for m in members.list_members(store, ours.id)] == ["Ann"]


def test_of_two_owners_who_leave_at_once_one_stays(database: Database) -> None:
    with database.write() as store:
        account = create_account(store, "a", CLI)
        both = [people.create_person(store, name=n, email=None, actor=CLI) for n in "xy"]
        for person in both:
            members.add_member(store, account.id, person.id, Role.OWNER, CLI)
    failed: list[Exception] = []

    def leave(person: Person) -> None:
        try:
            with database.write() as store:
                members.remove_member(store, account.id, person.id, CLI)
        except ConflictError as error:
            failed.append(error)

    threads = [threading.Thread(target=leave, args=[person]) for person in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as store:
        assert len(members.list_members(store, account.id)) == 1
    assert len(failed) == 1


def test_no_session_begins_while_its_person_is_being_disabled(database: Database) -> None:
    with database.write() as store:
        people.create_person(store, name="operator", email=None, is_operator=True, actor=CLI)
        person = people.create_person(store, name="x", email=None, actor=CLI)
    refused: list[Exception] = []

    def sign_in() -> None:
        try:
            with database.write() as store:
                sessions.create_session(store, person.id)
        except NotFoundError as error:
            refused.append(error)

    thread = threading.Thread(target=sign_in)
    with database.write() as store:
        people.set_person_disabled(store, person.id, CLI, is_disabled=True)
        thread.start()
        time.sleep(0.2)  # until it waits for this transaction, or has not
    thread.join()
    assert len(refused) == 1


def test_an_invite_is_for_one_address_and_one_time(
    store: Connection, ours: AccountInfo, ann: Person, bob: Person
) -> None:
    invite, token = members.create_invite(store, ours.id, "ANN@example.com", Role.MEMBER, CLI, NOW)
    assert members.find_invite(store, token, NOW) == invite
    assert members.find_invite(store, token, NOW + members.INVITE_SECONDS) is None
    members.accept_invite(store, token, ann.id, CLI, NOW)
    assert members.role_of(store, ours.id, ann.id) is Role.MEMBER
    with pytest.raises(NotFoundError):
        members.accept_invite(store, token, ann.id, CLI, NOW)


def test_an_invite_of_somebody_else_is_not_accepted(
    database: Database,
) -> None:
    with database.write() as store:
        account = create_account(store, "a", CLI)
        bob = people.create_person(store, name="Bob", email="bob@example.com", actor=CLI)
        invite, token = members.create_invite(store, account.id, "ann@example.com", Role.OWNER, CLI)
    with pytest.raises(InvalidValueError), database.write() as store:
        members.accept_invite(store, token, bob.id, CLI)
    with database.read() as store:
        assert members.role_of(store, account.id, bob.id) is None
        assert members.list_invites(store, account.id) == [invite]


def test_an_invite_is_withdrawn_by_its_account_alone(
    store: Connection, ours: AccountInfo, theirs: AccountInfo
) -> None:
    members.create_invite(store, ours.id, "a@b.c", Role.MEMBER, CLI)
    new, token = members.create_invite(store, ours.id, "a@b.c", Role.VIEWER, CLI)
    assert members.list_invites(store, ours.id) == [new]
    assert members.list_invites(store, theirs.id) == []
    with pytest.raises(NotFoundError):
        members.withdraw_invite(store, theirs.id, new.id, CLI)
    members.withdraw_invite(store, ours.id, new.id, CLI)
    assert members.find_invite(store, token) is None


# -- the first start, and the audit log ------------------------------------------------------------


def test_the_first_start_makes_an_operator_who_can_sign_in_once(store: Connection) -> None:
    link = create_first_account(store)
    assert link is not None
    assert create_first_account(store) is None
    person_id = sessions.use_sign_in_link(store, link)
    assert person_id is not None
    person = people.get_person(store, person_id)
    assert (person.is_operator, person.has_password) == (True, False)
    assert [(a.name, r) for a, r in members.list_memberships(store, person_id)] == [(FIRST_ACCOUNT, Role.OWNER)]  # fmt: skip
    assert link not in repr(list_all_audit(store))


def test_of_many_servers_that_start_first_at_once_one_makes_the_operator(
    database: Database,
) -> None:
    made: list[str | None] = []

    def start() -> None:
        with database.write() as store:
            made.append(create_first_account(store))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert sum(link is not None for link in made) == 1


def test_an_account_sees_its_own_audit_log_in_pages(
    store: Connection, ours: AccountInfo, theirs: AccountInfo
) -> None:
    for n in range(5):
        add_entry(store, ours.id, CLI, "test", str(n), {"n": n})
        add_entry(store, theirs.id, SYSTEM, "test", "theirs")
        time.sleep(0.002)  # ids of one millisecond have no order
    first = list_audit(store, ours.id, limit=3)
    assert [entry.detail.get("n") for entry in first] == [4, 3, 2]
    rest = list_audit(store, ours.id, before=first[-1].id)
    assert [entry.target for entry in rest] == ["1", "0", "ours"]
    assert len(list_all_audit(store)) == 12
