"""How whole messages are framed towards callers: what of theirs is refused, what is sent."""

import re
import types
from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import lru_cache
from typing import Any

from engine.gateway.errors import GatewayError
from engine.gateway.headers import Pairs, response_headers, without_redirect
from engine.gateway.inbound.body import Message

Send = Callable[[Message], Awaitable[None]]

_CHUNKED = (b"transfer-encoding", b"chunked")
_BODYLESS = {204, 304}  # RFC 9110, 15.3.5 and 15.4.5
_OLDER = frozenset({"1", "1.0"})  # HTTP/1.0; the server writes it the shorter way
MAX_TYPE = 128  # bytes of a content type that are looked at, and kept

_HOST = re.compile(rb"[0-9A-Za-z._~%:\[\]-]+")


def check_framing(headers: Pairs, version: str = "1.1") -> None:
    """Refuse what the server lets through and RFC 9112 does not (3.2, 6.1).

    HTTP/1.0 has no `host`, so a request of that version may come without one; the server adds an
    empty one then.

    Raises:
        GatewayError: `invalid_request`.
    """
    fields = dict(headers)
    is_once = len(fields) == len(headers) or [n for n, _ in headers].count(b"host") == 1
    is_older = version in _OLDER and not any(v for n, v in headers if n == b"host")
    if not is_older and (not is_once or not _HOST.fullmatch(fields.get(b"host", b""))):
        raise GatewayError("invalid_request", "a request needs exactly one `host` header")
    if b"transfer-encoding" in fields:
        codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
        if any(coding != b"chunked" for coding in codings):
            raise GatewayError("invalid_request", "the only transfer coding here is `chunked`")


def refuse_handshake(scope: Mapping[str, Any]) -> None:
    """Refuse a handshake for a WebSocket with the status that tells clients to go on without one.

    A caller who merely offers to change the protocol is served as it is (RFC 9110, 7.8).

    Raises:
        GatewayError: `upgrade_not_offered`.
    """
    offers = b",".join(value for name, value in scope["headers"] if name == b"upgrade")
    named = {offer.partition(b"/")[0].strip() for offer in offers.lower().split(b",")}
    if scope["http_version"] not in _OLDER and b"websocket" in named:
        headers = ((b"upgrade", b"HTTP/1.1"), (b"connection", b"upgrade"))
        raise GatewayError("upgrade_not_offered", "no WebSockets here; send POST", headers=headers)


def id_headers(request_id: str) -> Pairs:
    """The headers that carry the engine's id of a request, where the engine answers itself."""
    return [
        (name, request_id.encode("ascii")) for name in (b"x-engine-request-id", b"x-request-id")
    ]


def response_head(
    status: int, received: Pairs, length: int | None, request_id: str
) -> tuple[Pairs, int | None, bool]:
    """The headers of an upstream's answer for the caller, framed by us.

    A body of declared length keeps it; any other is chunked, which is said here, since the server
    would count a body that it is given whole. Beside the headers the length that the body is held
    to, and whether it is an event stream that can take an event of our own.
    """
    fields = dict(received)
    headers = response_headers(received, fields)
    if b"location" in fields and 300 <= status < 400:
        headers = without_redirect(headers)
    own_id = request_id.encode("ascii")
    headers.append((b"x-engine-request-id", own_id))
    if b"x-request-id" not in fields:
        headers.append((b"x-request-id", own_id))
    if status in _BODYLESS:
        return headers, None, False
    if _is_event_stream(fields.get(b"content-type", b"")[:MAX_TYPE]):
        headers.append((b"x-accel-buffering", b"no"))
        headers.append(_CHUNKED)  # of no declared length, since an error event may have to follow
        return headers, None, fields.get(b"content-encoding", b"identity").lower() == b"identity"
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    else:
        headers.append(_CHUNKED)
    return headers, length, False


@lru_cache(maxsize=256)
def _is_event_stream(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"text/event-stream"


def run_until_blocked(sending: Awaitable[None]) -> Awaitable[None] | None:
    """Take `sending` as far as it goes without waiting; what is left of it, or None."""
    steps = sending.__await__()
    for waited in steps:
        return _rest(waited, steps)
    return None


@types.coroutine
def _rest(waited: object, steps: Generator[Any, Any, None]) -> Generator[Any, Any, None]:
    """Wait for what an awaitable waits for that was begun elsewhere, and go on with it."""
    yield waited
    yield from steps


async def send_response(send: Send, status: int, headers: Pairs, body: bytes) -> None:
    """Send a whole response."""
    if status not in _BODYLESS:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
