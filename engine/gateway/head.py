"""What the head of a request says, looked at once: an SDK sends the same one again and again.

Everything that the path, the query and the headers alone decide is kept with a head that passed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from engine.gateway.headers import ALWAYS_UP, Pairs
from engine.plan import Caller, Endpoint, Provider
from engine.upstream import RequestHead
from engine.withheld import KEY_HEADERS

MAX_KNOWN = 1024
LOOKED_AT = (
    ALWAYS_UP
    | KEY_HEADERS
    | {b"accept-encoding", b"connection", b"content-encoding", b"host", b"transfer-encoding"}
)

Scope: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[Any, ...]


@dataclass(slots=True, repr=False)
class CallerHead:
    """A head that passed: who asks which endpoint, and with what kind of body (`json` or `form`).

    `model` is the one that the path names, if it names one. `headers` are those that are looked at
    or may go upstream. `requests` has, by provider, the
    heads to send there for which nothing but this one decides.
    """

    endpoint: Endpoint
    caller: Caller
    kind: str
    headers: Pairs
    query: bytes
    model: str | None = None
    fields: dict[bytes, bytes] = field(init=False)
    requests: dict[str, RequestHead] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the headers known by name; of several, the last."""
        self.fields = dict(self.headers)


class Heads:
    """The heads that passed lately, with what callers sent in them; all go when there are many."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        names, prefixes = set(LOOKED_AT), set[bytes]()
        for provider in providers:
            for form in provider.forms():
                names |= form.forward | form.caller_credentials.headers.keys()
                names |= form.choices.headers.keys() if form.choices else set()
                prefixes |= set(form.forward_prefixes)
        self._names = frozenset(names)
        self._prefixes = tuple(prefixes)
        self._known: dict[Key, CallerHead] = {}

    def key(self, scope: Scope) -> Key:
        """Method, path and query, and then each header that can make a difference."""
        names, prefixes = self._names, self._prefixes
        return (
            scope["method"],
            scope["raw_path"],
            scope["query_string"],
            *[
                pair
                for pair in scope["headers"]
                if pair[0] in names or (prefixes and pair[0].startswith(prefixes))
            ],
        )

    def known(self, key: Key, now: float) -> CallerHead | None:
        """The head with this key, if it has passed before and still would."""
        head = self._known.get(key)
        if head is None or (head.caller.expires is not None and head.caller.expires <= now):
            return None
        return head

    def keep(self, key: Key, head: CallerHead) -> None:
        """Remember a head that passed.

        Those of forms never come again: each has its boundary. One without `host` passes in
        HTTP/1.0 alone.
        """
        if head.kind == "form" or not head.fields.get(b"host"):
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[key] = head
