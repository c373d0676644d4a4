"""Multipart forms built by hand, and the body of a request without a socket."""

from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar, cast

from engine.gateway.cancellation import Deadline
from engine.gateway.inbound.body import Message, RequestBodyReader
from engine.gateway.inbound.form_body import FormBody
from tests.unit.gateway.plans import shipped_plan

T = TypeVar("T")

BOUNDARY = "frontier"
WATCHED = frozenset({"model", "api_key"})
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, value: bytes, *more: str, disposition: str | None = None) -> bytes:
    """One part without its delimiters; `more` are further parameters of the disposition."""
    words = disposition or "; ".join([f'form-data; name="{name}"', *more])
    return b"Content-Disposition: " + words.encode() + b"\r\n\r\n" + value


def file(content: bytes, name: str = "file") -> bytes:
    return part(name, content, 'filename="a.wav"')


def form(*parts: bytes, boundary: str = BOUNDARY) -> bytes:
    mark = b"--" + boundary.encode()
    return b"".join(mark + b"\r\n" + each + b"\r\n" for each in parts) + mark + b"--\r\n"


@dataclass
class Pieces:
    """An ASGI `receive` that hands out a body in given pieces."""

    chunks: Sequence[bytes]
    taken: int = field(default=0)

    async def receive(self) -> Message:
        chunk = self.chunks[self.taken] if self.taken < len(self.chunks) else b""
        self.taken += 1
        more = self.taken < len(self.chunks)
        return {"type": "http.request", "body": chunk, "more_body": more}


def cut(raw: bytes, places: Iterable[int]) -> list[bytes]:
    """`raw` in pieces, cut at each place."""
    edges = [0, *sorted(places), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


def body_reader_of(chunks: Sequence[bytes]) -> RequestBodyReader:
    endpoint = replace(
        next(iter(shipped_plan().endpoints[b"/v1/images/edits"].values())), max_body=1 << 30
    )
    return RequestBodyReader(Pieces(chunks).receive, endpoint, Deadline(None), None)


def form_of(chunks: Sequence[bytes], boundary: str = BOUNDARY) -> FormBody:
    return FormBody(body_reader_of(chunks), boundary.encode(), WATCHED)


async def passed_on(body: FormBody, changes: dict[str, str | None]) -> bytes:
    """What goes upstream for a form with `changes`."""
    await body.read_head()
    return b"".join([chunk async for chunk in body.stream(body.edits(changes), frozenset())])


def run(work: Coroutine[object, None, T]) -> T:
    """The result of `work`, which has all it waits for and needs no event loop: thousands of them are run."""
    try:
        work.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    work.close()
    raise AssertionError("it waits for something")
