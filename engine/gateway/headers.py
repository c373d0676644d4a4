"""What goes up, what comes back, what never crosses.

Upwards it is an allow-list: a small safe set plus what the provider forwards. Downwards everything
crosses but the headers that frame a message or speak about a host.
"""

from collections.abc import Callable, Iterable, Mapping

from engine.plan import Context, Header, Provider

Pairs = list[tuple[bytes, bytes]]

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
ALWAYS_UP = frozenset({b"accept", b"accept-language", b"content-type", b"user-agent"})
# Framing is the engine's own; cookies and host policies of an upstream are not the gateway's.
_NEVER_DOWN = HOP_BY_HOP | {
    b"alt-svc",
    b"content-length",
    b"set-cookie",
    b"strict-transport-security",
}
_OWN = b"x-engine-"
# What is known of names that upstreams have sent: they are few, and asked about all the time.
_COMES_DOWN: dict[bytes, bool] = {}
_MAX_KNOWN = 4096


def request_headers(received: Pairs, provider: Provider) -> Pairs:
    """The caller's headers that `provider` may see, in their order."""
    forward, prefixes = provider.forward, provider.forward_prefixes
    passed = [
        pair
        for pair in received
        if pair[0] in ALWAYS_UP or pair[0] in forward or (prefixes and pair[0].startswith(prefixes))
    ]
    dropped = _connection_listed(received)
    return [pair for pair in passed if pair[0] not in dropped] if dropped else passed


def with_defaults(forwarded: Pairs, defaults: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """`forwarded` with each default that the caller did not send."""
    sent = {name for name, _ in forwarded}
    return forwarded + [pair for pair in defaults if pair[0] not in sent]


def upstream_headers(
    forwarded: Pairs,
    received: Mapping[bytes, bytes],
    own: Iterable[Header],
    context: Callable[[], Context],
) -> Pairs:
    """The whole header list of an upstream request, but for `host` and framing.

    The provider's own headers come last and replace forwarded ones of the same name, so nothing a
    caller sends can remove or shadow an injected credential.
    """
    injected: Pairs = []
    for header in own:
        value = header.value
        if not isinstance(value, bytes):
            text = value(context())
            if text is None:
                continue
            value = text.encode("ascii")
        injected.append((header.name, value))
    names = dict(injected)
    headers = [pair for pair in forwarded if pair[0] not in names]
    headers.append((b"accept-encoding", received.get(b"accept-encoding", b"identity")))
    return headers + injected


def response_headers(received: Pairs, fields: Mapping[bytes, bytes]) -> Pairs:
    """The upstream's headers as the caller gets them; names are in lower case on both sides.

    `fields` has them by name; of several, the last.
    """
    try:
        passed = [pair for pair in received if _COMES_DOWN[pair[0]]]
    except KeyError:
        if len(_COMES_DOWN) > _MAX_KNOWN:
            _COMES_DOWN.clear()
        for name in fields:
            _COMES_DOWN[name] = name not in _NEVER_DOWN and not name.startswith(_OWN)
        passed = [pair for pair in received if _COMES_DOWN[pair[0]]]
    if b"connection" not in fields:
        return passed
    dropped = _connection_listed(received)
    return [pair for pair in passed if pair[0] not in dropped] if dropped else passed


def _connection_listed(pairs: Pairs) -> frozenset[bytes]:
    """The names that `connection` declares hop-by-hop."""
    listed = [value for name, value in pairs if name == b"connection"]
    if not listed or listed == [b"keep-alive"]:
        return frozenset()
    return frozenset(name.strip().lower() for name in b",".join(listed).split(b","))
