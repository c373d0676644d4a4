"""Refuses processes and connections for a time: while modules are imported, and in unit tests.

Whatever a test needs has to be looked for by the test, which can be skipped with a reason.
"""

import contextlib
import socket
import sys
from collections.abc import Iterator

ASKS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind", "socket.getaddrinfo"}  # fmt: skip


_reasons: list[str] = []  # why nothing may be asked for now


@contextlib.contextmanager
def nothing_asked(reason: str) -> Iterator[None]:
    """Within the block no process is started, and nothing connected to, bound or resolved."""
    _reasons.append(reason)
    try:
        yield
    finally:
        _reasons.pop()


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if _reasons and event in ASKS:
        first = arguments[0] if arguments else None
        if not (isinstance(first, socket.socket) and first.family == socket.AF_UNIX):
            raise RuntimeError(f"{event} {_reasons[-1]}: {arguments}")


sys.addaudithook(_refuse)
