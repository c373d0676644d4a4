"""People: who signs in, and what they may do in which account.

A person who `is_operator` sees all accounts and the configuration; the first person is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from engine.accounts.audit import Actor, ActorKind, add_entry
from engine.accounts.errors import ConflictError, InvalidValueError, NotFoundError
from engine.accounts.passwords import checked_password, hash_password
from engine.accounts.tables import identities, people
from engine.accounts.values import checked_text, new_id, second

MAX_EMAIL = 254
_PEOPLE = people.c


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in. `email` is in lower case; None for the first person at first."""

    id: str
    name: str
    email: str | None
    has_password: bool
    is_operator: bool
    is_disabled: bool
    created_at: int
    signed_in_at: int | None


def checked_email(email: str) -> str:
    """The address in lower case.

    Raises:
        InvalidValueError: it is none.
    """
    email = checked_text(email, "email", MAX_EMAIL).lower()
    local, at, domain = email.rpartition("@")
    if not (local and at and domain) or " " in email or '"' in email:
        raise InvalidValueError("email", "is not an address such as name@example.com")
    return email


def create_person(  # noqa: PLR0913 one parameter a column
    connection: Connection,
    *,
    name: str,
    email: str | None,
    actor: Actor,
    is_operator: bool = False,
    now: float | None = None,
) -> Person:
    """A person without password, identity and membership.

    Raises:
        ConflictError: another has that address.
        InvalidValueError: the name or the address is unusable.
    """
    values: dict[str, Any] = {
        "id": new_id(),
        "name": checked_text(name, "name"),
        "email": None if email is None else checked_email(email),
        "is_operator": is_operator,
        "is_disabled": False,
        "created_at": second(now),
    }
    _refuse_taken(connection, values["email"], None)
    connection.execute(insert(people).values(values))
    add_entry(connection, None, actor, "person.create", values["name"], {"id": values["id"]}, now)
    return get_person(connection, values["id"])


def get_person(connection: Connection, person_id: str) -> Person:
    """The person with this id.

    Raises:
        NotFoundError: there is none.
    """
    return _person(_row(connection, person_id))


def find_person_by_email(connection: Connection, email: str) -> Person | None:
    """Whoever has this address, in any case of its letters."""
    row = connection.execute(select(people).where(_PEOPLE.email == email.strip().lower()))
    found = row.one_or_none()
    return None if found is None else _person(found)


def list_emails(connection: Connection, limit: int) -> list[str]:
    """The addresses of people, in their order. For operators alone."""
    wanted = select(_PEOPLE.email).where(_PEOPLE.email.is_not(None)).order_by(_PEOPLE.email)
    return [str(email) for email in connection.execute(wanted.limit(limit)).scalars()]


def find_operator(connection: Connection) -> Person | None:
    """The first person who is an operator and may sign in."""
    where = (_PEOPLE.is_operator.is_(True), _PEOPLE.is_disabled.is_(False))
    row = connection.execute(
        select(people).where(*where).order_by(_PEOPLE.id).limit(1)
    ).one_or_none()
    return None if row is None else _person(row)


def count_people(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(people)).scalar_one())


def update_person(
    connection: Connection, person_id: str, *, name: str, email: str | None, actor: Actor
) -> Person:
    """Give a person another name and address.

    Raises:
        ConflictError, InvalidValueError, NotFoundError
    """
    checked = None if email is None else checked_email(email)
    _refuse_taken(connection, checked, person_id)
    _update(connection, person_id, {"name": checked_text(name, "name"), "email": checked})
    person = get_person(connection, person_id)
    add_entry(connection, None, actor, "person.update", person.name, {"id": person_id})
    return person


def set_person_disabled(
    connection: Connection, person_id: str, actor: Actor, *, is_disabled: bool
) -> Person:
    """Keep a person from signing in, or let them in again. Their sessions are not valid meanwhile.

    Raises:
        ConflictError: no operator could sign in.
        NotFoundError: there is no such person.
    """
    if is_disabled:
        operators = (_PEOPLE.is_operator.is_(True), _PEOPLE.is_disabled.is_(False))
        wanted = select(_PEOPLE.id).where(*operators).order_by(_PEOPLE.id).with_for_update()
        if connection.execute(wanted).scalars().all() == [person_id]:
            raise ConflictError("no other operator may sign in")
    _update(connection, person_id, {"is_disabled": is_disabled})
    person = get_person(connection, person_id)
    action = "person.disable" if is_disabled else "person.enable"
    add_entry(connection, None, actor, action, person.name, {"id": person_id})
    return person


