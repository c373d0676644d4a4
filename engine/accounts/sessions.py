"""Sessions of people who signed in, and the one-time links by which they can.

A session ends after IDLE_SECONDS without a request, after SESSION_SECONDS, when it is revoked, and
while its person is disabled.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from engine.accounts.audit import Actor, add_entry
from engine.accounts.errors import NotFoundError
from engine.accounts.people import get_person
from engine.accounts.tables import people, sessions, sign_in_links
from engine.accounts.tokens import new_token, token_digest
from engine.accounts.values import new_id, second

IDLE_SECONDS = 12 * 3600
SESSION_SECONDS = 7 * 86400
LINK_SECONDS = 3600
_SESSIONS = sessions.c
_LINKS = sign_in_links.c


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody's session; `account_id` is the account that they look at."""

    id: str
    person_id: str
    account_id: str | None
    user_agent: str
    address: str
    created_at: int
    seen_at: int
    expires_at: int


def create_session(  # noqa: PLR0913 one parameter a column
    connection: Connection,
    person_id: str,
    *,
    account_id: str | None = None,
    user_agent: str = "",
    address: str = "",
    now: float | None = None,
) -> tuple[Session, str]:
    """A new session and its token, which exists nowhere else. Sessions that have ended are removed.

    Raises:
        NotFoundError: there is no such person who may sign in.
    """
    at, token = second(now), new_token()
    # Whoever is being disabled now is so before they are looked at, or their session would live once they are enabled.
    connection.execute(select(people.c.id).where(people.c.id == person_id).with_for_update())
    if get_person(connection, person_id).is_disabled:
        raise NotFoundError("there is no such person who may sign in")
    connection.execute(delete(sessions).where(_SESSIONS.expires_at <= at))
    shown = "".join(char for char in user_agent[:200] if char.isprintable())
    session = Session(new_id(), person_id, account_id, shown, address[:64], at, at, at + SESSION_SECONDS)  # fmt: skip
    row = {name: getattr(session, name) for name in Session.__slots__}
    connection.execute(insert(sessions).values(row | {"token_digest": token_digest(token)}))
    return session, token


def find_session(connection: Connection, token: str, now: float | None = None) -> Session | None:
    """The session of a token, as long as it is valid."""
    at = second(now)
    wanted = (
        select(sessions)
        .join_from(sessions, people)
        .where(
            _SESSIONS.token_digest == token_digest(token),
            _SESSIONS.expires_at > at,
            _SESSIONS.seen_at > at - IDLE_SECONDS,
            people.c.is_disabled.is_(False),
        )
    )
    row = connection.execute(wanted).one_or_none()
    return None if row is None else _session(row)


def touch_session(connection: Connection, session_id: str, now: float | None = None) -> None:
    """Record that a session is in use; once a minute is enough."""
    where = _SESSIONS.id == session_id
    connection.execute(update(sessions).where(where).values(seen_at=second(now)))


def set_session_account(connection: Connection, session_id: str, account_id: str) -> None:
    """Remember which account a session looks at; whether its person may is the caller's check."""
    where = _SESSIONS.id == session_id
    connection.execute(update(sessions).where(where).values(account_id=account_id))


def list_sessions(
    connection: Connection, person_id: str, now: float | None = None
) -> list[Session]:
    """The valid sessions of a person, newest first."""
    at = second(now)
    where = (
        _SESSIONS.person_id == person_id,
        _SESSIONS.expires_at > at,
        _SESSIONS.seen_at > at - IDLE_SECONDS,
    )
    wanted = select(sessions).where(*where).order_by(_SESSIONS.id.desc())
    return [_session(row) for row in connection.execute(wanted)]


def revoke_session(connection: Connection, person_id: str, session_id: str) -> None:
    """End a session of a person.

    Raises:
        NotFoundError: they have no such session.
    """
    where = (_SESSIONS.person_id == person_id, _SESSIONS.id == session_id)
    if not connection.execute(delete(sessions).where(*where)).rowcount:
        raise NotFoundError("there is no such session")


def revoke_sessions(connection: Connection, person_id: str, *, except_id: str | None = None) -> int:
    """End all sessions of a person, but for the one with the id `except_id`, and unused links to sign in; how many sessions."""
    connection.execute(delete(sign_in_links).where(_LINKS.person_id == person_id))
    where = [_SESSIONS.person_id == person_id]
    if except_id is not None:
        where.append(_SESSIONS.id != except_id)
    return connection.execute(delete(sessions).where(*where)).rowcount


def create_sign_in_link(
    connection: Connection,
    person_id: str,
    actor: Actor,
    seconds: int = LINK_SECONDS,
    now: float | None = None,
) -> str:
    """The token of a link by which a person can sign in once.

    Raises:
        NotFoundError: there is no such person.
    """
    person, at, token = get_person(connection, person_id), second(now), new_token()
    connection.execute(delete(sign_in_links).where(_LINKS.expires_at <= at))
    row = {"token_digest": token_digest(token), "person_id": person_id, "expires_at": at + seconds}
    connection.execute(insert(sign_in_links).values(row))
    add_entry(connection, None, actor, "person.sign_in_link", person.name, {"id": person_id}, now)
    return token


def use_sign_in_link(connection: Connection, token: str, now: float | None = None) -> str | None:
    """The id of the person to whom a link belongs; the link ends. None if it has ended before."""
    where = (_LINKS.token_digest == token_digest(token), _LINKS.expires_at > second(now))
    used = delete(sign_in_links).where(*where).returning(_LINKS.person_id)
    person_id = connection.execute(used).scalar_one_or_none()
    if person_id is None or get_person(connection, person_id).is_disabled:
        return None
    return str(person_id)


def _session(row: Row[Any]) -> Session:
    return Session(**{name: getattr(row, name) for name in Session.__slots__})
