"""When a connection that rested is used again: by its age, its rest, and what the kernel holds."""

import asyncio
import socket
from time import monotonic

import pytest

from engine.upstream.http1.connection import (
    KEEPALIVE_SECONDS,
    MAX_AGE_SECONDS,
    RECHECK_IDLE_SECONDS,
)
from tests.integration.upstream.test_rest import wired


@pytest.mark.parametrize(
    ("age", "rested", "left", "is_stale"),
    [
        (0.0, 0.0, "nothing", False),
        (
            1.0,
            RECHECK_IDLE_SECONDS * 0.9,
            "an end",
            False,
        ),  # the loop will say so; no call to the kernel
        (1.0, RECHECK_IDLE_SECONDS * 1.1, "nothing", False),
        (1.0, RECHECK_IDLE_SECONDS * 1.1, "an end", True),
        (1.0, RECHECK_IDLE_SECONDS * 1.1, "bytes", True),
        (KEEPALIVE_SECONDS, KEEPALIVE_SECONDS * 0.99, "nothing", False),
        (KEEPALIVE_SECONDS * 2, KEEPALIVE_SECONDS * 1.01, "nothing", True),
        (MAX_AGE_SECONDS * 0.99, 0.0, "nothing", False),
        (MAX_AGE_SECONDS * 1.01, 0.0, "nothing", True),
    ],
)
def test_a_rested_connection(*, age: float, rested: float, left: str, is_stale: bool) -> None:
    async def run() -> bool:
        with wired([]) as (_, connection, there):
            now = monotonic()
            connection.opened, connection.idle_since = now - age, now - rested
            if left == "an end":
                there.shutdown(socket.SHUT_WR)
            elif left == "bytes":
                there.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            return connection.is_stale(now)

    assert asyncio.run(run()) is is_stale
