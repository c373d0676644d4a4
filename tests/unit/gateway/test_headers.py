"""Which headers cross, in either direction, whatever a caller or an upstream lists."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.headers import (
    RelayedNames,
    request_headers,
    response_headers,
    upstream_headers,
)
from engine.gateway.inbound.query import without
from engine.gateway.response.head import response_head
from engine.plan.never_forwarded import KEY_HEADERS, NAMES, PREFIXES, never_forwarded_by
from engine.plan.plan import Provider
from engine.upstream import Pairs
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan

HOP_BY_HOP = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
]
SAFE = ["accept", "content-type", "user-agent", "accept-language", "openai-beta"]
SECRET = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "x-provider-api-key"]
OTHERS = ["x-forwarded-for", "x-engine-request-id", "host", "content-length", "x-custom", "range"]
TOKENS = HOP_BY_HOP + SAFE + SECRET + OTHERS
VALUES = st.sampled_from([b"v", b"keep-alive", b"", b"a, b"])
CREDENTIAL = (b"authorization", b"Bearer sk-openai")


@st.composite
def received(draw: st.DrawFn) -> Pairs:
    """Headers as the server gives them, with any of them listed in `connection`."""
    names = draw(st.lists(st.sampled_from(TOKENS), max_size=10))
    pairs = [(name.encode(), draw(VALUES)) for name in names if name != "connection"]
    for _ in range(draw(st.integers(0, 2))):
        listed = draw(st.lists(st.sampled_from(TOKENS), max_size=4))
        cased = [draw(st.sampled_from([name, name.title(), name.upper()])) for name in listed]
        separator = draw(st.sampled_from([",", ", ", " ,, "]))
        place = draw(st.integers(0, len(pairs)))
        pairs.insert(place, (b"connection", separator.join(cased).encode()))
    return pairs


def provider(name: str = "openai") -> Provider:
    return shipped_plan().providers[name]


def sent(pairs: Pairs, to: Provider) -> Pairs:
    """What `to` gets of a caller's headers."""
    encoding = dict(pairs).get(b"accept-encoding", b"identity")
    return upstream_headers(request_headers(pairs, to), encoding, to.headers, dict)


def listed(pairs: Pairs) -> set[bytes]:
    values = [value for name, value in pairs if name == b"connection"]
    return {token.strip().lower() for value in values for token in value.split(b",")}


def names(pairs: Pairs) -> set[bytes]:
    return {name for name, _ in pairs}


NEVER = {name.encode() for name in HOP_BY_HOP}


@given(received())
def test_hop_by_hop_headers_never_go_up(pairs: Pairs) -> None:
    up = sent(pairs, provider())
    assert not names(up) & NEVER
    own = {b"authorization", b"accept-encoding"}
    assert not (names(up) - own) & listed(pairs)


@given(received())
def test_hop_by_hop_headers_never_come_down(pairs: Pairs) -> None:
    down = response_headers(pairs, dict(pairs), RelayedNames())
    assert not names(down) & (NEVER | {b"content-length", b"set-cookie"})
    assert not names(down) & listed(pairs)
    assert not [name for name in names(down) if name.startswith(b"x-engine-")]


@given(received())
def test_the_credential_is_always_the_injected_one(pairs: Pairs) -> None:
    up = sent(pairs, provider())
    assert [pair for pair in up if pair[0] in KEY_HEADERS] == [CREDENTIAL]
    assert b"cookie" not in names(up)


@given(received())
def test_nothing_unlisted_goes_up(pairs: Pairs) -> None:
    own = {b"authorization", b"accept-encoding"}
    assert names(sent(pairs, provider())) <= own | {name.encode() for name in SAFE}


@given(received())
def test_what_crosses_keeps_order_and_repetition(pairs: Pairs) -> None:
    kept = {name.encode() for name in SAFE} - listed(pairs)
    passed = [pair for pair in sent(pairs, provider()) if pair[0] in kept]
    assert passed == [pair for pair in pairs if pair[0] in kept]
    gone = NEVER | {b"content-length", b"x-engine-request-id"} | listed(pairs)
    assert response_headers(pairs, dict(pairs), RelayedNames()) == [
        pair for pair in pairs if pair[0] not in gone
    ]


