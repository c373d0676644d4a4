"""The head of a response to a caller, and responses that the gateway writes whole."""

from functools import lru_cache

from engine.gateway.headers import Pairs, response_headers, without_redirect
from engine.gateway.inbound.body import Send

_CHUNKED = (b"transfer-encoding", b"chunked")
_BODYLESS = {204, 304}  # RFC 9110, 15.3.5 and 15.4.5
MAX_TYPE = 128  # bytes of a content type that are looked at, and kept


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


async def send_response(send: Send, status: int, headers: Pairs, body: bytes) -> None:
    """Send a whole response."""
    if status not in _BODYLESS:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
