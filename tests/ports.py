"""Ports for servers that tests start, and ports at which nobody listens.

They lie below those that Linux gives to whoever does not ask for a certain one, and each process of
pytest has its own, so that nothing takes one between the search and the start of its server.
"""

import contextlib
import os
import socket
from collections.abc import Iterator

FIRST, EACH, WORKERS = 20_000, 1_500, 8


def _mine() -> Iterator[int]:
    """The ports of this process, over and over; another run begins elsewhere."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS
    offset = os.getpid() * 37
    while True:
        for number in range(EACH):
            yield FIRST + EACH * worker + (offset + number) % EACH


_ports = _mine()


def free_port() -> int:
    """A port of the loopback interface that nothing uses."""
    for port in _ports:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("they never end")
