"""The people of an account: who they are, their roles, and invitations."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from engine.accounts import members
from engine.accounts.errors import ConflictError, InvalidValueError, NotFoundError
from engine.accounts.members import INVITE_SECONDS, Member, Role
from engine.accounts.people import get_person
from engine.admin.pages.common import NO_SUCH, account_of, actor_of
from engine.admin.rendering import page, see_other
from engine.admin.request import Access, Page, PageError, PageRequest

ROLES = ((Role.OWNER, "Owner"), (Role.MEMBER, "Member"), (Role.VIEWER, "Viewer"))
_HELP = (
    (Role.OWNER, "Owner", "People too."),
    (Role.MEMBER, "Member", "Keys and provider keys."),
    (Role.VIEWER, "Viewer", "Sees everything of the account, changes nothing."),
)


def people_page(request: PageRequest) -> Response:
    return _people(request)


def _people(
    request: PageRequest,
    errors: Mapping[str, str] | None = None,
    invite_link: Mapping[str, Any] | None = None,
    status: int = 200,
) -> Response:
    account_id = account_of(request).id
    with request.context.database.read() as connection:
        found = members.list_members(connection, account_id)
        invites = members.list_invites(connection, account_id)
    form = {"email": request.form.text("email") if errors else "", "role": "member"}
    you = request.signed_in.person.id
    return page(
        request,
        "people.html",
        status,
        people=[_row(member, you) for member in found],
        invites=invites,
        invite_link=invite_link,
        roles=[(str(role), text) for role, text in ROLES],
        role_help=_HELP,
        form=form,
        errors=errors or {},
    )


def _row(member: Member, you: str) -> dict[str, Any]:
    return {
        "id": member.person_id,
        "name": member.name,
        "email": member.email,
        "role": str(member.role),
        "signed_in_at": member.signed_in_at,
        "is_disabled": member.is_disabled,
        "is_you": member.person_id == you,
    }


def _role(request: PageRequest) -> Role:
    try:
        return Role(request.form.text("role"))
    except ValueError:
        raise PageError(400, "There is no such role.") from None


def invite(request: PageRequest) -> Response:
    """An invitation; its link stands in this response and nowhere else."""
    role = _role(request)
    try:
        with request.context.database.write() as connection:
            made, token = members.create_invite(
                connection,
                account_of(request).id,
                request.form.text("email"),
                role,
                actor_of(request),
            )
    except InvalidValueError as error:
        return _people(request, {error.field: f"It {error.reason}."}, status=400)
    shown = {
        "email": made.email,
        "days": INVITE_SECONDS // 86400,
        "url": f"{request.address.url}/invite?token={token}",
    }
    return _people(request, invite_link=shown, status=201)


def withdraw(request: PageRequest) -> Response:
    try:
        with request.context.database.write() as connection:
            members.withdraw_invite(
                connection, account_of(request).id, request.path["invite_id"], actor_of(request)
            )
    except NotFoundError:
        raise PageError(404, NO_SUCH) from None
    return see_other("/people", "invite-withdrawn")


def set_role(request: PageRequest) -> Response:
    role = _role(request)
    try:
        with request.context.database.write() as connection:
            members.set_role(
                connection,
                account_of(request).id,
                request.path["person_id"],
                role,
                actor_of(request),
            )
    except NotFoundError:
        raise PageError(404, NO_SUCH) from None
    except ConflictError as error:
        raise PageError(409, f"The role stays: {error}.") from None
    return see_other("/people", "role-changed")


def remove_page(request: PageRequest) -> Response:
    account = account_of(request)
    with request.context.database.read() as connection:
        if members.role_of(connection, account.id, request.path["person_id"]) is None:
            raise PageError(404, NO_SUCH)
        person = get_person(connection, request.path["person_id"])
    return page(
        request,
        "confirm.html",
        confirm={
            "title": f"Remove {person.name} from {account.name}?",
            "text": "They no longer see this account. Keys that they have made stay.",
            "action": f"/people/{person.id}/remove",
            "cancel": "/people",
            "button": "Remove",
            "is_danger": True,
            "choices": (),
        },
    )


def remove(request: PageRequest) -> Response:
    try:
        with request.context.database.write() as connection:
            members.remove_member(
                connection, account_of(request).id, request.path["person_id"], actor_of(request)
            )
    except NotFoundError:
        raise PageError(404, NO_SUCH) from None
    except ConflictError as error:
        raise PageError(409, f"They stay: {error}.") from None
    return see_other("/people", "person-removed")


PEOPLE_PAGES = (
    Page("GET", "/people", people_page, Access.VIEWER, "people"),
    Page("POST", "/people/invite", invite, Access.OWNER, "people"),
    Page("POST", "/people/invites/{invite_id}/withdraw", withdraw, Access.OWNER, "people"),
    Page("POST", "/people/{person_id}/role", set_role, Access.OWNER, "people"),
    Page("GET", "/people/{person_id}/remove", remove_page, Access.OWNER, "people"),
    Page("POST", "/people/{person_id}/remove", remove, Access.OWNER, "people"),
)