def set_password(connection: Connection, person_id: str, password: str, actor: Actor) -> None:
    """Store the hash of a new password. The caller ends the other sessions of the person.

    Raises:
        InvalidValueError: it is too short, too long or too simple.
        NotFoundError: there is no such person.
    """
    _update(connection, person_id, {"password_hash": hash_password(checked_password(password))})
    person = get_person(connection, person_id)
    add_entry(connection, None, actor, "person.password", person.name, {"id": person_id})


def read_password_hash(connection: Connection, email: str) -> tuple[str | None, str | None]:
    """The id and the password hash of the person with this address; None for what there is not.

    Disabled people count as unknown. Compare with `passwords.is_password_of` after the connection is closed: that is slow.
    """
    wanted = select(_PEOPLE.id, _PEOPLE.password_hash).where(
        _PEOPLE.email == email.strip().lower(), _PEOPLE.is_disabled.is_(False)
    )
    row = connection.execute(wanted).one_or_none()
    return (None, None) if row is None else (row.id, row.password_hash)


def renew_password_hash(connection: Connection, person_id: str, old: str, new: str) -> None:
    """Replace the hash of a password by a stronger one of the same password, unless it was changed meanwhile."""
    where = (_PEOPLE.id == person_id, _PEOPLE.password_hash == old)
    connection.execute(update(people).where(*where).values(password_hash=new))


def record_sign_in(
    connection: Connection, person_id: str, method: str, now: float | None = None
) -> None:
    """Record that a person has signed in, by `method` (`password`, `link`, `oidc`)."""
    _update(connection, person_id, {"signed_in_at": second(now)})
    person = get_person(connection, person_id)
    actor = Actor(ActorKind.PERSON, person_id, person.name)
    add_entry(connection, None, actor, "person.sign_in", person.name, {"method": method}, now)


def link_identity(  # noqa: PLR0913, PLR0917 the parts of an identity, and who links it
    connection: Connection,
    person_id: str,
    issuer: str,
    subject: str,
    actor: Actor,
    now: float | None = None,
) -> None:
    """Let a person sign in by an identity of an OpenID Connect provider.

    Raises:
        ConflictError: it belongs to a person already.
        NotFoundError: there is no such person.
    """
    person = get_person(connection, person_id)
    if find_person_by_identity(connection, issuer, subject) is not None:
        raise ConflictError("that identity belongs to a person already")
    row = {"issuer": checked_text(issuer, "issuer", 500), "subject": checked_text(subject, "subject", 255)}  # fmt: skip
    row |= {"person_id": person_id, "created_at": second(now)}  # type: ignore[dict-item]
    connection.execute(insert(identities).values(row))
    add_entry(connection, None, actor, "person.identity", person.name, {"issuer": issuer}, now)


def find_person_by_identity(connection: Connection, issuer: str, subject: str) -> Person | None:
    """The person to whom an OpenID Connect identity was linked."""
    where = (identities.c.issuer == issuer, identities.c.subject == subject)
    row = connection.execute(select(people).join_from(people, identities).where(*where))
    found = row.one_or_none()
    return None if found is None else _person(found)


def _refuse_taken(connection: Connection, email: str | None, own_id: str | None) -> None:
    known = None if email is None else find_person_by_email(connection, email)
    if known is not None and known.id != own_id:
        raise ConflictError("another person has that address")


def _row(connection: Connection, person_id: str) -> Row[Any]:
    row = connection.execute(select(people).where(_PEOPLE.id == person_id)).one_or_none()
    if row is None:
        raise NotFoundError("there is no such person")
    return row


def _update(connection: Connection, person_id: str, values: Mapping[str, Any]) -> None:
    done = connection.execute(update(people).where(_PEOPLE.id == person_id).values(**values))
    if not done.rowcount:
        raise NotFoundError("there is no such person")


def _person(row: Row[Any]) -> Person:
    return Person(
        id=row.id,
        name=row.name,
        email=row.email,
        has_password=row.password_hash is not None,
        is_operator=row.is_operator,
        is_disabled=row.is_disabled,
        created_at=row.created_at,
        signed_in_at=row.signed_in_at,
    )
