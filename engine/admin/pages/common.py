"""What several pages need: who acts, which account is shown, and lists that go over several pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import urlencode

from engine.accounts.audit import Actor
from engine.admin.request import PageError, PageRequest
from engine.admin.session import Membership

PAGE_SIZE = 50
NO_SUCH = "There is no such page, or it belongs to another account."


class _WithId(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_WithId)


@dataclass(frozen=True, slots=True)
class Paging:
    """Links of a list: to its first page, unless that is shown, and to the next one, if there is one."""

    first: str | None
    next: str | None
    text: str


def actor_of(request: PageRequest) -> Actor:
    """The person who is signed in, for the audit log."""
    return request.signed_in.actor


def account_of(request: PageRequest) -> Membership:
    """The account that the session shows.

    Raises:
        PageError: the person belongs to none.
    """
    account = request.signed_in.account
    if account is None:
        raise PageError(403, "You belong to no account. Ask an owner of one to invite you.")
    return account


def paginate(
    rows: Sequence[T], path: str, after: str | None, **query: str
) -> tuple[list[T], Paging]:
    """The rows of one page, of which one more than PAGE_SIZE was read, and the links around it."""
    shown = list(rows[:PAGE_SIZE])
    kept = {name: value for name, value in query.items() if value}
    following = {**kept, "after": shown[-1].id} if len(rows) > PAGE_SIZE else None
    return shown, Paging(
        link(path, **kept) if after else None,
        link(path, **following) if following else None,
        f"{len(shown)} on this page, newest first",
    )


def link(path: str, **query: str) -> str:
    return f"{path}?{urlencode(query)}" if query else path
