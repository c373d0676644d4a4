"""What is kept of a request's head decides exactly what the whole head decides."""

import tracemalloc
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.gateway.errors import GatewayError
from engine.gateway.headers import request_headers, with_defaults
from engine.gateway.inbound.auth import authenticate
from engine.gateway.inbound.framing import check_framing
from engine.gateway.inbound.head import (
    MAX_BYTES,
    MAX_KNOWN_BYTES,
    MAX_REQUESTS_BYTES,
    PAIR_BYTES,
    CallerHead,
    HeadCache,
    Key,
    PreparedHead,
)
from engine.gateway.inbound.payload import body_kind
from engine.plan.plan import Caller, Endpoint, Origin, Timeouts
from engine.upstream import Pairs, RequestHead
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan

PLAN = shipped_plan()
PROVIDERS = list(PLAN.providers.values())
ENDPOINT = PLAN.endpoints[b"/v1/chat/completions"]["POST"]
ALICE = Caller("alice", None, None, (), None)
FORMS = [form for provider in PROVIDERS for form in provider.variants()]
KNOWN = sorted(
    {
        name
        for form in FORMS
        for name in (*form.forward, *form.caller_credentials.headers, *dict(form.default_headers))
    }
    | {prefix + b"x" for form in FORMS for prefix in form.forward_prefixes}
    | {b"host", b"content-type", b"content-encoding", b"transfer-encoding", b"connection"}
    | {b"authorization", b"x-api-key", b"accept", b"user-agent", b"traceparent", b"x-unknown"}
)
VALUES = st.sampled_from(
    [
        b"a",
        b"localhost",
        b"application/json",
        b"chunked",
        b"gzip",
        b"traceparent, accept",
        b"Bearer k",
    ]
)
LISTED = st.tuples(st.just(b"connection"), st.sampled_from([b"accept", b"x-unknown, user-agent"]))
HEADERS = st.lists(
    st.one_of(
        LISTED,
        st.tuples(st.sampled_from([b"host", b"accept", b"user-agent"]), VALUES),
        st.tuples(st.sampled_from(KNOWN), VALUES),
    ),
    max_size=12,
)


def scope(headers: Pairs, **more: object) -> dict[str, object]:
    asked = {"method": "POST", "raw_path": b"/v1/chat/completions", "query_string": b""}
    return {**asked, "headers": headers, **more}


def outcome(headers: Pairs) -> object:
    """All that is asked of a head, or why it is refused."""
    try:
        check_framing(headers)
        kind = body_kind(ENDPOINT, headers)
        who = authenticate(headers, {sha256(b"k").digest(): ALICE}, 0.0)
    except GatewayError as error:
        return error.code
    return kind, who


def key(heads: HeadCache, headers: Pairs, **more: object) -> Key:
    return heads.key(scope(headers, **more), dict(headers))


FINE = [(b"host", b"a"), (b"content-type", b"application/json"), (b"x-api-key", b"k")]


@example([*FINE, (b"content-encoding", b"gzip")])
@example([*FINE, (b"transfer-encoding", b"gzip")])
@example([*FINE, (b"connection", b"accept"), (b"accept", b"a")])
@given(HEADERS)
def test_a_key_holds_every_header_that_makes_a_difference(headers: Pairs) -> None:
    kept = list(key(HeadCache(PROVIDERS), headers)[3:])
    assert outcome(kept) == outcome(headers)
    for form in FORMS:
        sent = with_defaults(request_headers(headers, form), form.default_headers)
        assert with_defaults(request_headers(kept, form), form.default_headers) == sent
        caller_credentials = [
            pair for pair in headers if pair[0] in form.caller_credentials.headers
        ]
        assert [
            pair for pair in kept if pair[0] in form.caller_credentials.headers
        ] == caller_credentials


def test_method_path_query_and_values_tell_heads_apart() -> None:
    heads = HeadCache(PROVIDERS)
    asked: list[Key] = [
        key(heads, [(b"host", b"a")], **more)
        for more in ({}, {"method": "GET"}, {"raw_path": b"/"}, {"query_string": b"a=b"})
    ]
    asked.append(key(heads, [(b"host", b"b")]))
    asked.append(key(heads, [(b"host", b"a"), (b"host", b"a")]))
    assert len(set(asked)) == len(asked)


def head(caller: Caller, kind: str = "json", endpoint: Endpoint = ENDPOINT) -> CallerHead:
    return CallerHead(endpoint, caller, kind, [(b"host", b"a")], b"")


def test_an_expired_key_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = HeadCache(PROVIDERS)
    heads.put(("a",), head(replace(ALICE, expires=100.0)))
    for now, is_known in ((99.0, True), (100.0, False)):
        monkeypatch.setattr("engine.gateway.inbound.head.time", lambda now=now: now)
        assert (heads.get(("a",)) is not None) == is_known


