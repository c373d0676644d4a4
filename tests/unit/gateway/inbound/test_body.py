"""Receiving a body: when it is known to be whole."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic

import pytest

from engine.gateway.cancellation import Deadline
from engine.gateway.errors import GatewayError
from engine.gateway.inbound.body import FREE_CHUNKS, CallerGone, Message, RequestBodyReader
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan

ENDPOINT = next(iter(shipped_plan().endpoints[b"/v1/embeddings"].values()))
GONE: Message = {"type": "http.disconnect"}


def said(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def received(messages: list[Message], declared: int | None) -> tuple[bytes, int]:
    """The body, and how many messages were left."""
    left = messages[::-1]

    async def receive() -> Message:
        return left.pop()

    body_reader = RequestBodyReader(
        receive, replace(ENDPOINT, max_body=100), Deadline(None), declared
    )
    return asyncio.run(body_reader.read_all()), len(left)


def test_the_last_byte_of_a_declared_length_is_the_end() -> None:
    """As the server has it: the end is a message of its own, for which nobody needs to wait."""
    messages = [said(b"ab"), said(b"cd"), said(b"", more=False)]
    assert received(messages, 4) == (b"abcd", 1)


def test_what_has_no_declared_length_ends_when_the_server_says_so() -> None:
    messages = [said(b"ab"), said(b"cd"), said(b"", more=False)]
    assert received(messages, None) == (b"abcd", 0)


@each("sizes", [[100], [60, 40]])
def test_a_body_without_a_declared_length_may_be_as_large_as_the_limit(sizes: list[int]) -> None:
    """Also where its last byte and its end come in one message."""
    messages = [said(b"x" * size) for size in sizes]
    messages[-1]["more_body"] = False
    assert received(messages, None) == (b"x" * 100, 0)
    messages[-1]["body"] += b"x"
    with pytest.raises(GatewayError) as refused:
        received(messages, None)
    assert refused.value.code == "request_too_large"


@each("declared", [4, None])
def test_a_body_cut_short_is_never_whole(declared: int | None) -> None:
    with pytest.raises(CallerGone):
        received([said(b"ab"), GONE], declared)


async def watched(chunks: Iterator[tuple[float, bytes]], idle: float, total: float) -> float:
    """How long a body is waited for whose pieces come after so many seconds each; it never ends."""
    deadline = Deadline(asyncio.current_task())

    async def receive() -> Message:
        seconds, chunk = next(chunks)
        await asyncio.sleep(seconds)
        return said(chunk)

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.01)
            deadline.tick(monotonic())

    endpoint = replace(ENDPOINT, caller_idle=idle, total=total)
    looking = asyncio.ensure_future(tick())
    started = monotonic()
    with contextlib.suppress(StopIteration), pytest.raises(GatewayError) as refused, deadline:
        await RequestBodyReader(receive, endpoint, deadline, None).read_all()
    looking.cancel()
    assert refused.value.code == "request_timeout"
    return monotonic() - started


def dripping(seconds: float, chunk: bytes) -> Iterator[tuple[float, bytes]]:
    return iter([(seconds, chunk)] * 100)


@each("chunk", [b"x", b"x" * 60])
def test_drips_are_given_up_once_the_idle_time_has_passed(chunk: bytes) -> None:
    """Each comes in time, and all of them together far slower than the least rate."""
    assert 0.3 <= asyncio.run(watched(dripping(0.1, chunk), idle=0.3, total=9)) < 5


def test_silence_after_a_good_start_is_given_up_after_the_idle_time() -> None:
    chunks = iter([(0.05, b"x" * 4096), (9.0, b"")])
    assert 0.3 <= asyncio.run(watched(chunks, idle=0.3, total=9)) < 5


def test_what_has_come_in_advance_is_used_up_at_the_least_rate() -> None:
    """A kibibyte is good for a second, however short the idle time is, and no longer."""
    chunks = iter([(0.0, b"x" * 1024), *[(0.05, b"x")] * 100])
    assert 0.9 <= asyncio.run(watched(chunks, idle=0.2, total=9)) < 4.5


def test_a_body_that_comes_fast_enough_for_ever_ends_with_the_total_time() -> None:
    taken = asyncio.run(watched(dripping(0.05, b"x" * 1000), idle=5, total=0.5))
    assert 0.5 <= taken < 4


@each("more", [0, 1])
def test_tiny_chunks_are_free_up_to_their_number(more: int) -> None:
    tiny = [said(b"") for _ in range(FREE_CHUNKS - 1 + more)]
    refusal = pytest.raises(GatewayError, match="tiny chunks") if more else contextlib.nullcontext()
    with refusal:
        assert received([*tiny, said(b"x", more=False)], None) == (b"x", 0)
