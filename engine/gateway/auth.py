"""Who is calling: a gateway key, found in one of four headers, to a Caller by its SHA-256 digest."""

import hashlib
from collections.abc import Iterable, Mapping

from engine.gateway.errors import GatewayError
from engine.plan import Caller

Headers = Iterable[tuple[bytes, bytes]]

# Where official SDKs put a key. All of them are removed before anything goes upstream.
KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
MAX_KEY = 256

ANONYMOUS = Caller("anonymous", None, None, (), None)


def authenticate(headers: Headers, callers: Mapping[bytes, Caller] | None, now: float) -> Caller:
    """The holder of the gateway key in `headers`; `callers` None means that none is asked for.

    Several key headers may be present, as when an SDK sends a credential of its own as well; one
    holder must be found among them, and a header sent twice is refused.

    Raises:
        GatewayError: `missing_api_key`, `invalid_api_key` or `expired_api_key`.
    """
    if callers is None:
        return ANONYMOUS
    presented = [(name, value) for name, value in headers if name in KEY_HEADERS]
    if not presented:
        raise GatewayError(
            "missing_api_key",
            "no API key was sent; send the gateway key as `authorization: Bearer sk-orq-...`",
        )
    digests = [hashlib.sha256(_token(name, value)).digest() for name, value in presented]
    found = {digest for digest in digests if digest in callers}
    if len(found) != 1 or len(dict(presented)) != len(presented):
        raise GatewayError("invalid_api_key", "the API key is not valid for this gateway")
    caller = callers[found.pop()]
    if caller.expires is not None and caller.expires <= now:
        raise GatewayError("expired_api_key", "the API key has expired")
    return caller


def _token(name: bytes, value: bytes) -> bytes:
    """The key in a header. An overlong one is cut, which no real key survives."""
    if name == b"authorization":
        scheme, _, token = value[: MAX_KEY + 16].partition(b" ")
        return token.strip() if scheme.lower() == b"bearer" else b""
    return value[: MAX_KEY + 16]
