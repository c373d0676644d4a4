"""What an operation of the account API is: a row of the table in `operations`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.accounts.audit import Actor, ActorKind
from engine.accounts.lookup import KeyEntry
from engine.admin.api.schema import JSON, Schema
from engine.admin.server import AdminServer


class ApiError(Exception):
    """A refusal of the API; `code` and `param` as in its error bodies. Quotes no secret."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One call: `key` made it, and it acts on the account of that key alone."""

    server: AdminServer
    key: KeyEntry
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: JSON

    @property
    def account_id(self) -> str:
        return self.key.account_id

    @property
    def actor(self) -> Actor:
        return Actor(ActorKind.KEY, self.key.key_id, self.key.name)


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path, and all that its documentation says.

    `scope` is what the key needs: None for any key. `status` and `response` are those of success, `errors` the
    statuses besides those that every operation has. `aliases` are shorter paths for the same.
    """

    id: str
    method: str
    path: str
    summary: str
    handler: Callable[[ApiRequest], JSON | None]
    scope: str | None = "manage"
    body: Schema | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    status: int = 200
    response: Schema | None = None
    errors: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path, *self.aliases)
