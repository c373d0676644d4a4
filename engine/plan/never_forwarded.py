"""The request headers that are never forwarded to a provider, whatever its entry says; used by both sides."""

# RFC 9110, 7.6.1, and the older names that are still seen.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Where official SDKs put a key, and so where callers put the gateway key.
KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
_FRAMING = frozenset(
    {b"content-encoding", b"content-length", b"expect", b"host", b"http2-settings"}
)
_COOKIES = frozenset({b"cookie", b"cookie2", b"set-cookie"})
# Who forwarded a request, or where it should go instead: servers trust it of their own proxies.
_FORWARDING = frozenset(
    {
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"forwarded",
        b"true-client-ip",
        b"via",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-host",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-host",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
    }
)
# What a caller's own systems say to each other beside a trace (W3C Baggage): users, tenants, anything.
_BAGGAGE = frozenset({b"baggage"})
NAMES = HOP_BY_HOP | KEY_HEADERS | _FRAMING | _COOKIES | _FORWARDING | _BAGGAGE
PREFIXES = (b"proxy-", b"x-engine-", b"x-forwarded-")


def is_never_forwarded(name: bytes) -> bool:
    """Whether a caller's header `name`, in lower case, is forwarded to no provider.

    An underscore counts as a hyphen: CGI, and what follows it, reads both as the same.
    """
    name = name.replace(b"_", b"-")
    return name in NAMES or name.startswith(PREFIXES)


def has_secret(name: bytes) -> bool:
    """Whether a header `name`, in lower case, holds a key or a cookie; an underscore counts as a hyphen."""
    return name.replace(b"_", b"-") in KEY_HEADERS | _COOKIES | {b"proxy-authorization"}


def never_forwarded_by(pattern: bytes, credentials: frozenset[bytes]) -> list[bytes]:
    """What an entry of `forward_headers` covers that is never forwarded; `credentials` are more names."""
    names = NAMES | credentials
    written, pattern = pattern, pattern.replace(b"_", b"-")
    if not pattern.endswith(b"*"):
        return [written] if pattern in names or pattern.startswith(PREFIXES) else []
    start = pattern[:-1]
    whole = [
        begin + b"*" for begin in PREFIXES if begin.startswith(start) or start.startswith(begin)
    ]
    return [*sorted(name for name in names if name.startswith(start)), *whole]
