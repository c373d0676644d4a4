"""The interface between the gateway and a provider: one attempt over the network.

An Attempt goes in; an UpstreamResponse, or one of a closed set of Failures, comes out. Exceptions of the HTTP
client in use end here. It never chooses a target, and makes no second attempt.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import msgspec

from engine.plan.plan import Origin

CHUNK_BYTES = (
    2 * 1024 * 1024
)  # of a body in memory; smaller chunks cost more than they are good for

Pairs = list[tuple[bytes, bytes]]
Body = bytes | AsyncIterator[bytes | memoryview]
# Takes one chunk of a response body. None when it can take the next one at once, else what has to
# be awaited before that (backpressure).
Write = Callable[[bytes], Awaitable[None] | None]


class Failure(Enum):
    """Why an attempt gave no response.

    The error code, the word for the log, and whether the provider may have processed the request:
    only what is provably unsent may be tried again.
    """

    CONNECT_FAILED = ("upstream_connect_failed", "connect_failed", False)
    CONNECT_TIMEOUT = ("upstream_connect_timeout", "connect_timeout", False)
    DNS_FAILED = ("upstream_dns_failed", "dns_failed", False)
    TLS_FAILED = ("upstream_tls_failed", "tls_failed", False)
    SIGN_IN_FAILED = ("upstream_sign_in_failed", "sign_in_failed", False)
    OVERLOADED = ("overloaded", "overloaded", False)
    LIMITED = ("rate_limited", "credential_limited", False)
    CLOSED = ("upstream_closed", "sent_unknown", True)
    BAD_RESPONSE = ("upstream_bad_response", "bad_response", True)
    TRUNCATED = ("upstream_truncated", "truncated", True)
    FIRST_BYTE_TIMEOUT = ("upstream_timeout", "timeout_headers", True)
    IDLE_TIMEOUT = ("upstream_idle_timeout", "timeout_idle", True)
    TOTAL_TIMEOUT = ("upstream_timeout", "timeout_total", True)

    def __init__(self, code: str, outcome: str, sent: bool) -> None:  # noqa: FBT001 a table's column
        self.code = code
        self.outcome = outcome
        self.sent = sent

    @property
    def label(self) -> str:
        """What the access record says of an attempt that was followed by another."""
        return self.outcome


class UpstreamError(Exception):
    """A Failure on its way out of a client; carries no text, which might hold a secret."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.outcome)
        self.failure = failure


@dataclass(slots=True, repr=False)
class RequestHead:
    """The head of a request to a provider, complete but for `host` and framing.

    `target` goes on the wire as it is. `text` is where a client may keep what it sends for it.
    """

    method: str
    origin: Origin
    target: bytes
    headers: Pairs
    text: bytes = field(default=b"", compare=False)


def _ignore() -> None:
    """The default of `sent`: does nothing."""


class Attempt(msgspec.Struct, eq=False):
    """One request to one provider.

    `body` is bytes, or chunks of `length` bytes in all (None: not known, sent chunked). `connect`
    is in seconds, for all that comes before the first byte is sent: resolving, TCP, a proxy, TLS.
    The other deadlines are the caller's: the client reads the first chunk of the body when it has
    a connection, each next one when the last was taken, and calls `sent` once all was taken.
    """

    head: RequestHead
    body: Body
    length: int | None
    connect: float
    sent: Callable[[], None] = _ignore

    def with_head(self, head: RequestHead) -> "Attempt":
        """The same with another head."""
        return msgspec.structs.replace(self, head=head)


async def in_chunks(body: bytes) -> AsyncIterator[memoryview]:
    """A large body as chunks that a provider takes one after the other."""
    view = memoryview(body)
    for start in range(0, len(view), CHUNK_BYTES):
        yield view[start : start + CHUNK_BYTES]


class UpstreamResponse(Protocol):
    """A response whose head has arrived. Must be closed, whatever becomes of it.

    Names in `headers` are in lower case; `fields` has them by name; the last one wins. `length` is the declared size of the body, None when it
    is not declared or there is none.
    """

    status: int
    headers: Pairs
    length: int | None

    @property
    def fields(self) -> Mapping[bytes, bytes]:
        """The headers by name."""

    @property
    def is_complete(self) -> bool:
        """Whether all of the body is known to have arrived."""

    def arrived(self) -> bytes:
        """All of the body that has arrived and was not read yet, without waiting."""

    async def forward(self, write: Write) -> None:
        """Call `write` with each chunk of the body as it arrives, undecoded, up to its end.

        Reading from the provider pauses while what `write` returned is awaited.

        Raises:
            UpstreamError: the body ended before it was complete.
        """

    def close(self) -> Awaitable[None] | None:
        """Give the connection back, or drop it if the body was not read to its end; what has to be awaited for that."""


class Client(Protocol):
    """Performs attempts; one for each worker."""

    def send(self, attempt: Attempt) -> Awaitable[UpstreamResponse]:
        """Send `attempt` and wait for the head of the response, without a deadline of its own.

        Raises:
            UpstreamError: there is no response.
        """

    async def close(self) -> None:
        """Drop every connection."""
