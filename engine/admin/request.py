"""What a page is called with, and the table of pages.

A page is a function `(PageRequest) -> Response`. It runs in a thread, so it may use the database.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from urllib.parse import parse_qsl

from starlette.responses import Response

from engine.admin.address import Address
from engine.admin.context import AdminContext
from engine.admin.server import AdminServer
from engine.admin.session import BrowserSession

MAX_FIELDS = 1000


class Access(IntEnum):
    """Who may open a page; each may open what those before it may.

    VIEWER, MEMBER and OWNER are roles in the account of the session; OPERATOR runs the gateway.
    """

    PUBLIC = 0
    PERSON = 1
    VIEWER = 2
    MEMBER = 3
    OWNER = 4
    OPERATOR = 5


class PageError(Exception):
    """A page refuses: `status`, and a `text` for the person. Quotes no secret."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class FormValues:
    """The fields of a form or of a query, in the order in which they were sent."""

    pairs: Sequence[tuple[str, str]] = ()

    def text(self, name: str, default: str = "") -> str:
        """The value of `name` without spaces around it.

        Raises:
            PageError: it was sent more than once.
        """
        values = self.all(name)
        if len(values) > 1:
            raise PageError(400, f"The field {name[:40]!r} was sent more than once.")
        return values[0].strip() if values else default

    def secret(self, name: str) -> str:
        """The value of `name` as it was typed, spaces included: a password."""
        values = self.all(name)
        return values[0] if len(values) == 1 else ""

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.pairs if key == name)

    def with_prefix(self, prefix: str) -> dict[str, str]:
        """The fields whose names begin with `prefix`, by the rest of the name."""
        return {k.removeprefix(prefix): v for k, v in self.pairs if k.startswith(prefix)}


def read_values(text: bytes | str) -> FormValues:
    """Parse `application/x-www-form-urlencoded`.

    Raises:
        PageError: too many fields, or no UTF-8.
    """
    try:
        text = text.decode("ascii") if isinstance(text, bytes) else text
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise PageError(400, "The form cannot be read.") from None
    return FormValues(tuple(pairs))


@dataclass(slots=True)
class PageRequest:
    """One request for a page.

    `path` are the values of `{name}` in its path, `client` is its address, `agent` what the browser calls
    itself. `session` is there wherever the access of the page asks for one. `query`, `session` and `form` are
    filled in that order, so that the page of a refusal shows what is known by then.
    """

    server: AdminServer
    page: "Page"
    path: Mapping[str, str]
    client: str = ""
    agent: str = ""
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: FormValues = FormValues()
    session: BrowserSession | None = None
    form: FormValues = FormValues()

    @property
    def context(self) -> AdminContext:
        return self.server.context

    @property
    def address(self) -> Address:
        return self.server.address

    @property
    def signed_in(self) -> BrowserSession:
        """The session.

        Raises:
            PageError: nobody is signed in.
        """
        if self.session is None:
            raise PageError(401, "Please sign in.")
        return self.session


@dataclass(frozen=True, slots=True)
class Page:
    """A row of the table of pages: `GET` serves HEAD too, and a form is sent by `POST`.

    `name` is the entry of the navigation to which the page belongs.
    """

    method: str
    path: str
    view: Callable[[PageRequest], Response]
    access: Access
    name: str = ""
