"""What browsers may do: pages of other sites, with the operator's leave (CORS) or without.

A gateway without keys takes no request that another site is behind. A page in somebody's browser can
make it call a loopback address, and so can a name that suddenly leads there (DNS rebinding).
"""

import re
from collections.abc import Awaitable, Mapping
from ipaddress import ip_address
from typing import Any

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.body import Message, Send
from engine.plan.plan import Cors
from engine.upstream import Pairs

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::[0-9]{0,5})?")
_SAME = {b"same-origin", b"none"}  # values of sec-fetch-site; `none` is an address somebody typed
_FIELD_NAMES = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z, \t]{1,4096}")
_METHOD = re.compile(rb"[A-Za-z]{1,32}")
_ANY = b"*"


def with_cors_headers(cors: Cors, scope: Mapping[str, Any], send: Send) -> Send:
    """`send` for a response that pages of the allowed origins may read, whatever it is."""
    headers = _cors_headers(cors, dict(scope["headers"]).get(b"origin"))

    def sending(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        return send(message)

    return sending


def _cors_headers(cors: Cors, origin: bytes | None) -> Pairs:
    expose = (b"access-control-expose-headers", b"*")
    if _ANY in cors.origins:
        return [(b"access-control-allow-origin", b"*"), expose]
    vary = (b"vary", b"origin")
    if origin is None or origin not in cors.origins:
        return [vary]
    return [vary, (b"access-control-allow-origin", origin), expose]


def preflight(cors: Cors, scope: Mapping[str, Any]) -> Pairs | None:
    """The headers of the response to a preflight of an allowed page; else None.

    Any path and method may be asked for, so that the page can read why the request is refused.
    """
    fields = dict(scope["headers"])
    method = fields.get(b"access-control-request-method", b"")
    if scope["method"] != "OPTIONS" or not _METHOD.fullmatch(method):
        return None
    if _ANY not in cors.origins and fields.get(b"origin") not in cors.origins:
        return None
    headers = [
        (b"access-control-allow-methods", method),
        (b"access-control-max-age", b"%d" % cors.max_age),
    ]
    asked = fields.get(b"access-control-request-headers", b"")
    if _FIELD_NAMES.fullmatch(asked):  # which of them go up is decided later
        headers.append((b"access-control-allow-headers", asked))
    if fields.get(b"access-control-request-private-network") == b"true":
        headers.append((b"access-control-allow-private-network", b"true"))
    return headers


def refuse_cross_site(headers: Pairs, cors: Cors | None) -> None:
    """Refuse what does not call a loopback name, or comes from a page that is not from here.

    A page whose origin the operator named may come; `*` is no name.

    Raises:
        GatewayError: `not_local`.
    """
    host = next((value for name, value in headers if name == b"host"), b"")
    if host and not _is_loopback(host):  # what sends none is no browser
        raise GatewayError(
            "not_local",
            "this gateway asks for no key, so it serves only localhost, 127.0.0.1 and [::1]; "
            "use one of them, or give it keys",
        )
    origins = {value for name, value in headers if name == b"origin"}
    if cors is not None and origins and origins <= cors.origins:
        return
    for name, value in headers:
        is_foreign = (name == b"sec-fetch-site" and value not in _SAME) or (
            name == b"origin" and value.lower() != b"http://" + host.lower()
        )
        if is_foreign:
            raise GatewayError(
                "not_local",
                "this gateway asks for no key, so it takes no requests from pages of other sites",
            )


def _is_loopback(host: bytes) -> bool:
    found = _HOST.fullmatch(host.decode("latin-1"))
    if found is None:
        return False
    name = found[1].strip("[]").lower()
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
