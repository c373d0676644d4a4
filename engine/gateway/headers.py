"""What goes up, what comes back, what never crosses.

Upwards it is an allow-list: a small safe set plus what the provider forwards. Downwards everything
crosses but the headers that frame a message or speak about a host.
"""

from collections.abc import Callable, Iterable, Mapping

from engine.plan import Context, Header, Provider
from engine.withheld import HOP_BY_HOP, is_withheld

Pairs = list[tuple[bytes, bytes]]

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
_COMES_DOWN: dict[bytes, bool] = {}  # at most MAX_NAMES names of at most MAX_NAME bytes
MAX_NAMES = 1024
MAX_NAME = 64


def request_headers(received: Pairs, provider: Provider) -> Pairs:
    """The caller's headers that `provider` may see, in their order.

    Whatever it forwards, nothing of `withheld` is among them, nor a header that carries a caller's
    credential to any provider, nor a second one of those that the gateway writes itself.
    """
    passed = [pair for pair in received if pair[0] in ALWAYS_UP or _is_forwarded(pair[0], provider)]
    dropped = _connection_listed(received)
    return [pair for pair in passed if pair[0] not in dropped] if dropped else passed


def _is_forwarded(name: bytes, provider: Provider) -> bool:
    is_named = name in provider.forward or name.startswith(provider.forward_prefixes)
    return is_named and not (
        name in provider.bringable.headers or name == b"accept-encoding" or is_withheld(name)
    )


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
        passed = [pair for pair in received if _comes_down(pair[0])]
    if b"connection" not in fields:
        return passed
    dropped = _connection_listed(received)
    return [pair for pair in passed if pair[0] not in dropped] if dropped else passed


def _comes_down(name: bytes) -> bool:
    """Whether a header of this name crosses, remembered."""
    answer = _COMES_DOWN.get(name)
    if answer is None:
        answer = name not in _NEVER_DOWN and not name.startswith(_OWN)
        if len(name) <= MAX_NAME:
            if len(_COMES_DOWN) >= MAX_NAMES:
                _COMES_DOWN.clear()
            _COMES_DOWN[name] = answer
    return answer


def _connection_listed(pairs: Pairs) -> frozenset[bytes]:
    """The names that `connection` declares hop-by-hop."""
    listed = [value for name, value in pairs if name == b"connection"]
    if not listed or listed == [b"keep-alive"]:
        return frozenset()
    return frozenset(name.strip().lower() for name in b",".join(listed).split(b","))
