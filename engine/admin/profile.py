"""What people change about themselves: name, address, password, and the sessions they have."""

from typing import Any, NamedTuple

from starlette.responses import Response

from engine.accounts import people, sessions
from engine.accounts.errors import ConflictError, InvalidValueError
from engine.accounts.passwords import checked_password, is_password_of
from engine.accounts.people import Person
from engine.admin.rendering import page, see_other
from engine.admin.request import Access, Page, PageError, PageRequest


class SessionRow(NamedTuple):
    """A session as its person sees it."""

    id: str
    agent: str
    used_at: int
    created_at: int
    is_current: bool


def profile_page(request: PageRequest) -> Response:
    return _page(request, _form_of(request.signed_in.person), {})


def _form_of(person: Person) -> dict[str, str]:
    return {"name": person.name, "email": person.email or ""}


def _page(
    request: PageRequest, form: dict[str, str], errors: dict[str, str], status: int = 200
) -> Response:
    session = request.signed_in
    with request.context.database.read() as connection:
        found = sessions.list_sessions(connection, session.person.id)
    rows = [
        SessionRow(s.id, s.user_agent or "A browser", s.seen_at, s.created_at, s.id == session.id)
        for s in found
    ]
    names = ("name", "email", "current", "password")
    return page(
        request,
        "you.html",
        status,
        has_password=session.person.has_password,
        form=form,
        errors={name: errors.get(name) for name in names} if errors else {},
        sessions=rows,
    )


def save(request: PageRequest) -> Response:
    """Save all that was sent, or nothing; a new password ends the person's other sessions."""
    form = {"name": request.form.text("name"), "email": request.form.text("email")}
    password = request.form.secret("password")
    errors = _problems(request, form, password)
    if not errors:
        errors = _stored(request, form, password)
    if errors:
        return _page(request, form, errors, 400)
    return see_other("/you", "password-saved" if password else "you-saved")


def _problems(request: PageRequest, form: dict[str, str], password: str) -> dict[str, str]:
    """What is wrong with the passwords. An unattended session must not be able to lock out its owner."""
    person = request.signed_in.person
    if person.email is not None and form["email"].lower() != person.email:
        # Nobody has proved a new one, and an identity of OpenID Connect is linked by its address.
        return {"email": "An address comes with an invitation; ask an owner to invite the new one."}
    if not (person.has_password and password):
        return _password_problem(password)
    seconds = request.server.throttle.attempt(f"current {person.id}", request.client)
    if seconds:
        return {"current": "Too many tries. Please wait some minutes."}
    with request.context.database.read() as connection:
        _, known = people.read_password_hash(connection, person.email or "")
    if not is_password_of(known, request.form.secret("current")):
        return {"current": "This is not your current password."}
    request.server.throttle.succeeded(f"current {person.id}")
    return _password_problem(password)


def _password_problem(password: str) -> dict[str, str]:
    try:
        if password:
            checked_password(password)
    except InvalidValueError as error:
        return {"password": f"The password {error.reason}."}
    return {}


def _stored(request: PageRequest, form: dict[str, str], password: str) -> dict[str, str]:
    session = request.signed_in
    values: dict[str, Any] = {"name": form["name"], "email": form["email"] or None}
    if password and not form["email"]:
        return {"email": "With a password you sign in by your address, so it is needed."}
    try:
        with request.context.database.write() as connection:
            people.update_person(connection, session.person.id, **values, actor=session.actor)
            if password:
                people.set_password(connection, session.person.id, password, session.actor)
                sessions.revoke_sessions(connection, session.person.id, except_id=session.id)
    except InvalidValueError as error:
        return {error.field: f"This {error.reason}."}
    except ConflictError:
        return {"email": "Another person has this address."}
    return {}


def end_session(request: PageRequest) -> Response:
    """End another session of the same person."""
    session, ended = request.signed_in, request.path["session_id"]
    if ended == session.id:
        raise PageError(400, "To end this session, sign out.")
    with request.context.database.write() as connection:
        sessions.revoke_session(connection, session.person.id, ended)
    return see_other("/you", "session-ended")


PROFILE_PAGES = (
    Page("GET", "/you", profile_page, Access.PERSON, "you"),
    Page("POST", "/you", save, Access.PERSON, "you"),
    Page("POST", "/you/sessions/{session_id}/end", end_session, Access.PERSON, "you"),
)
