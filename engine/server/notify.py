"""Reports the state of the server to a service manager (sd_notify(3))."""

import contextlib
import os
import socket
import sys
import time

SECONDS = 0.5


def notify(state: str) -> None:
    """Send `state`, such as `READY=1`, to the socket that the manager has named; if there is one.

    A manager that does not read is waited for no longer than SECONDS: signals wait meanwhile.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if sys.platform == "win32" or address[:1] not in ("/", "@"):
        return
    if address[0] == "@":  # an abstract socket, unix(7)
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager,
    ):
        manager.settimeout(SECONDS)
        manager.connect(address)
        manager.send(state.encode("ascii"))


def notify_reloading() -> None:
    """A reload begins; `READY=1` ends it."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
