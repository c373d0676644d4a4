"""Accepting an invitation: by somebody new, who sets a password, or by somebody who is signed in."""

from starlette.responses import Response

from engine.accounts import people, sessions
from engine.accounts.accounts import get_account
from engine.accounts.audit import Actor, ActorKind
from engine.accounts.database import Connection
from engine.accounts.errors import InvalidValueError
from engine.accounts.members import Invite, accept_invite, find_invite
from engine.accounts.passwords import checked_password
from engine.accounts.people import Person
from engine.admin.rendering import page, see_other
from engine.admin.request import Access, Page, PageError, PageRequest
from engine.admin.sessions import start_session

ENDED = "This invitation was accepted or withdrawn, or it has expired. Ask for a new one."
OTHER_ADDRESS = "This invitation is for another address than yours. Sign out to accept it."
PERSON_EXISTS = (
    "There is a person with this address already: sign in, and open the invitation again."
)


def invite_form(request: PageRequest) -> Response:
    return _page(request, request.query.text("token")[:100], "", {})


def _page(
    request: PageRequest, token: str, name: str, errors: dict[str, str], status: int = 200
) -> Response:
    with request.context.database.read() as connection:
        invite = _found(connection, token)
        account = get_account(connection, invite.account_id)
    session = request.session
    names = ("name", "email", "password")
    return page(
        request,
        "invite.html",
        status,
        account=account.name,
        inviter=None,
        role=str(invite.role),
        action="/invite",
        csrf=session.csrf if session else "",
        token=token,
        name=name,
        email=invite.email,
        errors={each: errors.get(each) for each in names} if errors else {},
        is_signed_in=session is not None,
        oidc=request.server.oidc.settings.name if request.server.oidc and not session else None,
    )


def _found(connection: Connection, token: str) -> Invite:
    invite = find_invite(connection, token)
    if invite is None:
        raise PageError(404, ENDED)
    return invite


def accept(request: PageRequest) -> Response:
    """Let the person in. Whoever has the link alone cannot enter as somebody who exists already."""
    if request.session is not None:
        return _accept_as_member(request)
    token, name = request.form.text("token"), request.form.text("name")
    password = request.form.secret("password")
    try:
        checked_password(password)
        with request.context.database.write() as connection:
            invite = _found(connection, token)
            if people.find_person_by_email(connection, invite.email) is not None:
                raise PageError(409, PERSON_EXISTS)
            person = create_invited_person(connection, invite, token, name, password)
            return start_session(connection, request, person.id, "invite", "/")
    except InvalidValueError as error:
        return _page(request, token, name, {error.field: f"This {error.reason}."}, 400)


def create_invited_person(
    connection: Connection, invite: Invite, token: str, name: str, password: str | None = None
) -> Person:
    """Make the person who was invited, a member of the account."""
    actor = Actor(ActorKind.PERSON, None, name[:100])
    person = people.create_person(connection, name=name, email=invite.email, actor=actor)
    actor = Actor(ActorKind.PERSON, person.id, person.name)
    if password is not None:
        people.set_password(connection, person.id, password, actor)
    accept_invite(connection, token, person.id, actor)
    return person


def _accept_as_member(request: PageRequest) -> Response:
    session = request.signed_in
    with request.context.database.write() as connection:
        invite = _found(connection, request.form.text("token"))
        if session.person.email != invite.email:
            raise PageError(403, OTHER_ADDRESS)
        accept_invite(connection, request.form.text("token"), session.person.id, session.actor)
        sessions.set_session_account(connection, session.id, invite.account_id)
    return see_other("/", "joined")


INVITE_PAGES = (
    Page("GET", "/invite", invite_form, Access.PUBLIC),
    Page("POST", "/invite", accept, Access.PUBLIC),
)
