"""The model that a response names, read on its way to the caller."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable

from engine.gateway.response.named_model import MAX_BEGINNING, MAX_END, ResponseTrace
from tests.tables import each

JSON, EVENTS = (b"content-type", b"application/json"), (b"content-type", b"text/event-stream")
LONG = "x" * MAX_BEGINNING


class Arriving:
    """A response that arrives in `chunks`, of which `first` have arrived with the head."""

    def __init__(self, chunks: list[bytes], first: int, status: int, *headers: tuple[bytes, bytes]):
        self.status, self.headers, self.fields = status, list(headers), dict(headers)
        self.length: int | None = None
        self._chunks, self._first = chunks, first
        self.is_closed = False

    @property
    def is_complete(self) -> bool:
        return self._first == len(self._chunks)

    def arrived(self) -> bytes:
        return b"".join(self._chunks[: self._first])

    async def forward(self, write: Callable[[bytes], Awaitable[None] | None]) -> None:
        for chunk in self._chunks[self._first :]:
            write(chunk)

    def close(self) -> None:
        self.is_closed = True


def named(
    body: bytes, *headers: tuple[bytes, bytes], status: int = 200, size: int = 1000, first: int = 1
) -> list[str]:
    """What is noted of `body` in chunks of `size`; the caller gets all of it in any case."""
    noted: list[str] = []
    passed = bytearray()
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    response = Arriving(chunks, min(first, len(chunks)), status, *headers)

    async def relay() -> None:
        watched = ResponseTrace(response, noted.append)
        assert watched.is_complete == response.is_complete
        passed.extend(watched.arrived())
        await watched.forward(passed.extend)
        assert watched.close() is None

    asyncio.run(relay())
    assert (bytes(passed), response.is_closed) == (body, True)
    return noted


@each(
    "value",
    [
        {"id": "1", "model": "m-1", "choices": []},
        {"choices": [{"message": {"content": LONG}}], "model": "m-1", "usage": {"in": 1}},
        {"id": "1", "error": None, "model": "m-1", "choices": [LONG]},
        {"data": [{"model": "another"}], "model": "m-1"},
    ],
)
@each("size", [7, 1000, 1 << 20])
def test_a_json_body_names_it_at_its_top_level(value: object, size: int) -> None:
    assert named(json.dumps(value).encode(), JSON, size=size) == ["m-1"]


@each(
    ("value", "headers"),
    [
        ({"choices": [{"input": {"model": "m-1"}}]}, [JSON]),
        ({"choices": [LONG, '"model": "m-1"']}, [JSON]),
        ({"choices": [LONG, {"model": "m-1"}]}, [JSON]),
        ({"model": {"name": "m-1"}}, [JSON]),
        ({"model": "m" * 300}, [JSON]),
        (["model"], [JSON]),
        ({"model": "m-1"}, [(b"content-type", b"audio/mpeg")]),
        ({"model": "m-1"}, [JSON, (b"content-encoding", b"gzip")]),  # which it is not
    ],
)
def test_nothing_else_is_one(value: object, headers: list[tuple[bytes, bytes]]) -> None:
    assert named(json.dumps(value).encode(), *headers) == []


def test_the_end_of_a_long_body_is_read_up_to_the_sign_before_the_member() -> None:
    """Where that is not kept, it may be a backslash, and the member a text in a string."""
    end = b'"model": "m-1", "x": "' + b"x" * MAX_END
    for kept, model in ((MAX_END - 1, ["m-1"]), (MAX_END, [])):
        body = b'{"choices": ["%b"],' % LONG.encode() + end[: kept - 2] + b'"}'
        assert named(body, JSON) == model


def test_a_refusal_names_none() -> None:
    assert named(b'{"model": "m-1"}', JSON, status=404) == []


@each(
    "event",
    [
        {"id": "1", "model": "m-1", "choices": []},
        {"type": "message_start", "message": {"id": "1", "model": "m-1"}},
        {"type": "response.created", "response": {"id": "1", "model": "m-1"}},
    ],
)
@each("first", [0, 1])
def test_the_first_event_that_names_it_counts(event: object, first: int) -> None:
    events = [{"type": "ping"}, event, {"model": "another"}]
    text = b": hello\n\n" + b"".join(b"data: %b\n\n" % json.dumps(e).encode() for e in events)
    for size in (1, 40, 1000):
        assert named(text, EVENTS, size=size, first=first) == ["m-1"]


def test_a_compressed_body_is_read_as_well() -> None:
    packed = (b"content-encoding", b"gzip")
    assert named(gzip.compress(b'{"model": "m-1"}'), JSON, packed, size=5) == ["m-1"]
    assert named(gzip.compress(b'data: {"model": "m-1"}\n\n'), EVENTS, packed, size=5) == ["m-1"]
