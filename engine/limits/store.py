"""The interface of what counts the use of scopes, in the memory of this host or elsewhere."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.limits.core import Amounts, Refused, Remaining, Scope


class FullError(Exception):
    """There is no room for another scope or request."""


class UnavailableError(Exception):
    """The counters cannot be reached, and requests are refused then."""


@dataclass(slots=True)
class Grant:
    """An admitted request. `held` is what it may use; `lease` None: nothing to settle.

    `left` has what is left of requests, tokens, input and output tokens after it, in the scope that
    has the least. `lease` and `places` are for the store that made it.
    """

    scopes: Sequence[Scope]
    held: Amounts
    lease: int | str | None
    left: Mapping[str, Remaining]
    places: Sequence[Any] = ()


class Store(Protocol):
    """Counts requests and amounts of all scopes of a request at once, or of none of them."""

    def reserve(
        self, scopes: Sequence[Scope], estimate: Amounts
    ) -> Grant | Refused | Awaitable[Grant | Refused]:
        """Admit a request that may use `estimate`, or say why not.

        What there is no room for is not held: a request whose estimate is too high is admitted as
        long as one unit is left of each.

        Raises:
            FullError: too many scopes or requests.
            UnavailableError: nothing can be counted now.
        """

    def settle(self, grant: Grant, used: Amounts) -> None:
        """Give back what a request held, and count what it has used. Once for a grant; never waits."""

    def tick(self) -> None:
        """Once a second: what is to be done besides, such as giving back what dead workers held."""
