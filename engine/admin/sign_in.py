"""Signing in and out, by a password or a one-time link; and the account that a session shows."""

import re

from starlette.responses import RedirectResponse, Response

from engine.accounts import people, sessions
from engine.accounts.passwords import hash_password, is_password_of, needs_rehash
from engine.admin.rendering import Notice, page, see_other
from engine.admin.request import Access, Page, PageError, PageRequest
from engine.admin.session import clear_session_cookie
from engine.admin.sessions import sign_in, start_session, switch_account

WRONG = "The email or the password is not right."
USED = "This link was used before, or it has expired. Ask for a new one."
TOO_MANY = "Too many tries. Please wait 15 minutes, or use a one-time link."
BUSY = "Too many people are signing in. Please try again in a moment."
_LOCAL_PATH = re.compile(r"/(?:[A-Za-z0-9_-][A-Za-z0-9_./-]{0,200})?")


def local_path(text: str) -> str:
    """`text` if it is a path of this dashboard; the overview for all else, such as another host."""
    return text if _LOCAL_PATH.fullmatch(text) else "/"


def sign_in_form(request: PageRequest) -> Response:
    """The page to sign in; who is signed in goes on."""
    if request.session is not None:
        return RedirectResponse(local_path(request.query.text("next")), 303)
    return form_page(request, request.query.text("next"))


def sign_in_by_password(request: PageRequest) -> Response:
    """The same response, after the same time, for a wrong password and an unknown person."""
    email, then = request.form.text("email")[:254], request.form.text("next")
    seconds = request.server.throttle.attempt(email, request.client)
    if seconds:
        response = form_page(request, then, 429, TOO_MANY)
        response.headers["retry-after"] = str(seconds)
        return response
    person_id = _verified(request, email)
    if person_id is None:
        return form_page(request, then, 403, WRONG)
    request.server.throttle.succeeded(email)
    return sign_in(request, person_id, "password", local_path(then))


def _verified(request: PageRequest, email: str) -> str | None:
    """The id of the person whose password was sent. No connection is held while it is hashed."""
    password, database = request.form.secret("password"), request.context.database
    with database.read() as connection:
        person_id, known = people.read_password_hash(connection, email)
    if not request.server.sign_ins.acquire(blocking=False):
        raise PageError(503, BUSY)
    try:
        if not is_password_of(known, password) or person_id is None or known is None:
            return None
        renewed = hash_password(password) if needs_rehash(known) else None
    finally:
        request.server.sign_ins.release()
    if renewed is not None:
        with database.write() as connection:
            people.renew_password_hash(connection, person_id, known, renewed)
    return person_id


def form_page(
    request: PageRequest, then: str, status: int = 200, problem: str | None = None
) -> Response:
    """The page to sign in, with what went wrong."""
    oidc = request.context.admin.oidc
    values = {"notice": Notice("bad", problem)} if problem else {}
    return page(
        request,
        "signin.html",
        status,
        oidc=oidc.name if oidc else None,
        email=request.form.text("email")[:254],
        next=local_path(then),
        csrf="",
        **values,
    )


def link_form(request: PageRequest) -> Response:
    """A button: opening the link alone uses nothing up, since programs open links in mails."""
    token = request.query.text("token")[:100]
    return page(
        request,
        "link.html",
        token=token,
        action="/signin/link",
        csrf=request.session.csrf if request.session else "",
    )


def sign_in_by_link(request: PageRequest) -> Response:
    with request.context.database.write() as connection:
        person_id = sessions.use_sign_in_link(connection, request.form.text("token"))
        if person_id is None:
            raise PageError(403, USED)
        return start_session(connection, request, person_id, "link", "/")


def sign_out(request: PageRequest) -> Response:
    session = request.signed_in
    with request.context.database.write() as connection:
        sessions.revoke_session(connection, session.person.id, session.id)
    response = see_other("/signin", "signed-out")
    clear_session_cookie(response, request.address)
    return response


def choose_account(request: PageRequest) -> Response:
    """Show another account of the person; an operator may open any."""
    if not switch_account(request, request.form.text("account")):
        raise PageError(404, "There is no such account.")
    return see_other("/")


SIGN_IN_PAGES = (
    Page("GET", "/signin", sign_in_form, Access.PUBLIC),
    Page("POST", "/signin", sign_in_by_password, Access.PUBLIC),
    Page("GET", "/signin/link", link_form, Access.PUBLIC),
    Page("POST", "/signin/link", sign_in_by_link, Access.PUBLIC),
    Page("POST", "/signout", sign_out, Access.PERSON),
    Page("POST", "/account", choose_account, Access.PERSON),
)
