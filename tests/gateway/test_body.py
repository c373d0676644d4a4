"""Receiving a body: when it is known to be whole."""

import asyncio
from dataclasses import replace

import pytest

from engine.gateway.body import CallerGone, Intake, Message
from engine.gateway.deadline import Deadline
from tests.gateway.plans import shipped_plan

ENDPOINT = next(iter(shipped_plan().endpoints[b"/v1/embeddings"].values()))
GONE: Message = {"type": "http.disconnect"}


def said(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def received(messages: list[Message], declared: int | None) -> tuple[bytes, int]:
    """The body, and how many messages were left."""
    left = messages[::-1]

    async def receive() -> Message:
        return left.pop()

    intake = Intake(receive, replace(ENDPOINT, max_body=100), Deadline(None), declared)
    return asyncio.run(intake.rest()), len(left)


def test_the_last_byte_of_a_declared_length_is_the_end() -> None:
    """As the server has it: the end is a message of its own, for which nobody needs to wait."""
    messages = [said(b"ab"), said(b"cd"), said(b"", more=False)]
    assert received(messages, 4) == (b"abcd", 1)


def test_what_has_no_declared_length_ends_when_the_server_says_so() -> None:
    messages = [said(b"ab"), said(b"cd"), said(b"", more=False)]
    assert received(messages, None) == (b"abcd", 0)


@pytest.mark.parametrize("declared", [4, None])
def test_a_body_cut_short_is_never_whole(declared: int | None) -> None:
    with pytest.raises(CallerGone):
        received([said(b"ab"), GONE], declared)
