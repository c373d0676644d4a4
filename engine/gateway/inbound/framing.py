"""What of a request's framing is refused although the server lets it through."""

import re
from collections.abc import Mapping
from typing import Any

from engine.gateway.errors import GatewayError
from engine.upstream import Pairs

_OLDER = frozenset({"1", "1.0"})  # HTTP/1.0; the server writes it the shorter way
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
        if codings != [b"chunked"]:
            message = "the only supported transfer coding is `chunked`, applied once"
            raise GatewayError("invalid_request", message)


def refuse_handshake(scope: Mapping[str, Any]) -> None:
    """Refuse a handshake for a WebSocket with the status at which clients go on without one.

    A caller who merely offers to change the protocol is served as it is (RFC 9110, 7.8).

    Raises:
        GatewayError: `upgrade_not_offered`.
    """
    offers = b",".join(value for name, value in scope["headers"] if name == b"upgrade")
    named = {offer.partition(b"/")[0].strip() for offer in offers.lower().split(b",")}
    if scope["http_version"] not in _OLDER and b"websocket" in named:
        headers = ((b"upgrade", b"HTTP/1.1"), (b"connection", b"upgrade"))
        raise GatewayError(
            "upgrade_not_offered",
            "this gateway does not support WebSockets; send a POST request",
            headers=headers,
        )
