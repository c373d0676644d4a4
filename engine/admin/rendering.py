"""Templates to pages. Everything that is inserted is escaped; text of people is never a template."""

import time
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from engine.admin import formats
from engine.admin.request import PageRequest

_FILTERS = ("browser", "day", "duration", "hour", "iso", "moment")
FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"


class Notice(NamedTuple):
    """What a page says at its top about what was just done. `kind`: `good`, `warn` or `bad`."""

    kind: str
    text: str


# By the code in the query of the page that a form leads to; other codes show nothing.
NOTICES: dict[str, Notice] = {
    "signed-out": Notice("good", "You are signed out."),
    "you-saved": Notice("good", "Saved."),
    "session-ended": Notice("good", "The session is ended."),
    "joined": Notice("good", "You belong to the account now."),
    "account-created": Notice("good", "The account is created. Open it to invite people."),
    "account-limited": Notice("good", "The limits are in force on every worker within a second."),
    "invite-withdrawn": Notice("good", "The invitation is withdrawn."),
    "key-changed": Notice("good", "The key is changed, on every worker within a second."),
    "key-revoked": Notice("good", "The key is revoked. Calls with it are refused within a second."),
    "person-removed": Notice("good", "The person no longer sees this account."),
    "provider-removed": Notice("good", "The provider key is erased."),
    "provider-saved": Notice("good", "The provider key is saved, and in use within a second."),
    "role-changed": Notice("good", "The role is changed."),
    "password-saved": Notice("good", "The password is saved. Other browsers are signed out."),
}


class PageFrame(NamedTuple):
    """What the frame of a page shows: navigation, account and person.

    `can_write`: the person may change keys and provider keys; `is_owner`: people too.
    """

    page: str
    person: object
    account: object
    accounts: tuple[object, ...]
    csrf: str
    is_owner: bool
    can_write: bool


def page(request: PageRequest, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """The page that `template` makes of `values`.

    It also has `shell` (None where nobody is signed in), and `notice` unless that is among `values`.
    """
    values.setdefault("notice", NOTICES.get(request.query.text("notice")))
    values["shell"] = _shell(request)
    return HTMLResponse(_TEMPLATES.get_template(template).render(values), status)


def see_other(path: str, notice: str = "") -> RedirectResponse:
    """Where the browser goes after a form; `path` is of this dashboard, `notice` a key of NOTICES."""
    return RedirectResponse(f"{path}?notice={notice}" if notice else path, 303)


def _shell(request: PageRequest) -> PageFrame | None:
    session = request.session
    if session is None:
        return None
    name = request.page.name
    role = session.account.role if session.account else ""
    return PageFrame(
        name,
        session.person,
        session.account,
        session.accounts,
        session.csrf,
        role == "owner",
        role in ("owner", "member"),
    )


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "ago": lambda seconds: formats.ago(seconds, time.time()),
        **{name: getattr(formats, name) for name in _FILTERS},
        "count": formats.format_count,
    }
    return made


_TEMPLATES = _environment()
