"""Attempts through httpx2's transport.

The transport alone is used: no cookie jar (it would carry one caller's cookies to the next), no
redirects, no environment proxies, no decoding. Every exception becomes a Failure by its class and
cause; its text is dropped.
"""

import asyncio
import socket
import ssl

import httpx2

from engine.upstream import Attempt, Failure, Pairs, Receiver, UpstreamError
from engine.upstream.tls import trusting

KEEPALIVE_SECONDS = 30.0
KEEPALIVE_CONNECTIONS = 256
CLOSE_SECONDS = 1.0

# Answers that end with their head whatever they declare (RFC 9110, 15.3.5 and 15.4.5).
_BODYLESS = {204, 304}

# What says that nothing was sent; any other error may have come after the first byte.
_UNSENT = {
    httpx2.ConnectTimeout: Failure.CONNECT_TIMEOUT,
    httpx2.ConnectError: Failure.CONNECT_FAILED,
    httpx2.UnsupportedProtocol: Failure.CONNECT_FAILED,
}


class HttpxReply:
    """An answer being read."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Pairs = [(name.lower(), value) for name, value in response.headers.raw]
        self.length = _declared_length(response)
        self.is_complete = False  # known only when reading ends
        self._pieces = response.aiter_raw()

    def arrived(self) -> bytes:
        """Nothing: this client says what has come only when it is asked to wait."""
        return b""

    async def forward(self, receiver: Receiver) -> bool:
        """Hand on the body, undecoded."""
        try:
            async for piece in self._pieces:
                if piece and not receiver(piece):
                    return False
        except (httpx2.TransportError, httpx2.StreamError):
            raise UpstreamError(Failure.TRUNCATED) from None
        return True

    async def close(self) -> None:
        """Close even while being cancelled, but never for long."""
        closing = asyncio.ensure_future(self._close())
        await asyncio.wait({closing}, timeout=CLOSE_SECONDS)

    async def _close(self) -> None:
        await self._pieces.aclose()
        await self._response.aclose()


class HttpxClient:
    """A connection pool of httpx2 for each authority; how many requests run at once is for the limiter to say."""

    def __init__(self) -> None:
        self._transports: dict[str | None, httpx2.AsyncHTTPTransport] = {None: _transport(None)}

    async def send(self, attempt: Attempt) -> HttpxReply:
        """Send `attempt` and wait for the head of the answer."""
        try:
            transport = self._transports.get(attempt.head.origin.ca)
            if transport is None:
                transport = self._transports[attempt.head.origin.ca] = _transport(
                    attempt.head.origin.ca
                )
            response = await transport.handle_async_request(_request(attempt))
        except httpx2.TransportError as error:
            raise UpstreamError(_failure(error)) from None
        reply = HttpxReply(response)
        if not 200 <= reply.status <= 599:
            await reply.close()
            raise UpstreamError(Failure.BAD_RESPONSE)
        return reply

    async def close(self) -> None:
        """Drop every connection."""
        for transport in self._transports.values():
            await transport.aclose()


def _transport(ca: str | None) -> httpx2.AsyncHTTPTransport:
    return httpx2.AsyncHTTPTransport(
        trust_env=False,
        verify=trusting(ca),  # the same trust as the default client's
        limits=httpx2.Limits(
            max_connections=None,
            max_keepalive_connections=KEEPALIVE_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
    )


def _declared_length(response: httpx2.Response) -> int | None:
    """The size the body is held to; chunked framing overrules a declared one (RFC 9112, 6.3)."""
    declared: str = response.headers.get("content-length", "")
    is_framed = "transfer-encoding" in response.headers or response.status_code in _BODYLESS
    return int(declared) if declared.isdecimal() and not is_framed else None


def _request(attempt: Attempt) -> httpx2.Request:
    head = attempt.head
    headers = [(b"host", head.origin.authority), *head.headers]
    if attempt.length is None:
        headers.append((b"transfer-encoding", b"chunked"))
    else:
        headers.append((b"content-length", str(attempt.length).encode("ascii")))
    return httpx2.Request(
        head.method,
        str(head.origin),
        headers=headers,
        content=attempt.body,
        extensions={"target": head.target, "timeout": {"connect": attempt.connect}},
    )


def _failure(error: httpx2.TransportError) -> Failure:
    for kind, failure in _UNSENT.items():
        if isinstance(error, kind):
            return _connect_failure(error) if failure is Failure.CONNECT_FAILED else failure
    if isinstance(error, httpx2.RemoteProtocolError) and not _is_disconnect(error):
        return Failure.BAD_RESPONSE
    return Failure.CLOSED


def _connect_failure(error: BaseException) -> Failure:
    """Name resolution and TLS by the cause, however deep the client wrapped it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return Failure.DNS_FAILED
        if isinstance(cause, ssl.SSLError):
            return Failure.TLS_FAILED
        cause = cause.__cause__ or cause.__context__
    return Failure.CONNECT_FAILED


def _is_disconnect(error: httpx2.RemoteProtocolError) -> bool:
    """A close without an answer and a malformed answer share one class in httpx2."""
    return "disconnected" in str(error)
