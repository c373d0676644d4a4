"""The upstream of the bench for bodies and events: takes anything, answers when it has come whole.

A request whose body asks for a stream gets EVENTS events, one every GAP seconds, each with the time
it was written. Run as `python -m bench.upstream PORT`.
"""

import asyncio
import sys
import time
from typing import cast

import uvloop

EVENTS, GAP = 50, 0.02
HOLD = b'"hold"'  # in a body that wants a stream: one event, then silence until the caller leaves
SMALL = b'{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"}}]}'
LARGE = b'{"text":"' + b"x" * (32 * 1024 - 11) + b'"}'
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.head = b""
        self.left = 0
        self.start = b""
        self.is_chunked = False
        self.tail = b""
        self.transport: asyncio.Transport
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        if not self.left and not self.is_chunked:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data = self.head[:end].lower(), self.head[end + 4 :]
            self.head, self.start, self.tail = b"", b"", b""
            length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
            self.is_chunked, self.left = not length, int(length or 0)
        self.left -= len(data)
        self.start = self.start or data[:4096]
        self.tail = (self.tail + data)[-5:]
        if self.left == 0 if not self.is_chunked else self.tail == b"0\r\n\r\n":
            self.is_chunked, self.left = False, 0
            self.answer()

    def answer(self) -> None:
        if b'"stream"' in self.start:
            self.transport.write(STREAM)
            self.send_event(1 if HOLD in self.start else EVENTS, last=HOLD not in self.start)
        else:
            body = LARGE if b'"large"' in self.start else SMALL
            self.transport.write(OK % (len(body), body))

    def send_event(self, left: int, *, last: bool = True) -> None:
        if left == 0:
            if last:
                self.transport.write(b"0\r\n\r\n")
            return
        event = b'data: {"t":%020d,"choices":[{"index":0,"delta":{"content":"token "}}]}\n\n'
        event %= time.monotonic_ns()
        self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        again = lambda: self.send_event(left - 1, last=last)  # noqa: E731
        self.timer = asyncio.get_running_loop().call_later(GAP, again)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
