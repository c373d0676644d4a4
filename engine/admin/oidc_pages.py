"""Signing in with OpenID Connect: off to the provider, and back."""

import logging
import re
import secrets

from starlette.responses import RedirectResponse, Response

from engine.accounts import people
from engine.accounts.audit import Actor, ActorKind
from engine.accounts.database import Connection
from engine.accounts.members import find_invite
from engine.accounts.people import Person
from engine.admin.invite import create_invited_person
from engine.admin.oidc import CALLBACK, Flow, Identity, OidcError
from engine.admin.request import Access, Page, PageError, PageRequest
from engine.admin.session import cookie_prefix
from engine.admin.sessions import start_session

COOKIE_SECONDS = 600
FAILED = "Signing in did not work. Please try again; the reason is in the log of the gateway."
UNKNOWN = "Nobody here has your address, or your provider has not verified it. Ask an owner of an account to invite you."

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_log = logging.getLogger("engine.admin")


def start(request: PageRequest) -> Response:
    """Off to the provider; what has to come back stays in a cookie of this browser.

    A link and not a form: under our `form-action` a browser follows no form to another site.
    """
    client = request.server.oidc
    if client is None:
        raise PageError(404, "There is no such page.")
    flow = Flow(*(secrets.token_urlsafe(32) for _ in range(3)))
    invite = request.query.text("invite")
    if not _TOKEN.fullmatch(invite):
        invite = ""
    try:
        response = RedirectResponse(client.authorization_url(flow), 303)
    except OidcError as error:
        raise _failed(error) from None
    response.set_cookie(
        _cookie(request),
        ".".join((flow.state, flow.nonce, flow.verifier, invite)),
        max_age=COOKIE_SECONDS,
        path="/",
        secure=request.address.is_secure,
        httponly=True,
        samesite="lax",
    )
    return response


def callback(request: PageRequest) -> Response:
    """Back from the provider, in the browser that was sent there."""
    client, kept = request.server.oidc, request.cookies.get(_cookie(request), "").split(".")
    if client is None or len(kept) != 4:
        raise PageError(400, "This sign-in was begun in another browser, or too long ago.")
    query = {name: request.query.text(name) for name in ("state", "code", "iss", "error")}
    try:
        found = client.identity(Flow(*kept[:3]), {name: v for name, v in query.items() if v})
    except OidcError as error:
        raise _failed(error) from None
    with request.context.database.write() as connection:
        person = _person(connection, found, kept[3])
        if person is None or person.is_disabled:
            raise PageError(403, UNKNOWN)
        response = start_session(connection, request, person.id, "oidc", "/")
    response.delete_cookie(_cookie(request), path="/", secure=request.address.is_secure)
    return response


def _failed(error: OidcError) -> PageError:
    _log.warning("signing in with OpenID Connect failed: %s", error)
    return PageError(502, FAILED)


def _cookie(request: PageRequest) -> str:
    return cookie_prefix(request.address) + "oidc"


def _person(connection: Connection, found: Identity, token: str) -> Person | None:
    """Whose identity it is: known from before, or by the address that the provider has verified.

    Somebody new needs the invitation of `token`, which has to be for that address.
    """
    known = people.find_person_by_identity(connection, found.issuer, found.subject)
    if known is not None or found.email is None:
        return known
    person = people.find_person_by_email(connection, found.email)
    invite = find_invite(connection, token) if person is None and token else None
    if invite is not None and invite.email == found.email.lower():
        person = create_invited_person(connection, invite, token, found.name or invite.email)
    if person is not None:
        actor = Actor(ActorKind.PERSON, person.id, person.name)
        people.link_identity(connection, person.id, found.issuer, found.subject, actor)
    return person


OIDC_PAGES = (
    Page("GET", "/signin/oidc", start, Access.PUBLIC),
    Page("GET", CALLBACK, callback, Access.PUBLIC),
)
