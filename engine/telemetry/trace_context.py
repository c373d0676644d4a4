"""Trace context in headers: `traceparent` and `tracestate` (W3C Trace Context, Level 1).

What a caller sends is parsed strictly. Of a value that does not match, nothing is used, and the
`tracestate` beside it is dropped.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

SAMPLED = 1  # the flag
MAX_STATE = 512  # bytes that every participant keeps at least (3.3.1.5)
MAX_MEMBERS = 32
# Ids are not all zero. A later version may have more after the flags; version 00 has not, and ff is none.
_PARENT = re.compile(
    rb"(?:00(?=.{53}\Z)|(?!00|ff)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?",
    re.DOTALL,
)
_KEY = rb"[a-z0-9][a-z0-9_*/@-]{0,255}"
_MEMBER = re.compile(_KEY + rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


class TraceContext(NamedTuple):
    """The place of a span: ids in hexadecimal, and the `tracestate` that goes with them."""

    trace_id: str
    span_id: str
    is_sampled: bool
    state: bytes = b""


def parse_context(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext | None:
    """The context in a caller's headers; None without a valid one, and with more than one."""
    parents, states = [], []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            states.append(value)
    found = _PARENT.fullmatch(parents[0].strip(b" \t")) if len(parents) == 1 else None
    if found is None:
        return None
    trace_id, span_id, flags = found.groups()
    state = _parse_state(states) if states else b""
    return TraceContext(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & SAMPLED), state)


def _parse_state(values: list[bytes]) -> bytes:
    """The members of all headers as one value; nothing if one is wrong or they are too many."""
    members = [
        member for value in values for part in value.split(b",") if (member := part.strip(b" \t"))
    ]
    state = b",".join(members)
    keys = {member.partition(b"=")[0] for member in members}
    is_valid = all(map(_MEMBER.fullmatch, members)) and len(keys) == len(members)
    return state if is_valid and len(members) <= MAX_MEMBERS and len(state) <= MAX_STATE else b""


def context_headers(context: TraceContext) -> list[tuple[bytes, bytes]]:
    """The headers that carry `context` to the next participant."""
    flags = "01" if context.is_sampled else "00"
    parent = f"00-{context.trace_id}-{context.span_id}-{flags}".encode()
    headers = [(b"traceparent", parent)]
    return [*headers, (b"tracestate", context.state)] if context.state else headers
