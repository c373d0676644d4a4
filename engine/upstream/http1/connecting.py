"""A TCP connection to a name that may have many addresses, some of which do not respond (RFC 8305).

Addresses of both families take turns. Each gets a head start of DELAY before the next one is tried
beside it, or none if it refuses; the first that accepts is taken and the others are dropped.
Not by the event loop's own means, since uvloop has none.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any, TypeAlias

DELAY = 0.25  # seconds; RFC 8305, 5

Address: TypeAlias = tuple[int, int, int, str, Any]  # as of `getaddrinfo`
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]


async def addresses(host: str, port: int) -> Sequence[Address]:
    """What the system's resolver knows, in its order of preference (RFC 6724)."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def open_connection(host: str, port: int, resolve: Resolve = addresses) -> socket.socket:
    """A connected socket.

    Raises:
        OSError: no address accepts; the reason is that of the first.
    """
    found = deque(interleaved(await resolve(host, port)))
    if len(found) == 1:
        return await _connect(found[0])
    trying: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = []
    try:
        while found or trying:
            if found:
                trying.add(asyncio.ensure_future(_connect(found.popleft())))
            delay = DELAY if found else None
            over, _ = await asyncio.wait(trying, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for task in over:
                trying.discard(task)
                error = task.exception()
                if error is None:
                    trying |= over
                    trying.discard(task)
                    return task.result()
                errors.append(error)
    finally:
        await _drop(trying)
    raise errors[0] if errors else OSError("no address")


def interleaved(found: Iterable[Address]) -> list[Address]:
    """The addresses, one of each family after the other, beginning with the family of the first."""
    families: dict[int, list[Address]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None]


async def _connect(address: Address) -> socket.socket:
    family, kind, protocol, _, where = address
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.settimeout(0)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connecting, where)
    except BaseException:
        connecting.close()
        raise
    return connecting


async def _drop(trying: Iterable[asyncio.Task[socket.socket]]) -> None:
    """Close what is not wanted any more, connected or not."""
    for task in trying:
        task.cancel()
    for left in await asyncio.gather(*trying, return_exceptions=True):
        if isinstance(left, socket.socket):
            left.close()
