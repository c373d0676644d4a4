"""Ports to listen on: a free one, one that is claimed, one that responds; and why a server cannot run."""

import contextlib
import http.client
import socket
import sys
import time
from typing import Protocol

MAX_PORT = 65535
FOR_METRICS = " for `metrics` of server.yaml"  # what a message says that a port is for


class ServeError(Exception):
    """The server could not run; the text is for the operator. `has_run`: it had started before."""

    has_run = False


class EndedError(ServeError):
    """The server ran, and could not continue."""

    has_run = True


def claim_port(host: str, port: int, purpose: str = "") -> socket.socket:
    """Take an address that nobody listens on; refused to every other until the socket is closed.

    Workers share their port, so a second server would not notice the first. Of all sockets that do
    not share one, the kernel lets a single one listen. From then on this one shares the port with
    the sockets of the same user, and keeps it without listening. `purpose` is what a message says it is for.

    Raises:
        ServeError: it is taken.
    """
    if not host:  # the socket would take it for every address
        raise ServeError(f"cannot listen on an empty address{purpose}")
    claim = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # despite connections that linger
    try:
        claim.bind((host, port))
        claim.listen()
    except OSError as error:
        claim.close()
        raise ServeError(f"cannot listen on {host}:{port}{purpose}: {error.strerror}") from None
    if sys.platform == "linux":  # before it stops to listen, so that there is no gap
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        claim.shutdown(socket.SHUT_RDWR)
    else:
        claim.close()
    return claim


def claim_free_port(usual: int = 0) -> tuple[int, socket.socket]:
    """Take `usual` of the loopback interface as `claim_port` does, or another port if it is 0 or taken.

    Raises:
        ServeError: no port is free.
    """
    for tried in range(4):
        port = usual if not tried and 0 < usual <= MAX_PORT else free_port()
        with contextlib.suppress(ServeError):
            return port, claim_port("127.0.0.1", port)
    raise ServeError("no port of 127.0.0.1 is free")


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Pollable(Protocol):
    """A process that may have ended, such as a Popen."""

    def poll(self) -> int | None: ...


def wait_until_ready(process: Pollable, port: int, path: str, seconds: float = 60) -> bool:
    """Whether GET `path` on the loopback interface returns 200 while `process` runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(connection),
        ):
            connection.request("GET", path)
            if connection.getresponse().status == http.client.OK:
                return True
        time.sleep(0.02)
    return False


def url_of(host: str, port: int, scheme: str = "http") -> str:
    """The URL of an address to listen on; an IPv6 address is in brackets (RFC 3986, 3.2.2)."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
