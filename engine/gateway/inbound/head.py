"""What the head of a request says, looked at once: an SDK sends the same one again and again.

Everything that the path, the query and the headers alone decide is kept with a head that passed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from engine.gateway.headers import ALWAYS_UP, Pairs
from engine.gateway.inbound.media import spelled
from engine.plan.plan import Caller, Endpoint, Provider
from engine.plan.withheld import KEY_HEADERS
from engine.upstream import RequestHead

MAX_KNOWN = 1024  # heads
MAX_KNOWN_BYTES = 2 * 1024 * 1024  # of all of them, as received
MAX_BYTES = 8 * 1024  # of one; a larger one is looked at each time
MAX_REQUESTS = 8  # for each of them
PAIR_BYTES = 128  # what a header takes besides its own bytes
CACHE_KEY_HEADERS = (
    ALWAYS_UP
    | KEY_HEADERS
    | {b"accept-encoding", b"connection", b"content-encoding", b"host", b"transfer-encoding"}
    | {b"origin", b"sec-fetch-site"}
)

Scope: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[Any, ...]


@dataclass(slots=True, repr=False)
class CallerHead:
    """A head that passed: who asks which endpoint, and with what kind of body (`json` or `variant`).

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
        """Spell what the body is ourselves; make the headers known by name; of several, the last."""
        self.headers = [(n, spelled(v) if n == b"content-type" else v) for n, v in self.headers]
        self.fields = dict(self.headers)

    def keep(self, provider: str, request: RequestHead) -> None:
        """Remember the head to send to `provider` for this one."""
        if len(self.requests) >= MAX_REQUESTS:
            self.requests.clear()
        self.requests[provider] = request


class Heads:
    """The heads that passed lately, with what callers sent in them; all go when there are many."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        names, prefixes = set(CACHE_KEY_HEADERS), set[bytes]()
        for provider in providers:
            for variant in provider.variants():
                names |= variant.forward | variant.caller_credentials.headers.keys()
                names |= variant.choices.headers.keys() if variant.choices else set()
                prefixes |= set(variant.forward_prefixes)
        self._names = frozenset(names)
        self._prefixes = tuple(prefixes)
        self._known: dict[Key, CallerHead] = {}
        self._bytes = 0

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
        size = _size(key)
        if head.kind == "form" or not head.fields.get(b"host") or size > MAX_BYTES:
            return
        if len(self._known) >= MAX_KNOWN or self._bytes + size > MAX_KNOWN_BYTES:
            self._known.clear()
            self._bytes = 0
        self._known[key] = head
        self._bytes += size


def _size(key: Key) -> int:
    """About as many bytes as a head takes."""
    asked, pairs = key[:3], key[3:]
    return sum(map(len, asked)) + sum(len(n) + len(v) + PAIR_BYTES for n, v in pairs)
