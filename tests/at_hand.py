"""The program `engine` for scripts, without its import: it asks the process of the tests for a fork that has it.

Such a process has the script's folder, environment, umask, standard files and signals (see `tests.processes`).
"""

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer

from tests.processes import Command, Process

PROGRAM = """#!{python} -IS
import json, os, signal, socket, sys

mask = os.umask(0o77)
os.umask(mask)
door = socket.socket(socket.AF_UNIX)
door.connect({door!r})
with door, door.makefile("rw") as file:
    wanted = [os.getpid(), sys.argv[1:], os.getcwd(), dict(os.environ), mask]
    file.write(json.dumps(wanted) + "\\n")
    file.flush()
    pid = int(file.readline())
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(pid, number))
    code = int(file.readline())
sys.exit(code)
"""
SECONDS = 300.0


class _Handler(StreamRequestHandler):
    def handle(self) -> None:
        pid, words, folder, environ, mask = json.loads(self.rfile.readline())
        source, out, errors = (Path(f"/proc/{pid}/fd/{number}") for number in range(3))
        command = Command(
            ("engine", *words), out, errors, environ, Path(folder), source=source, mask=mask
        )
        process = Process(command)
        self.wfile.write(b"%d\n" % process.pid)
        try:
            self.wfile.write(b"%d\n" % process.wait(SECONDS))
        finally:
            process.kill()


@contextlib.contextmanager
def engine_at_hand(folder: Path) -> Iterator[Path]:
    """A folder for a PATH, with a program `engine` in it that works as long as this lasts."""
    door, program = folder / "door", folder / "engine"
    program.write_text(PROGRAM.format(python=sys.executable, door=str(door)), "utf-8")
    program.chmod(0o755)
    with ThreadingUnixStreamServer(str(door), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield folder
        finally:
            server.shutdown()
            thread.join()
