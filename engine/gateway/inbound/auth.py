"""Who is calling: a gateway key, found in one of four headers, to a Caller by its SHA-256 digest."""

import hashlib
from collections.abc import Iterable, Mapping

from engine.gateway.errors import GatewayError
from engine.plan.never_forwarded import KEY_HEADERS
from engine.plan.plan import Caller

Headers = Iterable[tuple[bytes, bytes]]

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
    if all(_is_blank(name, value) for name, value in presented):
        words = "no API key was sent; send the gateway key as `authorization: Bearer sk-orq-...`"
        raise GatewayError("missing_api_key", words)
    digests = presented_digests(presented)
    found = {digest for digest in digests if digest in callers}
    if len(found) != 1 or len(dict(presented)) != len(presented):
        problems = (_form_problem(name, value) for name, value in presented)
        words = next(filter(None, problems), "the API key is not valid for this gateway")
        raise GatewayError("invalid_api_key", words)
    caller = callers[found.pop()]
    if caller.expires is not None and caller.expires <= now:
        raise GatewayError("expired_api_key", "the API key has expired")
    return caller


def presented_digests(headers: Headers) -> list[bytes]:
    """The SHA-256 digest of the key in each key header that has one."""
    keys = (_key(*pair) for pair in headers if pair[0] in KEY_HEADERS)
    return [hashlib.sha256(key).digest() for key in keys if key]


def _is_blank(name: bytes, value: bytes) -> bool:
    """Whether a header carries no key at all: nothing, or a scheme alone."""
    return value.strip().lower() in ((b"", b"bearer") if name == b"authorization" else (b"",))


def _key(name: bytes, value: bytes) -> bytes:
    """The key in a header, or nothing. An overlong one is cut, which no real key survives."""
    value = value[: MAX_KEY + 16]
    if name != b"authorization":
        return value
    scheme, _, key = value.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


def _form_problem(name: bytes, value: bytes) -> str | None:
    """What is wrong with how a key is written. It says nothing of the key, and quotes none of it."""
    header, words = f"`{name.decode('ascii')}`", value[: MAX_KEY + 16].lower().split()
    right = "send `authorization: Bearer sk-orq-...`"
    if not words:
        return None
    if name != b"authorization":
        is_bare = len(words) == 1 or words[0] != b"bearer"
        return None if is_bare else f"the header {header} must have only the key, without `Bearer`"
    if len(words) == 1:
        return f"the header {header} has a key without a scheme; {right}"
    if words[0] != b"bearer":
        return f"the header {header} has another scheme than `Bearer`; {right}"
    if words[1] == b"bearer":
        return f"the header {header} says `Bearer` twice; {right}"
    return None
