"""A provider that moves: its name leads elsewhere while connections to the old address live."""

import asyncio
from typing import Any

import pytest

from engine.plan.plan import Origin
from engine.upstream import Attempt, Client, RequestHead
from engine.upstream.http1.connection import Connection
from engine.upstream.http1.idle import MAX_AGE_SECONDS, Pool
from engine.upstream.http1.pool import Http1Client
from engine.upstream.httpx_client import HttpxClient
from tests.integration.upstream.ending import end


class Loop(asyncio.SelectorEventLoop):
    """An event loop with a resolver that tests set."""

    address = "127.0.0.1"

    async def getaddrinfo(  # type: ignore[override]  # not all of its overloads
        self, _host: Any, port: Any, **more: Any
    ) -> Any:
        return await super().getaddrinfo(self.address, port, **more)


class OwnClient(Http1Client):
    """One whose connections can be made older."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[Connection] = []

    async def _connect(self, attempt: Attempt, pool: Pool[Connection]) -> Connection:
        self._made.append(await super()._connect(attempt, pool))
        return self._made[-1]

    def grow_older(self, seconds: float) -> None:
        self._made[0].opened -= seconds


async def told(client: Client, port: int) -> str:
    """The address that a request has reached."""
    origin = Origin("http", "moving.test", port)
    attempt = Attempt(RequestHead("GET", origin, b"/", []), b"", 0, 5.0)
    reply = await client.send(attempt)
    chunks: list[bytes] = []

    await reply.forward(chunks.append)
    await end(reply)
    return b"".join(chunks).decode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    address = writer.get_extra_info("sockname")[0].encode()
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(address), address)
            )
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


@pytest.mark.parametrize("kind", [OwnClient, HttpxClient])
def test_a_new_address_is_taken_within_the_age_of_a_connection(
    kind: type[OwnClient | HttpxClient],
) -> None:
    """Case U25, with a request just before, so that no connection is let go for its rest."""
    loop = Loop()

    async def run() -> None:
        old = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = old.sockets[0].getsockname()[1]
        new = await asyncio.start_server(serve, "127.0.0.2", port)
        client = kind()
        assert await told(client, port) == "127.0.0.1"
        loop.address = "127.0.0.2"
        if isinstance(client, OwnClient):  # the other one keeps none
            client.grow_older(MAX_AGE_SECONDS - 10)
            assert await told(client, port) == "127.0.0.1", "what is open is used on"
            client.grow_older(10)
            assert await told(client, port) == "127.0.0.1", "once more, with a request to close it"
        assert await told(client, port) == "127.0.0.2"
        await client.close()
        old.close()
        new.close()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())
