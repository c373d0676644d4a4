"""Many event streams at once: each complete, each event relayed on its own, memory reported."""

import asyncio
import json

import pytest

from tests import loopback
from tests.servers import KEY, Server

STREAMS, EVENTS, GAP = 150, 25, 20


async def read_streams(port: int, model: str, count: int) -> list[list[bytes]]:
    """The chunks of streamed answers as they came off the wire, all at once."""
    if loopback.IS_HTTP2:
        return await asyncio.to_thread(frames, port, model, count)
    return await asyncio.gather(*(read_stream(port, model) for _ in range(count)))


def frames(port: int, model: str, count: int) -> list[list[bytes]]:
    """The same on one connection."""
    from tests.http2 import Http2, head_of  # noqa: PLC0415 needs h2

    body = json.dumps({"model": model, "stream": True, "messages": []}).encode()
    fields = {b"content-type": b"application/json", b"authorization": b"Bearer " + KEY.encode()}
    with Http2(port) as caller:
        head = head_of("POST", "/v1/chat/completions", [*fields.items()])
        streams = [caller.ask(head, body) for _ in range(count)]
        return [[chunk for chunk in caller.chunks(stream) if chunk] for stream in streams]


async def read_stream(port: int, model: str) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await read_chunks(reader, writer, model)
    finally:  # a socket that is closed later than the loop is a warning, and so an error
        writer.close()
        await writer.wait_closed()


async def read_chunks(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, model: str
) -> list[bytes]:
    body = json.dumps({"model": model, "stream": True, "messages": []}).encode()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        + f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    chunks = []
    while size := int(await reader.readline(), 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    return chunks


@pytest.fixture(scope="module")
def streams(served: Server) -> tuple[list[list[bytes]], int, int]:
    """Every stream's chunks, with the worker's memory before and while they run (KiB)."""

    async def run() -> tuple[list[list[bytes]], int, int]:
        model = f"gpt-mock-events-{EVENTS}-{GAP}"
        await read_streams(served.port, model, 10)
        before = served.rss_kib()
        reading = asyncio.create_task(read_streams(served.port, model, STREAMS))
        peak = before
        while not reading.done():
            await asyncio.sleep(0.2)
            peak = max(peak, served.rss_kib())
        return await reading, before, peak

    return asyncio.run(run())


def test_every_stream_is_complete(streams: tuple[list[list[bytes]], int, int]) -> None:
    for chunks in streams[0]:
        body = b"".join(chunks)
        assert body.count(b"data: ") >= EVENTS
        assert b"upstream_" not in body


def test_no_event_is_merged_with_another(streams: tuple[list[list[bytes]], int, int]) -> None:
    """An event leaves when it arrives; a chunk with two would mean that one had waited."""
    chunks = [chunk for stream in streams[0] for chunk in stream]
    merged = [chunk for chunk in chunks if chunk.count(b"\n\n") > 1]
    assert len(merged) <= len(chunks) * 0.1


def test_memory_of_a_stream_is_reported(
    streams: tuple[list[list[bytes]], int, int], record_property: pytest.FixtureRequest
) -> None:
    _, before, peak = streams
    per_stream = (peak - before) / STREAMS
    record_property("kib_per_stream", round(per_stream, 1))  # type: ignore[operator]
    print(f"\n{STREAMS} streams: {per_stream:.1f} KiB each, {before} -> {peak} KiB")  # noqa: T201 reported
    assert per_stream < 200
