"""What the head of a request decides, resolved once: an SDK sends the same head again and again.

Everything that the path, the query and the headers alone decide is kept with a head that passed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from time import time
from typing import Any, TypeAlias

import msgspec

from engine.gateway.headers import ALWAYS_FORWARDED
from engine.gateway.inbound.media import normalized
from engine.plan.never_forwarded import KEY_HEADERS
from engine.plan.plan import Caller, Endpoint, Provider, Timeouts
from engine.upstream import Pairs, RequestHead
from engine.upstream.cache import ENTRY_BYTES, BoundedCache

MAX_KNOWN_BYTES = 4 * 1024 * 1024  # of all heads and their requests
MAX_BYTES = 8 * 1024  # of one head as received; a larger one is resolved each time
MAX_REQUESTS_BYTES = 64 * 1024  # of the requests that one head decides
HEAD_BYTES = 1200  # what a head takes in memory besides its headers
REQUEST_BYTES = 340  # what a request takes besides its headers
PAIR_BYTES = 128  # what a header takes besides its own bytes
CACHE_KEY_HEADERS = (
    ALWAYS_FORWARDED
    | KEY_HEADERS
    | {b"accept-encoding", b"connection", b"content-encoding", b"host", b"transfer-encoding"}
    | {b"origin", b"sec-fetch-site"}
)

Scope: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[Any, ...]


def _is_declared(_caller: Caller) -> bool:
    """Callers of keys.yaml stand as long as the Plan."""
    return True


class PreparedHead(msgspec.Struct, frozen=True):
    """What a head decides of its requests to a provider: their head, and whose credential it has.

    `is_plain`: nothing that the body has changes anything but the body.
    """

    head: RequestHead
    timeouts: Timeouts
    credential: str | None
    is_plain: bool


def _requests() -> BoundedCache[str, PreparedHead]:
    return BoundedCache(MAX_REQUESTS_BYTES, MAX_REQUESTS_BYTES - ENTRY_BYTES)


@dataclass(slots=True, repr=False)
class CallerHead:
    """A head that passed: who calls which endpoint, with what kind of body (`json` or `form`).

    `model` is the one that the path names, if it names one. `headers` are those that decide
    something or may go upstream. `requests` has, by provider, what this head alone decides of requests
    to it; `count` is called when it has another.
    """

    endpoint: Endpoint
    caller: Caller
    kind: str
    headers: Pairs
    query: bytes
    model: str | None = None
    fields: dict[bytes, bytes] = field(init=False)
    requests: BoundedCache[str, PreparedHead] = field(default_factory=_requests)
    count: Callable[["CallerHead"], None] | None = None

    def __post_init__(self) -> None:
        """Write the content type anew, and index the headers by name; the last one wins."""
        self.headers = [(n, normalized(v) if n == b"content-type" else v) for n, v in self.headers]
        self.fields = dict(self.headers)

    def cache_request(self, provider: str, request: PreparedHead) -> None:
        """Keep what is decided of requests to `provider`."""
        self.requests.put(provider, request, _request_size(request.head))
        if self.count is not None:
            self.count(self)


class HeadCache:
    """The heads that passed lately, by what callers sent in them.

    Key: method, path, query, and each header that decides something. Bound: MAX_KNOWN_BYTES.
    Invalidation: a caller's key has expired, or is not current any more where it belongs to an
    account; besides that, a head is kept as long as its Plan.
    """

    def __init__(
        self,
        providers: Iterable[Provider],
        is_current: Callable[[Caller], bool] = _is_declared,
        routing: Iterable[bytes] = (),
    ) -> None:
        """`routing` are the headers by which model rules choose."""
        names, prefixes = {*CACHE_KEY_HEADERS, *routing}, set[bytes]()
        for provider in providers:
            for variant in provider.variants():
                names |= variant.forward | variant.caller_credentials.headers.keys()
                names |= variant.choices.headers.keys() if variant.choices else set()
                prefixes |= set(variant.forward_prefixes)
        self._names = frozenset(names)
        self._decides = self._names.__contains__
        self._prefixes = tuple(prefixes)
        self._known = BoundedCache[Key, CallerHead](
            MAX_KNOWN_BYTES, MAX_BYTES + HEAD_BYTES + MAX_REQUESTS_BYTES
        )
        self._is_current = is_current

    def key(self, scope: Scope, fields: Mapping[bytes, bytes]) -> Key:
        """Method, path and query, and then each header that decides something; `fields` are these by name."""
        headers, prefixes = scope["headers"], self._prefixes
        pairs: Iterable[tuple[bytes, bytes]]
        if prefixes or len(fields) < len(headers):
            names = self._names
            pairs = [
                pair
                for pair in headers
                if pair[0] in names or (prefixes and pair[0].startswith(prefixes))
            ]
        else:  # mostly, in a third of the time
            pairs = compress(headers, map(self._decides, fields))
        return scope["method"], scope["raw_path"], scope["query_string"], *pairs

    def get(self, key: Key) -> CallerHead | None:
        """The head with this key, if it has passed before and still would."""
        head = self._known.get(key)
        if head is not None and head.caller.expires is not None and not self._stands(head):
            return None
        return head

    def _stands(self, head: CallerHead) -> bool:
        caller = head.caller
        is_expired = caller.expires is not None and caller.expires <= time()
        return not is_expired and (caller.account is None or self._is_current(caller))

    def put(self, key: Key, head: CallerHead) -> None:
        """Keep a head that passed.

        The head of a form is never repeated, since each form has its own boundary. A head without
        `host` is allowed only in HTTP/1.0.
        """
        size = _size(key)
        if head.kind == "form" or not head.fields.get(b"host"):
            return
        if size <= MAX_BYTES:
            self._known.put(key, head, size + HEAD_BYTES + head.requests.used)
            head.count = partial(self._count, key, size + HEAD_BYTES)

    def _count(self, key: Key, size: int, head: CallerHead) -> None:
        """Count the requests of `head` too; it may have been forgotten, and is not kept anew then."""
        if self._known.get(key) is head:
            self._known.put(key, head, size + head.requests.used)


def _size(key: Key) -> int:
    """About as many bytes as a head takes in memory."""
    asked, pairs = key[:3], key[3:]
    return sum(map(len, asked)) + sum(len(n) + len(v) + PAIR_BYTES for n, v in pairs)


def _request_size(request: RequestHead) -> int:
    """About as many bytes as it takes in memory, with its text, which a client adds."""
    pairs = sum(2 * (len(n) + len(v)) + PAIR_BYTES for n, v in request.headers)
    return REQUEST_BYTES + 2 * len(request.target) + pairs
