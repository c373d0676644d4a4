"""Which headers are forwarded to the provider, and which are relayed to the caller.

To the provider: an allow-list, a small safe set plus what the provider forwards. To the caller:
all headers except NOT_RELAYED, which frame a message or apply to the host of the provider.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import compress

from engine.plan.never_forwarded import HOP_BY_HOP, is_never_forwarded
from engine.plan.plan import Context, Header, Provider
from engine.upstream import Pairs
from engine.upstream.cache import BoundedCache

ALWAYS_FORWARDED = frozenset({b"accept", b"accept-language", b"content-type", b"user-agent"})
# What an upstream says to or for its own host, by the reason why it would be wrong from ours. A
# browser takes it as said by the gateway's host, and some proxies in front of it obey.
#
# What describes this response or how to go on comes down: caching, `etag`, `link`, `location`
# (see `without_redirect`), `retry-after`, `server-timing`, `www-authenticate`, `x-content-type-options`.
NOT_RELAYED: dict[str, tuple[bytes, ...]] = {
    "framing is the engine's own": (*sorted(HOP_BY_HOP), b"content-length"),
    "a cookie would be kept for the gateway's host": (b"set-cookie", b"set-cookie2", b"p3p"),
    "who may read a response of the gateway is for its operator to say": (
        b"access-control-*",
        b"cross-origin-*",
        b"origin-agent-cluster",
        b"timing-allow-origin",
        b"x-permitted-cross-domain-policies",
        b"x-frame-options",
    ),
    "how the gateway's host is reached, for longer than this response": (
        b"alt-svc",
        b"alternate-protocol",
        b"expect-ct",
        b"onion-location",
        b"public-key-pins",
        b"public-key-pins-report-only",
        b"strict-transport-security",
        b"x-i2p-location",
    ),
    "browsers would report on the gateway's host to somebody else": (
        b"nel",
        b"report-to",
        b"reporting-endpoints",
        b"attribution-reporting-*",
        b"observe-browsing-topics",
    ),
    "what pages and stored data of the gateway's host may do": (
        b"accept-ch",
        b"accept-ch-lifetime",
        b"activate-storage-access",
        b"ad-auction-*",
        b"clear-site-data",
        b"content-security-policy",
        b"content-security-policy-report-only",
        b"critical-ch",
        b"document-isolation-policy",
        b"document-policy",
        b"document-policy-report-only",
        b"feature-policy",
        b"integrity-policy",
        b"integrity-policy-report-only",
        b"origin-trial",
        b"permissions-policy",
        b"permissions-policy-report-only",
        b"referrer-policy",
        b"require-document-policy",
        b"sec-*",
        b"service-worker-allowed",
        b"set-login",
        b"shared-storage-*",
        b"speculation-rules",
        b"supports-loading-mode",
        b"use-as-dictionary",
        b"x-allow-fledge",
        b"x-content-security-policy",
        b"x-content-security-policy-report-only",
        b"x-dns-prefetch-control",
        b"x-download-options",
        b"x-ua-compatible",
        b"x-webkit-csp",
        b"x-webkit-csp-report-only",
        b"x-xss-protection",
    ),
    "a browser or its tools would fetch something else": (
        b"refresh",
        b"sourcemap",
        b"x-sourcemap",
    ),
    "a proxy in front of the gateway would serve a file of its own": (
        b"x-accel-*",
        b"x-lighttpd-*",
        b"x-litespeed-*",
        b"x-reproxy-*",
        b"x-sendfile*",
    ),
    "a cache in front of the gateway would keep, share or drop responses by the upstream's rules": (
        b"akamai-cache-control",
        b"cache-group-invalidation",
        b"cache-groups",
        b"cache-tag",
        b"cdn-cache-control",
        b"cloudflare-cdn-cache-control",
        b"edge-cache-tag",
        b"edge-control",
        b"fastly-cdn-cache-control",
        b"netlify-*",
        b"no-vary-search",
        b"surrogate-*",
        b"vercel-cache-tag",
        b"vercel-cdn-cache-control",
        b"xkey",
    ),
    "a balancer in front of the gateway would take the gateway for overloaded or broken": (
        b"endpoint-load-metrics*",
        b"x-envoy-degraded",
        b"x-envoy-immediate-health-check-fail",
        b"x-envoy-overloaded",
        b"x-envoy-ratelimited",
    ),
    "the engine's own": (b"x-engine-*",),
}
_NEVER_RELAYED = frozenset(name for names in NOT_RELAYED.values() for name in names)
_NEVER_RELAYED_PREFIXES = tuple(name[:-1] for name in _NEVER_RELAYED if name.endswith(b"*"))
MAX_NAMES_BYTES = 512 * 1024  # of the cache of names
MAX_NAME = 64  # bytes of one of them
# A path of the host that was called; clients read a second slash, or a backslash, as another host.
_PATH = re.compile(rb"/(?:[!-.0-\[\]-~][!-\[\]-~]*)?")


def request_headers(received: Pairs, provider: Provider) -> Pairs:
    """The caller's headers that `provider` may see, in their order.

    Whatever it forwards, nothing of `never_forwarded` is among them, nor a header that carries a caller's
    credential to any provider, nor a second one of those that the gateway writes itself.
    """
    passed = [
        pair for pair in received if pair[0] in ALWAYS_FORWARDED or _is_forwarded(pair[0], provider)
    ]
    dropped = _connection_listed(received)
    return [pair for pair in passed if pair[0] not in dropped] if dropped else passed


def _is_forwarded(name: bytes, provider: Provider) -> bool:
    is_named = name in provider.forward or name.startswith(provider.forward_prefixes)
    return is_named and not (
        name.replace(b"_", b"-") in provider.caller_inputs.headers
        or name == b"accept-encoding"
        or is_never_forwarded(name)
    )


def with_defaults(forwarded: Pairs, defaults: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """`forwarded` with each default that the caller did not send."""
    sent = {name for name, _ in forwarded}
    return forwarded + [pair for pair in defaults if pair[0] not in sent]


def upstream_headers(
    forwarded: Pairs,
    encoding: bytes,
    own: Iterable[Header],
    context: Callable[[], Context],
) -> Pairs:
    """The whole header list of an upstream request, but for `host` and framing.

    `encoding` is what the response may be compressed with.

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
    headers.append((b"accept-encoding", encoding))
    return headers + injected


