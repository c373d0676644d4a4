"""Sessions in the store: found by the cookie of a request, started at sign-in, ended."""

import contextlib
import time
from collections.abc import Mapping

from starlette.responses import Response

from engine.accounts import sessions
from engine.accounts.accounts import get_account
from engine.accounts.database import Connection
from engine.accounts.errors import NotFoundError, StoreUnavailableError
from engine.accounts.members import Role, list_memberships
from engine.accounts.people import Person, get_person, record_sign_in
from engine.admin.rendering import see_other
from engine.admin.request import PageRequest
from engine.admin.server import AdminServer
from engine.admin.session import (
    BrowserSession,
    Membership,
    cookie_name,
    csrf_token,
    set_session_cookie,
)

TOUCH_SECONDS = 60  # how old `seen_at` may become


def load_session(server: AdminServer, cookies: Mapping[str, str]) -> BrowserSession | None:
    """The session of these cookies, if it is valid."""
    token = cookies.get(cookie_name(server.address))
    if not token:
        return None
    database = server.context.database
    with database.read() as connection:
        found = sessions.find_session(connection, token)
        session = _session(connection, found, token) if found else None
    if found is not None and found.seen_at < time.time() - TOUCH_SECONDS:
        with contextlib.suppress(StoreUnavailableError), database.write() as connection:
            sessions.touch_session(connection, found.id)
    return session


def _session(connection: Connection, found: sessions.Session, token: str) -> BrowserSession:
    person = get_person(connection, found.person_id)
    accounts = tuple(
        Membership(account.id, account.name, role)
        for account, role in list_memberships(connection, person.id)
    )
    account = _shown(connection, person, accounts, found.account_id)
    csrf = csrf_token(token, account.id if account else None)
    return BrowserSession(found.id, person, account, accounts, csrf)


def _shown(
    connection: Connection, person: Person, own: tuple[Membership, ...], account_id: str | None
) -> Membership | None:
    """The account that was chosen, if the person may still see it; else the first of their own."""
    chosen = next((account for account in own if account.id == account_id), None)
    if chosen is None and person.is_operator and account_id is not None:
        with contextlib.suppress(NotFoundError):
            account = get_account(connection, account_id)
            return Membership(account.id, account.name, Role.OWNER)
    return chosen or (own[0] if own else None)


def sign_in(request: PageRequest, person_id: str, method: str, then: str) -> Response:
    """Start a session for the person, and go to `then`. It has a new token, whatever cookie came."""
    with request.context.database.write() as connection:
        return start_session(connection, request, person_id, method, then)


def start_session(
    connection: Connection, request: PageRequest, person_id: str, method: str, then: str
) -> Response:
    """The same, in the transaction of `connection`; a session that the browser had ends."""
    old = request.session
    if old is not None:
        sessions.revoke_session(connection, old.person.id, old.id)
    record_sign_in(connection, person_id, method)
    _, token = sessions.create_session(
        connection, person_id, user_agent=request.agent, address=request.client
    )
    response = see_other(then)
    set_session_cookie(response, request.address, token)
    return response


def switch_account(request: PageRequest, account_id: str) -> bool:
    """Show another account in this session; False if the person may not see it."""
    session = request.signed_in
    if not session.person.is_operator and account_id not in {a.id for a in session.accounts}:
        return False
    with request.context.database.write() as connection:
        try:
            get_account(connection, account_id)
        except NotFoundError:
            return False
        sessions.set_session_account(connection, session.id, account_id)
    return True
