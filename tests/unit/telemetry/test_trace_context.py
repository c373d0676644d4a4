"""What a caller may send as trace context, and what of it is used."""

from engine.telemetry.trace_context import (
    MAX_MEMBERS,
    MAX_STATE,
    TraceContext,
    context_headers,
    parse_context,
)
from tests.tables import each

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


def parsed(*values: bytes, states: tuple[bytes, ...] = ()) -> TraceContext | None:
    headers = [(b"traceparent", value) for value in values]
    return parse_context([(b"host", b"x"), *headers, *((b"tracestate", s) for s in states)])


@each(
    ("value", "is_sampled"),
    [
        (PARENT, True),
        (f"00-{TRACE}-{SPAN}-00".encode(), False),
        (f"00-{TRACE}-{SPAN}-03".encode(), True),  # another flag is set as well
        (f"00-{TRACE}-{SPAN}-fe".encode(), False),
        (f"cc-{TRACE}-{SPAN}-01".encode(), True),  # a later version
        (f"cc-{TRACE}-{SPAN}-01-what-comes-with-it".encode(), True),
        (b" \t" + PARENT + b" ", True),
    ],
)
def test_what_is_valid(value: bytes, is_sampled: bool) -> None:
    assert parsed(value) == TraceContext(TRACE, SPAN, is_sampled)


@each(
    "value",
    [
        b"",
        b"00",
        PARENT[:-1],
        PARENT + b"0",
        PARENT + b"-more",  # version 00 has exactly four parts
        PARENT + b"\n",
        PARENT.upper(),
        PARENT.replace(b"-", b"_"),
        b"ff" + PARENT[2:],  # no version
        b"cc" + PARENT[2:] + b"0",
        b"0x" + PARENT[2:],
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE[:-1]}g-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}-0x".encode(),
        f"00-{TRACE}-{SPAN}".encode(),
        "00-٤bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01".encode(),
        b"\xff" * 55,
        b"00-" + b"\x00" * 52,
        PARENT + b", " + PARENT,
        PARENT * 1000,
    ],
)
def test_what_is_not_valid_is_not_there(value: bytes) -> None:
    assert parsed(value, states=(b"a=b",)) is None


def test_several_are_none() -> None:
    assert parsed() is None
    assert parsed(PARENT, PARENT) is None


@each(
    ("states", "kept"),
    [
        ((b"a=b",), b"a=b"),
        ((b"a=b , c=d",), b"a=b,c=d"),
        ((b"a=b", b"c=d"), b"a=b,c=d"),
        ((b"a=b,,c=d",), b"a=b,c=d"),
        ((b"t@v=1",), b"t@v=1"),
        ((b"a=b,a=c",), b""),  # a key twice
        ((b"a",), b""),
        ((b"A=b",), b""),
        ((b"a=",), b""),
        ((b"a=b=c",), b""),
        ((b"a=b\r\nx-evil: 1",), b""),
        ((b"a=\xff",), b""),
        ((b"a=b\x00",), b""),
        ((b",".join(b"k%d=v" % n for n in range(MAX_MEMBERS)),), b",".join(b"k%d=v" % n for n in range(MAX_MEMBERS))),
        ((b",".join(b"k%d=v" % n for n in range(MAX_MEMBERS + 1)),), b""),
        ((b"a=" + b"b" * 250 + b",c=" + b"d" * 250,), b"a=" + b"b" * 250 + b",c=" + b"d" * 250),
        ((b"a=" + b"b" * 250 + b",c=" + b"d" * 250 + b",e=" + b"f" * 20,), b""),
    ],
)  # fmt: skip
def test_the_state_is_kept_whole_or_not_at_all(states: tuple[bytes, ...], kept: bytes) -> None:
    found = parsed(PARENT, states=states)
    assert found is not None
    assert found.state == kept
    assert len(found.state) <= MAX_STATE


def test_what_is_sent_can_be_parsed() -> None:
    for context in (TraceContext(TRACE, SPAN, True, b"a=b"), TraceContext(TRACE, SPAN, False)):
        assert parse_context(context_headers(context)) == context
