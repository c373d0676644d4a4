"""What the parsers of the official SDKs make of a stream that breaks off anywhere.

They are not asked about byte order marks and odd names, which they do not know.
"""

from collections.abc import Callable

import anthropic
import openai
import pytest
from hypothesis import given

from engine.gateway.response.error_events import error_event
from engine.plan.plan import Dialect
from tests.unit.gateway.response.test_event_stream import (
    ERROR,
    RECORDED,
    Event,
    arriving,
    check_every_break,
    left,
)


def of_openai(body: bytes) -> list[Event]:
    found = openai._streaming.SSEDecoder().iter_bytes(iter([body]))
    return [(event.event or "", event.data) for event in found if event.data]


def of_anthropic(body: bytes) -> list[Event]:
    found = anthropic._streaming.SSEDecoder().iter_bytes(iter([body]))
    return [(event.event or "", event.data) for event in found if event.data]


each_parser = pytest.mark.parametrize("parse", [of_openai, of_anthropic])


@each_parser
@pytest.mark.parametrize("name", [name for name in RECORDED if name != "marked"])
def test_the_sdks_see_a_break_at_every_byte(
    name: str, parse: Callable[[bytes], list[Event]]
) -> None:
    check_every_break(RECORDED[name], parse)


@each_parser
@given(arriving())
def test_the_sdks_see_the_error_as_one_event(
    parse: Callable[[bytes], list[Event]], chunks: list[bytes]
) -> None:
    """They dispatch events without data as well, which nobody sends; so those are left out."""
    stream, out = left(chunks)
    if stream.is_open:
        return
    own = error_event(ERROR, Dialect.ANTHROPIC, "req_1", stream)
    assert parse(out + own)[-1] == ("error", own.decode().split("\ndata: ")[1][:-2])
