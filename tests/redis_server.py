"""Runs the tests of limits in Redis on a server that it starts and stops: `make test-redis`.

The server is Debian's Redis, or Valkey, on a port of 127.0.0.1 and in a temporary folder.
ORQEN_TEST_REDIS names another one instead, whose data are deleted.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.ports import free_port

VARIABLE = "ORQEN_TEST_REDIS"
TESTS = ("tests/integration/limits/on_redis.py", "tests/integration/limits/on_redis_servers.py")


@contextlib.contextmanager
def redis(folder: Path, port: int | None = None, run_by: Sequence[str] = ()) -> Iterator[str]:
    """A server without data; its URL. `run_by` is a command that starts another, such as taskset."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise SystemExit("test-redis needs Redis: apt-get install redis-server, or name a server in " + VARIABLE)  # fmt: skip
    port = port or free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([*run_by, program, *options], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until_listening(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def cpu_seconds(port: int) -> float:
    """CPU time of a server so far."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"INFO cpu\r\nQUIT\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    fields = dict(line.split(":", 1) for line in text.split() if line.startswith("used_cpu_"))
    return float(fields["used_cpu_user"]) + float(fields["used_cpu_sys"])


def wait_until_listening(port: int) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)


def main() -> int:
    command = [sys.executable, "-m", "pytest", "-q", *TESTS, *sys.argv[1:]]
    if os.environ.get(VARIABLE):
        return subprocess.run(command, check=False).returncode
    with tempfile.TemporaryDirectory() as place, redis(Path(place)) as url:
        return subprocess.run(command, check=False, env=os.environ | {VARIABLE: url}).returncode


if __name__ == "__main__":
    sys.exit(main())