HOST_POLICIES = """
    set-cookie set-cookie2 alt-svc strict-transport-security public-key-pins expect-ct
    access-control-allow-origin access-control-allow-credentials access-control-expose-headers
    access-control-allow-private-network access-control-new-one timing-allow-origin
    cross-origin-opener-policy cross-origin-embedder-policy-report-only cross-origin-resource-policy
    origin-agent-cluster x-frame-options x-permitted-cross-domain-policies
    nel report-to reporting-endpoints attribution-reporting-register-source
    clear-site-data content-security-policy content-security-policy-report-only permissions-policy
    feature-policy document-policy referrer-policy service-worker-allowed origin-trial accept-ch
    critical-ch speculation-rules use-as-dictionary set-login sec-session-registration
    refresh sourcemap x-accel-redirect x-accel-buffering x-sendfile x-engine-error
    x-sendfile2 x-sendfile-temporary x-lighttpd-send-tempfile x-lighttpd-kbytes-per-second
    x-reproxy-url x-reproxy-file x-reproxy-cache-for x-litespeed-location x-litespeed-cache-control
    x-litespeed-purge x-litespeed-tag x-litespeed-vary
    surrogate-control surrogate-key cdn-cache-control cloudflare-cdn-cache-control edge-control
    cache-tag edge-cache-tag netlify-cdn-cache-control netlify-vary vercel-cdn-cache-control
    no-vary-search cache-groups cache-group-invalidation xkey
    x-content-security-policy x-webkit-csp x-webkit-csp-report-only x-ua-compatible x-download-options
    document-isolation-policy require-document-policy shared-storage-cross-origin-worklet-allowed
    ad-auction-signals x-allow-fledge onion-location x-i2p-location alternate-protocol
    x-envoy-immediate-health-check-fail x-envoy-overloaded endpoint-load-metrics
    endpoint-load-metrics-bin
"""
PASSES = """
    content-type content-encoding content-disposition content-language content-location cache-control
    etag expires last-modified vary age date server via link location retry-after server-timing
    www-authenticate x-content-type-options x-request-id request-id x-ratelimit-remaining-tokens
    anthropic-ratelimit-tokens-reset openai-processing-ms x-should-retry cf-ray operation-location
    deprecation sunset accept-ranges security-token x-access-control sec nel-x
    cache-status cdn-loop x-cache x-envoy-upstream-service-time surrogate x-proxy-url pragma
"""


@each("name", HOST_POLICIES.split())
def test_what_speaks_about_another_host_stays_there(name: str) -> None:
    pairs = [(name.encode(), b"x"), (b"x-kept", b"1")]
    assert response_headers(pairs, dict(pairs), RelayedNames()) == [(b"x-kept", b"1")]


@each("status", [300, 301, 302, 303, 307, 308])
@each(
    ("location", "comes_down"),
    [
        (b"/", True),
        (b"/v1/models?after=a%2Fb#end", True),
        (b"/v1//models", True),
        (b"https://api.example/v1/models", False),
        (b"HTTPS:/api.example", False),
        (b"//api.example/v1/models", False),
        (b"/\\api.example", False),
        (b"\\\\api.example", False),
        (b"/\t/api.example", False),
        (b" //api.example", False),
        (b"models", False),
        (b"", False),
    ],
)
def test_a_redirect_leads_to_no_other_host(
    status: int, location: bytes, *, comes_down: bool
) -> None:
    """A client that follows it repeats body and gateway key there."""
    received = [(b"location", location), (b"location", b"//b.example"), (b"retry-after", b"1")]
    head, _, _ = response_head(status, received, dict(received), 0, "req_1", RelayedNames())
    assert [value for name, value in head if name == b"location"] == [location] * comes_down
    assert (b"retry-after", b"1") in head


def test_a_location_that_nobody_follows_comes_down() -> None:
    made = (b"location", b"https://api.example/v1/files/1")
    assert made in response_head(201, [made], dict([made]), 0, "req_1", RelayedNames())[0]


def test_what_describes_the_answer_comes_down() -> None:
    pairs = [(name.encode(), b"x") for name in PASSES.split()]
    assert response_headers(pairs, dict(pairs), RelayedNames()) == pairs


