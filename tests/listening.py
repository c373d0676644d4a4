"""A raw asyncio server in a thread of its own, for upstreams that tests write byte by byte."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.contextmanager
def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port on which `handler` serves each connection until the block ends."""
    ready = threading.Event()
    state: dict[str, int] = {}
    stop: list[Callable[[], object]] = []

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handler(reader, writer)

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        state["port"] = server.sockets[0].getsockname()[1]
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        ready.set()
        await ended.wait()
        server.close()
        for writer in writers:  # a handler that waits is cancelled now, or has left it open
            # Python 3.11.2: a TLS transport that was closed twice raises, as it has nothing to abort.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()
        await asyncio.sleep(0)  # they close in the next turn of the loop

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    yield state["port"]
    stop[0]()
    thread.join(5)