@each(("kind", "is_kept"), [("json", True), ("form", False)])
def test_forms_are_not_kept(kind: str, *, is_kept: bool) -> None:
    heads = HeadCache(PROVIDERS)
    heads.put(("a",), head(ALICE, kind))
    assert (heads.get(("a",)) is not None) == is_kept


def test_a_head_without_a_host_is_looked_at_again() -> None:
    """It passes in HTTP/1.0, and the version is no part of the key."""
    heads = HeadCache(PROVIDERS)
    heads.put(("a",), CallerHead(ENDPOINT, ALICE, "json", [], b""))
    assert heads.get(("a",)) is None


def test_what_is_kept_is_bounded_in_bytes() -> None:
    heads = HeadCache(PROVIDERS)

    def kept(size: int, count: int) -> int:
        for n in range(count):
            pairs = [(b"host", b"a"), (b"user-agent", b"%d-" % n + b"x" * (size - 400))]
            asked = key(heads, pairs)
            heads.put(asked, CallerHead(ENDPOINT, ALICE, "json", pairs, b""))
        return len(vars(heads)["_known"])

    assert kept(400_000, 10) == 0, "large ones are not kept"
    assert kept(MAX_BYTES + 500, 10) == 0
    most = MAX_KNOWN_BYTES // (MAX_BYTES - 1000)
    assert 0 < kept(MAX_BYTES - 1000, 3 * most) <= most
    assert 0 < kept(450, MAX_KNOWN_BYTES // 200) <= MAX_KNOWN_BYTES // 450
    pairs = [(b"host", b"a")]
    long = key(heads, pairs, query_string=b"x" * MAX_BYTES)
    heads.put(long, CallerHead(ENDPOINT, ALICE, "json", pairs, b""))
    assert heads.get(long) is None


@each(("spare", "is_kept"), [(0, True), (-1, False)])
def test_a_head_is_kept_up_to_a_number_of_bytes(spare: int, *, is_kept: bool) -> None:
    heads = HeadCache(PROVIDERS)
    pairs = [(b"host", b"a"), (b"accept", b"b"), (b"user-agent", b"c")]
    asked = len("POST/v1/chat/completions") + len("hostaacceptbuser-agentc")
    query = b"x" * (MAX_BYTES - asked - 3 * PAIR_BYTES - spare)
    known = key(heads, pairs, query_string=query)
    heads.put(known, CallerHead(ENDPOINT, ALICE, "json", pairs, query))
    assert (heads.get(known) is not None) == is_kept


def request(size: int) -> PreparedHead:
    """A request that was sent, whose headers have `size` bytes of their own."""
    pairs = [(b"x-%d" % n, bytes(bytearray(50))) for n in range(size // 50)]
    made = RequestHead("POST", Origin("http", "a", 1), bytes(20), pairs)
    made.text = b"".join(name + value for name, value in pairs)
    return PreparedHead(made, Timeouts(1, 1, 1, 1, 1), None, is_plain=True)


def test_requests_of_a_head_are_kept_up_to_a_number_of_bytes() -> None:
    head = CallerHead(ENDPOINT, ALICE, "json", [], b"")
    for n in range(200):
        sent = request(2000)
        head.cache_request(f"p{n}", sent)
        assert head.requests[f"p{n}"] is sent
        assert 2000 * len(head.requests) < head.requests.used <= MAX_REQUESTS_BYTES
    head.cache_request("large", request(MAX_REQUESTS_BYTES))
    assert "large" not in head.requests


@each(("size", "count"), [(0, 0), (0, 8), (2000, 8)])
def test_all_heads_and_their_requests_take_no_more_memory_than_stated(
    size: int, count: int
) -> None:
    """Each head is kept before the requests that it decides are, as on the way of a request.

    The bound is a fourth of the stated one here, since counting memory takes time.
    """
    bound = MAX_KNOWN_BYTES // 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.gateway.inbound.head.MAX_KNOWN_BYTES", bound)
        heads = HeadCache(PROVIDERS)
    most = taken = 0
    tracemalloc.start()
    while most <= len(vars(heads)["_known"]):  # until it was full, and all went
        most = len(vars(heads)["_known"])
        pairs = [(b"host", b"a"), (b"user-agent", b"%d-" % most + bytes(size))]
        one = CallerHead(ENDPOINT, ALICE, "json", pairs, b"")
        heads.put(key(heads, pairs), one)
        for n in range(count):
            one.cache_request(f"p{n}", request(size))
        taken = max(taken, tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert bound / 4 < taken < bound


def test_a_head_that_was_forgotten_does_not_come_back_with_a_request() -> None:
    heads = HeadCache(PROVIDERS)
    old, new = head(ALICE), head(ALICE)
    heads.put(("a",), old)
    vars(heads)["_known"].clear()
    old.cache_request("p", request(100))
    assert heads.get(("a",)) is None
    heads.put(("a",), new)
    old.cache_request("q", request(100))
    assert heads.get(("a",)) is new