@each(
    ("query", "left"),
    [
        ("a=1&api-version=x", "a=1"),
        ("Api-Version=x&a=1", "a=1"),
        ("api%2Dversion=x", ""),
        ("%41PI%2dVERSION=x&b", "b"),
        ("api-version", ""),
        ("api-version=1&api-version=2", ""),
        ("%20api-version=x", ""),
        ("+api-version=x", ""),
        ("api-version+=x", ""),
        ("api-version[]=x&a[]=1", "a[]=1"),
        ("api-version%5B0%5D=x", ""),
        ("api-version%00.x=1", ""),
        ("a=1;api-version=x;b=2&c", "a=1;b=2&c"),
        ("a;b;c=%3B&&d==", "a;b;c=%3B&&d=="),
        ("api_version=1&x-api-version=2&api-versions=3", "api_version=1&x-api-version=2&api-versions=3"),
        ("a=api-version=x", "a=api-version=x"),
    ],
)  # fmt: skip
def test_a_fixed_parameter_of_the_query_wins_in_any_spelling(query: str, left: str) -> None:
    assert without(query.encode(), {b"api-version"}) == left.encode()


def test_a_provider_that_forwards_key_headers_still_sends_its_own() -> None:
    careless = replace(provider(), forward=frozenset({b"authorization"}))
    assert (b"authorization", b"Bearer mine") not in sent(
        [(b"authorization", b"Bearer mine")], careless
    )


def test_a_forwarded_prefix() -> None:
    pairs = [(b"x-stainless-os", b"Linux"), (b"x-stain", b"no")]
    assert (b"x-stainless-os", b"Linux") in sent(pairs, provider())
    assert b"x-stain" not in names(sent(pairs, provider()))


WITHHELD = sorted(NAMES) + [start + b"x" for start in PREFIXES] + [b"x-provider-api-key"]


@st.composite
def careless(draw: st.DrawFn) -> Provider:
    """A provider that forwards anything, by name or by a start of any length."""
    some = st.sampled_from([*WITHHELD, b"x-custom", b"accept-encoding"])
    starts = draw(st.lists(st.tuples(some, st.integers(0, 20)), max_size=4))
    prefixes = tuple(name[:length] for name, length in starts)
    return replace(
        provider(), forward=draw(st.frozensets(some, max_size=4)), forward_prefixes=prefixes
    )


@given(careless(), st.lists(st.sampled_from([*WITHHELD, b"x-custom", b"accept-encoding"])))
def test_whatever_is_forwarded_what_is_withheld_stays_behind(
    to: Provider, received: list[bytes]
) -> None:
    up = sent([(name, b"theirs") for name in received], to)
    own = [pair for pair in up if pair[1] != b"theirs"]
    assert {name for name, value in up if value == b"theirs"} <= {b"x-custom", b"accept-encoding"}
    assert [name for name, _ in up].count(b"accept-encoding") == 1
    assert CREDENTIAL in own
    assert own == [pair for pair in own if pair[0] in (b"authorization", b"accept-encoding")]


@each("name", [*WITHHELD, b"baggage"])  # by name, since docs promise it
def test_each_withheld_header_stays_behind_and_is_told(name: bytes) -> None:
    for start in {name[: name.index(b"-") + 1] if b"-" in name else name, b"", name}:
        to = replace(provider(), forward=frozenset(), forward_prefixes=(start,))
        assert b"theirs" not in dict(sent([(name, b"theirs")], to)).values()
        assert never_forwarded_by(start + b"*", frozenset({b"x-provider-api-key"}))
    assert never_forwarded_by(name, frozenset({b"x-provider-api-key"})) == [name]
    spelled = name.replace(b"-", b"_")  # which CGI, and what follows it, reads as the same
    to = replace(provider(), forward=frozenset({spelled}))
    assert b"theirs" not in dict(sent([(spelled, b"theirs")], to)).values()
    assert never_forwarded_by(spelled, frozenset({b"x-provider-api-key"})) == [spelled]
    assert not never_forwarded_by(b"x-stainless-*", frozenset()) + never_forwarded_by(
        b"x-title", frozenset()
    )