class RelayedNames(BoundedCache[bytes, bool]):
    """Whether a header of this name is relayed to callers; providers send the same few names.

    Names that begin with one of `replaced` are not.
    """

    def __init__(self, replaced: tuple[bytes, ...] = ()) -> None:
        super().__init__(MAX_NAMES_BYTES, MAX_NAME)
        self._never = _NEVER_RELAYED_PREFIXES + replaced
        self._replaced = replaced
        self._without = self

    def __missing__(self, name: bytes) -> bool:
        is_relayed = not (name in _NEVER_RELAYED or name.startswith(self._never))
        self.put(name, is_relayed, len(name))
        return is_relayed

    def without(self, replaced: tuple[bytes, ...]) -> "RelayedNames":
        """The same for responses in which other headers stand in place of these; those of the last call are kept."""
        if self._replaced is not replaced:
            self._replaced = replaced
            self._without = RelayedNames(replaced)
        return self._without


def response_headers(
    received: Pairs, fields: Mapping[bytes, bytes], names: Mapping[bytes, bool]
) -> Pairs:
    """The provider's headers as the caller gets them; names are in lower case on both sides.

    `fields` has them by name; the last one wins. `names` is a RelayedNames.
    """
    passed = (
        [*compress(received, map(names.__getitem__, fields))]
        if len(fields) == len(received)
        else [pair for pair in received if names[pair[0]]]
    )
    if b"connection" not in fields:
        return passed
    if fields[b"connection"] == b"keep-alive" and len(fields) == len(received):  # the only one
        return passed
    dropped = _connection_listed(received)
    return [pair for pair in passed if pair[0] not in dropped] if dropped else passed


def without_redirect(headers: Pairs) -> Pairs:
    """The headers of a 3xx without a `location` that leads away from the gateway.

    Clients follow a redirect by themselves and repeat the request there: body, gateway key and all
    (only `authorization` is left out at another host, `x-api-key` is not).
    """
    return [
        (name, value) for name, value in headers if name != b"location" or _PATH.fullmatch(value)
    ]


def _connection_listed(pairs: Pairs) -> frozenset[bytes]:
    """The names that `connection` declares hop-by-hop."""
    listed = [value for name, value in pairs if name == b"connection"]
    if not listed or listed == [b"keep-alive"]:
        return frozenset()
    return frozenset(name.strip().lower() for name in b",".join(listed).split(b","))
