"""Who belongs to which account in which role, and the invites to it.

`owner` manages people too, `member` keys and provider keys, `viewer` only sees.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from engine.accounts.accounts import AccountInfo, account_of, get_account
from engine.accounts.audit import Actor, add_entry
from engine.accounts.errors import ConflictError, InvalidValueError, NotFoundError
from engine.accounts.people import checked_email, get_person
from engine.accounts.tables import accounts, invites, members, people
from engine.accounts.tokens import new_token, token_digest
from engine.accounts.values import new_id, second

INVITE_SECONDS = 7 * 86400
_MEMBERS = members.c
_INVITES = invites.c


class Role(StrEnum):
    OWNER = "owner"
    MEMBER = "member"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Member:
    """A person in an account."""

    person_id: str
    name: str
    email: str | None
    role: Role
    signed_in_at: int | None
    is_disabled: bool


@dataclass(frozen=True, slots=True)
class Invite:
    """An invite that nobody has accepted yet."""

    id: str
    account_id: str
    email: str
    role: Role
    created_at: int
    expires_at: int


def add_member(  # noqa: PLR0913, PLR0917 the row, and who adds it
    connection: Connection,
    account_id: str,
    person_id: str,
    role: Role,
    actor: Actor,
    now: float | None = None,
) -> None:
    """Let a person into an account.

    Raises:
        ConflictError: they belong to it already.
        NotFoundError: there is no such account or person.
    """
    get_account(connection, account_id)
    person = get_person(connection, person_id)
    if role_of(connection, account_id, person_id) is not None:
        raise ConflictError("the person belongs to the account already")
    row = {"account_id": account_id, "person_id": person_id, "role": str(role), "created_at": second(now)}  # fmt: skip
    connection.execute(insert(members).values(row))
    add_entry(connection, account_id, actor, "member.add", person.name, {"role": role}, now)


def role_of(connection: Connection, account_id: str, person_id: str) -> Role | None:
    """The role of a person in an account; None outside of it."""
    where = (_MEMBERS.account_id == account_id, _MEMBERS.person_id == person_id)
    role = connection.execute(select(_MEMBERS.role).where(*where)).scalar_one_or_none()
    return None if role is None else Role(role)


def list_members(connection: Connection, account_id: str) -> list[Member]:
    """The people of an account, by their names."""
    person = people.c
    columns = person.id, person.name, person.email, _MEMBERS.role, person.signed_in_at
    wanted = (
        select(*columns, person.is_disabled)
        .join_from(members, people)
        .where(_MEMBERS.account_id == account_id)
        .order_by(person.name, person.id)
    )
    return [
        Member(person_id, name, email, Role(role), seen, is_disabled)
        for person_id, name, email, role, seen, is_disabled in connection.execute(wanted)
    ]


def list_memberships(connection: Connection, person_id: str) -> list[tuple[AccountInfo, Role]]:
    """The accounts of a person, by their names, each with the role there."""
    wanted = (
        select(accounts, _MEMBERS.role)
        .join_from(members, accounts)
        .where(_MEMBERS.person_id == person_id)
        .order_by(accounts.c.name)
    )
    return [(account_of(row), Role(row[-1])) for row in connection.execute(wanted)]


def accounts_without_owner(connection: Connection, person_id: str) -> list[str]:
    """The names of the accounts that have no owner who may sign in while this person may not."""
    return [
        account.name
        for account, role in list_memberships(connection, person_id)
        if role is Role.OWNER and not _has_other_owner(connection, account.id, person_id)
    ]


def set_role(
    connection: Connection, account_id: str, person_id: str, role: Role, actor: Actor
) -> None:
    """Give a person of an account another role.

    Raises:
        NotFoundError: they do not belong to it.
        ConflictError: nobody would be its owner.
    """
    before = _changing(connection, account_id, person_id, is_owner=role is Role.OWNER)
    where = (_MEMBERS.account_id == account_id, _MEMBERS.person_id == person_id)
    connection.execute(update(members).where(*where).values(role=str(role)))
    name = get_person(connection, person_id).name
    add_entry(connection, account_id, actor, "member.role", name, {"from": before, "to": role})


def remove_member(connection: Connection, account_id: str, person_id: str, actor: Actor) -> None:
    """Take a person out of an account; their keys stay.

    Raises:
        NotFoundError: they do not belong to it.
        ConflictError: nobody would be its owner.
    """
    before = _changing(connection, account_id, person_id, is_owner=False)
    where = (_MEMBERS.account_id == account_id, _MEMBERS.person_id == person_id)
    connection.execute(delete(members).where(*where))
    name = get_person(connection, person_id).name
    add_entry(connection, account_id, actor, "member.remove", name, {"role": before})


def _changing(connection: Connection, account_id: str, person_id: str, *, is_owner: bool) -> Role:
    """The present role of a member whose role is about to change; the account's rows are locked."""
    locked = select(_MEMBERS.person_id).where(_MEMBERS.account_id == account_id).with_for_update()
    connection.execute(locked).all()
    before = role_of(connection, account_id, person_id)
    if before is None:
        raise NotFoundError("the person does not belong to the account")
    if (
        before is Role.OWNER
        and not is_owner
        and not _has_other_owner(connection, account_id, person_id)
    ):
        raise ConflictError("an account needs an owner who may sign in")
    return before


