"""Receives a request body from the caller: bounded in size, in chunks and in time."""

from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any

from engine.gateway.cancellation import Deadline
from engine.gateway.errors import GatewayError
from engine.plan.plan import Endpoint

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Tiny chunks cost far more than their bytes; no real client sends them for long.
FREE_CHUNKS = 1000
MIN_CHUNK = 64
# Once `caller_idle` has passed, what has come must have come at this rate, so that drips cannot hold
# a slot; and whatever the rate, a body that is read whole has come before `total`.
MIN_RATE = 1024


class CallerGone(Exception):  # noqa: N818 an event, not an error
    """The caller closed the connection. A body cut short is never taken for a whole one."""


class CallerStalled(Exception):  # noqa: N818 an event, not an error
    """The caller does not read the response."""


class RequestBodyReader:
    """The body of one request, chunk by chunk.

    `received` counts its bytes so far; it is framed to have `declared` of them, or None.

    Raises:
        GatewayError: `request_too_large`, before any of it is read.
    """

    __slots__ = (
        "_chunks",
        "_deadline",
        "_endpoint",
        "_receive",
        "complete",
        "declared",
        "received",
        "started_at",
    )  # fmt: skip

    def __init__(
        self, receive: Receive, endpoint: Endpoint, deadline: Deadline, declared: int | None
    ) -> None:
        self._receive = receive
        self._endpoint = endpoint
        self._deadline = deadline
        self._chunks = 0
        self.started_at = monotonic()
        self.declared = declared
        self.received = 0
        self.complete = False
        if declared is not None and declared > endpoint.max_body:
            raise self._too_large()

    @property
    def size(self) -> int | None:
        """Bytes of the whole body; None while that is unknown."""
        return self.received if self.complete else self.declared

    async def chunk(self) -> bytes:
        """The next chunk, empty once the body is complete.

        Raises:
            CallerGone: the caller left before the end of the body.
            GatewayError: `request_too_large`, `bad_chunking`, or by the deadline `request_timeout`.
        """
        while not self.complete:
            self._deadline.allow(self._patience(), self._too_slow)
            data = self._taken(await self._receive())
            if data:
                return data
        return b""

    async def read_all(self) -> bytes:
        """All that is left of the body.

        Raises:
            GatewayError: as `chunk`, and `request_timeout` when it takes longer than `total` in all.
        """
        endpoint = self._endpoint
        self._deadline.limit(
            self.started_at + endpoint.total, self._too_long, endpoint.caller_idle, self._too_slow
        )
        try:
            receive = self._receive  # called from a slot, it is looked up without a cache: 0.1 us
            body = self._taken(await receive())
            if not self.complete:  # seldom
                chunks = [body]
                while chunk := await self.chunk():
                    chunks.append(chunk)
                body = b"".join(chunks)
        except BaseException as error:
            self._deadline.end(error)
            raise
        self._deadline.end()
        return body

    def _taken(self, message: Message) -> bytes:
        if message["type"] != "http.request":
            raise CallerGone
        data: bytes = message.get("body", b"")
        received = self.received = self.received + len(data)
        # The server reports the end in one more message, which a declared length need not wait for.
        self.complete = received == self.declared or not message.get("more_body", False)
        if received > self._endpoint.max_body:
            raise self._too_large()
        if not self.complete:
            self._chunks += 1
            if self._chunks >= FREE_CHUNKS and received < self._chunks * MIN_CHUNK:
                raise GatewayError("bad_chunking", "the body comes in too many tiny chunks")
        return data

    def _patience(self) -> float:
        """How long to wait for more: `caller_idle`, or as long as what has come is enough."""
        idle = self._endpoint.caller_idle
        if not self.received:
            return idle
        elapsed = monotonic() - self.started_at
        return min(idle, max(idle, self.received / MIN_RATE) - elapsed)

    def _too_large(self) -> GatewayError:
        return GatewayError(
            "request_too_large",
            f"the body is larger than {self._endpoint.max_body} bytes, the limit set by "
            f"`max_body` of endpoint `{self._endpoint.name}` in routes.yaml",
        )

    def _too_slow(self) -> GatewayError:
        return GatewayError(
            "request_timeout",
            f"the body came too slowly; `caller_idle` allows {self._endpoint.caller_idle:g} s without progress, "
            f"and then {MIN_RATE} bytes a second",
        )

    def _too_long(self) -> GatewayError:
        words = f"the body took longer than the {self._endpoint.total:g} s that `total` allows"
        return GatewayError("request_timeout", words)
