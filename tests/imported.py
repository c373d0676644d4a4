"""Imports the modules it is given, and dies when one of them asks the machine for anything.

    python -m tests.imported bench.peers tests.soak

Whatever a test needs has to be looked for by the test, which can be skipped with a reason.
"""

import importlib
import sys

ASKS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind", "socket.getaddrinfo"}  # fmt: skip


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in ASKS:
        raise RuntimeError(f"{event} at import: {arguments}")


if __name__ == "__main__":
    sys.addaudithook(refuse)
    for name in sys.argv[1:]:
        importlib.import_module(name)
