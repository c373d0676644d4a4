"""Attempts through httpx2's transport.

The transport alone is used: no cookie jar (it would carry one caller's cookies to the next), no
redirects, no proxy but the one a provider names, no decoding. Every exception becomes a Failure by
its class and cause; its text is dropped.

No HTTP/2: httpcore2 does not reset the stream of a caller who left, and a model would go on. And one request for each
connection: bytes behind a response stay in the library, which takes them for the response to the next request (RFC
9112, 9.2), and nothing public shows that they are there.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import cast

import httpx2

from engine.plan.plan import Origin
from engine.upstream import Attempt, Failure, Pairs, UpstreamError, Write
from engine.upstream.tls import client_context

CLOSE_SECONDS = 1.0

# Responses that end with their head whatever they declare (RFC 9110, 15.3.5 and 15.4.5).
_BODYLESS = {204, 304}

# No header value holds these (RFC 9110, 5.5); the library lets them through, and the server fails.
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

# What says that nothing was sent; any other error may have come after the first byte.
_UNSENT = {
    httpx2.ConnectTimeout: Failure.CONNECT_TIMEOUT,
    httpx2.ConnectError: Failure.CONNECT_FAILED,
    httpx2.ProxyError: Failure.CONNECT_FAILED,  # it opened no tunnel
    httpx2.UnsupportedProtocol: Failure.CONNECT_FAILED,
}


class HttpxResponse:
    """A response being read."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Pairs = [(name.lower(), value) for name, value in response.headers.raw]
        self.fields: Mapping[bytes, bytes] = dict(self.headers)
        self.length = _declared_length(response)
        self.is_complete = False  # known only when reading ends
        self._chunks = response.aiter_raw()

    def arrived(self) -> bytes:
        """Nothing: this client says what has come only when it is asked to wait."""
        return b""

    async def forward(self, write: Write) -> None:
        """Pass the body on, undecoded."""
        try:
            async for chunk in self._chunks:
                blocked = write(chunk) if chunk else None
                if blocked is not None:
                    await blocked
        except (httpx2.TransportError, httpx2.StreamError):
            raise UpstreamError(Failure.TRUNCATED) from None

    async def close(self) -> None:
        """Close even while being cancelled, but never for long."""
        closing = asyncio.ensure_future(self._close())
        await asyncio.wait({closing}, timeout=CLOSE_SECONDS)

    async def _close(self) -> None:
        await self._chunks.aclose()
        await self._response.aclose()


class HttpxClient:
    """A transport for each authority and each proxy."""

    def __init__(self) -> None:
        self._transports: dict[tuple[str | None, str | None], httpx2.AsyncHTTPTransport] = {}

    async def send(self, attempt: Attempt) -> HttpxResponse:
        """Send `attempt` and wait for the head of the response."""
        transport = self._transport(attempt.head.origin)
        try:
            # The library has a time limit for each step of connecting, and none for some.
            async with asyncio.timeout(attempt.connect) as connecting:
                response = HttpxResponse(
                    await transport.handle_async_request(
                        _request(attempt, _sending(attempt, connecting))
                    )
                )
        except TimeoutError:
            raise UpstreamError(Failure.CONNECT_TIMEOUT) from None
        except httpx2.TransportError as error:
            raise UpstreamError(_failure(error)) from None
        if not 200 <= response.status <= 599 or any(
            _CONTROL.search(v) for _, v in response.headers
        ):
            await response.close()
            raise UpstreamError(Failure.BAD_RESPONSE)
        return response

    async def close(self) -> None:
        """Nothing: no connection rests, and those with a request go on."""

    def _transport(self, origin: Origin) -> httpx2.AsyncHTTPTransport:
        key = origin.ca, origin.proxy
        if key not in self._transports:
            self._transports[key] = httpx2.AsyncHTTPTransport(
                trust_env=False,
                verify=client_context(origin.ca),  # the same trust as the default client's
                proxy=_proxy(origin.proxy),
                # How many requests run at once is for the limiter to say.
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
            )
        return self._transports[key]


def _proxy(url: str | None) -> httpx2.Proxy | None:
    if url is None:
        return None
    return httpx2.Proxy(url, ssl_context=client_context(None) if url.startswith("https:") else None)


def _declared_length(response: httpx2.Response) -> int | None:
    """The size the body is held to; chunked framing overrules a declared one (RFC 9112, 6.3)."""
    declared: str = response.headers.get("content-length", "")
    is_framed = "transfer-encoding" in response.headers or response.status_code in _BODYLESS
    return int(declared) if declared.isdecimal() and not is_framed else None


async def _sending(attempt: Attempt, connecting: asyncio.Timeout) -> AsyncIterator[bytes]:
    """The body, which is asked for when there is a connection, and again when a chunk was taken."""
    connecting.reschedule(None)
    if isinstance(attempt.body, bytes):
        yield attempt.body
    else:
        async for chunk in attempt.body:
            yield cast("bytes", chunk)  # the library takes any buffer
    attempt.sent()


def _request(attempt: Attempt, body: AsyncIterator[bytes]) -> httpx2.Request:
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
        content=body,
        extensions={"target": head.target},
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
    """A close without a response and a malformed response share one class in httpx2."""
    return "disconnected" in str(error)
