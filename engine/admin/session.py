"""A signed-in browser: its cookie, who it is, and the token that its forms bring back."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.responses import Response

from engine.accounts.audit import Actor, ActorKind
from engine.accounts.members import Role
from engine.accounts.people import Person
from engine.accounts.sessions import SESSION_SECONDS
from engine.admin.address import Address


@dataclass(frozen=True, slots=True)
class Membership:
    """An account to which a person belongs, and the role there."""

    id: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A signed-in browser. `account` is the one that pages show; None for a person without any.

    `csrf` goes into every form. It belongs to the token and to the account, so that a form of an
    old tab does not act on the account to which another tab has switched.
    """

    id: str
    person: Person
    account: Membership | None
    accounts: tuple[Membership, ...]
    csrf: str = field(repr=False)

    @property
    def actor(self) -> Actor:
        """The person, for the audit log."""
        return Actor(ActorKind.PERSON, self.person.id, self.person.name)


def cookie_prefix(address: Address) -> str:
    """`__Host-` keeps other hosts of the domain from setting a cookie, and needs https; so not on http."""
    return "__Host-orqen-" if address.is_secure else "orqen_"


def cookie_name(address: Address) -> str:
    return cookie_prefix(address) + "session"


def read_cookies(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The cookies of a request. One that was sent twice is left out: nobody knows which is ours."""
    sent: dict[str, list[str]] = {}
    for header, value in headers:
        if header == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                name, _, text = pair.partition("=")
                sent.setdefault(name.strip(), []).append(text.strip())
    return {name: values[0] for name, values in sent.items() if len(values) == 1}


def csrf_token(token: str, account_id: str | None) -> str:
    """What a form of the session has to bring back; `token` does not follow from it."""
    text = f"csrf\0{account_id or ''}".encode()
    return hmac.new(token.encode("utf-8", "surrogatepass"), text, "sha256").hexdigest()


def is_csrf(session: BrowserSession, sent: str) -> bool:
    return hmac.compare_digest(session.csrf.encode(), sent.encode("utf-8", "surrogatepass"))


def set_session_cookie(response: Response, address: Address, token: str) -> None:
    response.set_cookie(
        cookie_name(address),
        token,
        max_age=SESSION_SECONDS,
        path="/",
        secure=address.is_secure,
        httponly=True,
        samesite="lax",
    )


def clear_session_cookie(response: Response, address: Address) -> None:
    response.delete_cookie(
        cookie_name(address), path="/", secure=address.is_secure, httponly=True, samesite="lax"
    )
