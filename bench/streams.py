"""Streams and uploads against one proxy; run as `python -m bench.streams KIND URL HEADERS ...`.

A process of its own, so that it can be pinned. Prints one JSON object.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import uvloop

from bench.load import percentile

_TIME = re.compile(rb'"t":(\d+)')
CHAT = b'{"model":"sink-1","stream":true,"messages":[{"role":"user","content":"hi"}]}'
TIMES = 4
LONGEST = 120  # seconds for the whole of one measurement
HOLD = b'{"model":"sink-1","stream":true,"user":"hold","messages":[]}'


def request(path: str, headers: dict[str, str], kind: str, body: bytes) -> bytes:
    """A request as it goes on the wire."""
    lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-type: {kind}"]
    lines += [f"{k}: {v}" for k, v in headers.items()] + [f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Stream(asyncio.Protocol):
    """`times` requests, one after the other, whose answers are streams.

    `delays` are those of all events and `arrived` when those of each answer came, in milliseconds.
    """

    def __init__(self, raw: bytes, times: int = 1) -> None:
        self.raw = raw
        self.left_to_ask = times
        self.delays: list[float] = []
        self.arrived: list[list[float]] = []
        self.status = b""
        self.done = asyncio.get_running_loop().create_future()
        self.first = asyncio.get_running_loop().create_future()
        self.left = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def ask(self) -> None:
        self.left_to_ask -= 1
        self.left, self.status = b"", b""
        self.arrived.append([])
        self.begun = time.monotonic_ns()
        self.transport.write(self.raw)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.status = self.status or data[9:12]
        for written in _TIME.findall(self.left + data):
            self.delays.append((now - int(written)) / 1e6)
            self.arrived[-1].append((now - self.begun) / 1e6)
        self.left = (self.left + data).rpartition(b"\n")[2][-64:]
        if self.delays and not self.first.done():
            self.first.set_result(None)
        if data.endswith(b"0\r\n\r\n"):
            if self.left_to_ask and self.status == b"200":
                self.ask()
            else:
                self.finish()

    def connection_lost(self, error: Exception | None) -> None:
        self.finish()

    def finish(self) -> None:
        for future in (self.first, self.done):
            if not future.done():
                future.set_result(None)


async def events(port: int, headers: dict[str, str], count: int) -> dict[str, float]:
    """`count` streams at once, begun over one second, TIMES in a row, each to its end."""
    loop = asyncio.get_running_loop()
    raw = request("/v1/chat/completions", headers, "application/json", CHAT)
    streams: list[Stream] = []
    for _ in range(count):
        _, stream = await loop.create_connection(lambda: Stream(raw, TIMES), "127.0.0.1", port)
        streams.append(stream)
        await asyncio.sleep(1 / count)
    for stream in streams:
        await stream.done
        stream.transport.abort()
    if any(stream.left_to_ask for stream in streams):
        raise SystemExit("a connection closed before its last stream")
    if {stream.status for stream in streams} != {b"200"}:
        raise SystemExit(f"answers were {sorted({s.status for s in streams})}")
    delays = [delay for stream in streams for delay in stream.delays]
    answers = [arrived for stream in streams for arrived in stream.arrived]
    gaps = [b - a for times in answers for a, b in pairwise(times)]
    firsts = [times[0] for times in answers]
    return {
        "events": len(delays),
        "delay_p50": percentile(delays, 0.5),
        "delay_p99": percentile(delays, 0.99),
        "first_p50": percentile(firsts, 0.5),
        "first_p99": percentile(firsts, 0.99),
        "gap_max": max(gaps),
    }


async def held(port: int, headers: dict[str, str], count: int) -> dict[str, float]:
    """`count` streams that stay open; says so on stdout and waits for a line on stdin."""
    loop = asyncio.get_running_loop()
    raw = request("/v1/chat/completions", headers, "application/json", HOLD)
    streams: list[Stream] = []
    for _ in range(count):
        _, stream = await loop.create_connection(lambda: Stream(raw), "127.0.0.1", port)
        streams.append(stream)
        if len(streams) % 50 == 0:
            await stream.first
    for stream in streams:
        await stream.first
    opened = sum(1 for s in streams if s.status == b"200" and not s.done.done())
    tell({"open": opened})
    await loop.run_in_executor(None, sys.stdin.readline)
    for stream in streams:
        stream.transport.abort()
    return {"open": opened}


async def uploads(port: int, headers: dict[str, str], count: int, size: int) -> dict[str, float]:
    """`count` forms of `size` bytes, two at a time, with the model behind the file."""
    part = b'--frontier\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    form = part % (b"file", b'; filename="a.wav"\r\ncontent-type: audio/wav', bytes(size))
    form += part % (b"model", b"", b"sink-1") + b"--frontier--\r\n"
    raw = request(
        "/v1/audio/transcriptions", headers, "multipart/form-data; boundary=frontier", form
    )

    class Upload(asyncio.Protocol):
        def __init__(self) -> None:
            self.free = asyncio.Event()
            self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)

        def data_received(self, data: bytes) -> None:
            if not self.answer.done():
                self.answer.set_result(data)

        def connection_lost(self, error: Exception | None) -> None:
            if not self.answer.done():
                self.answer.set_result(b"")

    async def one() -> None:
        transport, upload = await asyncio.get_running_loop().create_connection(
            Upload, "127.0.0.1", port
        )
        transport.write(raw)
        answer = await upload.answer
        if answer[9:12] != b"200":
            raise SystemExit(f"an upload was answered {answer[:200]!r}")
        transport.abort()

    begun = time.monotonic()
    for _ in range(count // 2):
        await asyncio.gather(one(), one())
    return {"megabytes_per_second": count * size / 1e6 / (time.monotonic() - begun)}


def tell(figures: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> None:
    kind, port, headers, *numbers = arguments
    work = {"events": events, "held": held, "uploads": uploads}[kind]

    async def bounded() -> dict[str, float]:
        async with asyncio.timeout(LONGEST):
            done: dict[str, float] = await work(int(port), json.loads(headers), *map(int, numbers))  # type: ignore[operator]
            return done

    tell(uvloop.run(bounded()))


if __name__ == "__main__":
    main(sys.argv[1:])
