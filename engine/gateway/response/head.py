"""The head of a response to a caller, and responses that the gateway writes whole."""

from collections.abc import Awaitable, Mapping, Sequence

from engine.gateway.headers import response_headers, without_redirect
from engine.gateway.inbound.body import Message, Send
from engine.upstream import Pairs

_CHUNKED = (b"transfer-encoding", b"chunked")
_EVENT_STREAM = b"text/event-stream"
_BODYLESS = {204, 304}  # RFC 9110, 15.3.5 and 15.4.5


def id_headers(request_id: str) -> Pairs:
    """The headers with the id of a request, for a response of the gateway's own."""
    return [
        (name, request_id.encode("ascii")) for name in (b"x-engine-request-id", b"x-request-id")
    ]


def response_head(  # noqa: PLR0913, PLR0917 called for each request
    status: int,
    received: Pairs,
    fields: Mapping[bytes, bytes],
    length: int | None,
    request_id: str,
    names: Mapping[bytes, bool],
) -> tuple[Pairs, int | None, bool]:
    """The headers of a provider's response for the caller, framed by the gateway; `fields` are these by name.

    A body of declared length keeps it; any other is declared chunked, since the server would
    otherwise send the length of a body that it gets in one message. Beside the headers: the length
    that the body must have, and whether it is an event stream that an event of ours can follow.
    """
    headers = response_headers(received, fields, names)
    if 300 <= status < 400 and b"location" in fields:
        headers = without_redirect(headers)
    own_id = request_id.encode("ascii")
    headers.append((b"x-engine-request-id", own_id))
    if b"x-request-id" not in fields:
        headers.append((b"x-request-id", own_id))
    if status in _BODYLESS:
        return headers, None, False
    content_type = fields.get(b"content-type", b"")
    is_json = content_type == b"application/json"  # most are, and this saves reading it
    if not is_json and content_type.partition(b";")[0].strip().lower() == _EVENT_STREAM:
        headers.append((b"x-accel-buffering", b"no"))
        headers.append(_CHUNKED)  # also of a declared length: an error event may have to follow
        return headers, None, fields.get(b"content-encoding", b"identity").lower() == b"identity"
    headers.append(_CHUNKED if length is None else (b"content-length", b"%d" % length))
    return headers, length, False


def with_own(headers: Pairs, own: Sequence[tuple[bytes, bytes]]) -> Pairs:
    """`headers` with the gateway's own in place of those of the same names."""
    names = {name for name, _ in own}
    return [*(pair for pair in headers if pair[0] not in names), *own]


async def send_response(send: Send, status: int, headers: Pairs, body: bytes) -> None:
    """Send a whole response."""
    if status not in _BODYLESS:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def without_body(send: Send) -> Send:
    """`send` for a response to HEAD, which has the headers of one to GET alone (RFC 9110, 9.3.2).

    In HTTP/1.1 the server leaves the body out, in HTTP/2 it does not.
    """

    def sending(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.body":
            message["body"] = b""
        return send(message)

    return sending