def _has_other_owner(connection: Connection, account_id: str, person_id: str) -> bool:
    """Whether an owner other than this person may sign in."""
    others = (
        select(_MEMBERS.person_id)
        .join_from(members, people)
        .where(
            _MEMBERS.account_id == account_id,
            _MEMBERS.role == str(Role.OWNER),
            _MEMBERS.person_id != person_id,
            people.c.is_disabled.is_(False),
        )
    )
    return connection.execute(others).first() is not None


def create_invite(  # noqa: PLR0913, PLR0917 the row, and who invites
    connection: Connection,
    account_id: str,
    email: str,
    role: Role,
    actor: Actor,
    now: float | None = None,
) -> tuple[Invite, str]:
    """An invite to an account, and its token, which exists nowhere else; an older one to the same address ends.

    Raises:
        InvalidValueError: the address is none.
        NotFoundError: there is no such account.
    """
    get_account(connection, account_id)
    email, at, token = checked_email(email), second(now), new_token()
    same = (_INVITES.account_id == account_id, _INVITES.email == email)
    connection.execute(delete(invites).where(*same))
    invite = Invite(new_id(), account_id, email, role, at, at + INVITE_SECONDS)
    row = {"id": invite.id, "account_id": account_id, "email": email, "role": str(role)}
    row |= {"created_at": at, "expires_at": invite.expires_at, "token_digest": token_digest(token)}  # type: ignore[dict-item]
    connection.execute(insert(invites).values(row))
    add_entry(connection, account_id, actor, "invite.create", email, {"role": role}, now)
    return invite, token


def list_invites(connection: Connection, account_id: str, now: float | None = None) -> list[Invite]:
    """The invites of an account that can still be accepted, newest first."""
    where = (_INVITES.account_id == account_id, _INVITES.expires_at > second(now))
    wanted = select(invites).where(*where).order_by(_INVITES.id.desc())
    return [_invite(row) for row in connection.execute(wanted)]


def withdraw_invite(connection: Connection, account_id: str, invite_id: str, actor: Actor) -> None:
    """End an invite.

    Raises:
        NotFoundError: the account has no such invite.
    """
    where = (_INVITES.account_id == account_id, _INVITES.id == invite_id)
    email = connection.execute(delete(invites).where(*where).returning(_INVITES.email)).scalar()
    if email is None:
        raise NotFoundError("the account has no such invite")
    add_entry(connection, account_id, actor, "invite.withdraw", email)


def find_invite(connection: Connection, token: str, now: float | None = None) -> Invite | None:
    """The invite of a token, as long as it can be accepted."""
    where = (_INVITES.token_digest == token_digest(token), _INVITES.expires_at > second(now))
    row = connection.execute(select(invites).where(*where)).one_or_none()
    return None if row is None else _invite(row)


def accept_invite(
    connection: Connection, token: str, person_id: str, actor: Actor, now: float | None = None
) -> Invite:
    """Let a person into the account of an invite, which ends; a member stays in their role.

    Raises:
        NotFoundError: there is no such invite, or it has ended.
        InvalidValueError: it was for another address.
    """
    invite = find_invite(connection, token, now)
    if (
        invite is None
        or not connection.execute(delete(invites).where(_INVITES.id == invite.id)).rowcount
    ):
        raise NotFoundError("there is no such invite, or it has ended")
    if get_person(connection, person_id).email != invite.email:
        raise InvalidValueError("email", "is not the address that was invited")
    add_entry(connection, invite.account_id, actor, "invite.accept", invite.email, now=now)
    if role_of(connection, invite.account_id, person_id) is None:
        add_member(connection, invite.account_id, person_id, invite.role, actor, now)
    return invite


def _invite(row: Row[Any]) -> Invite:
    return Invite(row.id, row.account_id, row.email, Role(row.role), row.created_at, row.expires_at)
