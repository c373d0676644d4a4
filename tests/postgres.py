"""Runs the tests of the store on a PostgreSQL that it starts and stops: `make test-postgres`.

The server is Debian's, on a port of 127.0.0.1 and in a temporary folder. As root, which PostgreSQL
refuses, it runs as the user of Debian's package. ORQEN_TEST_DATABASE names another server instead.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from engine.server.ports import free_port

VARIABLE = "ORQEN_TEST_DATABASE"
TESTS = ("tests/unit/accounts",)
SETTINGS = "-c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off"


def programs() -> Path | None:
    """The folder of the newest PostgreSQL, as Debian installs it, or of the one on the PATH."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    found = newest or shutil.which("pg_ctl")
    return None if found is None else Path(found).parent


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A server with an empty database; its URL."""
    found = programs()
    if found is None:
        raise SystemExit("test-postgres needs PostgreSQL: apt-get install postgresql, or name a server in " + VARIABLE)  # fmt: skip
    user = "postgres" if os.getuid() == 0 else None
    data, port = folder / "data", free_port()
    if user:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(found / program), *arguments]
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)

    run("initdb", "-D", str(data), "-A", "trust", "-U", "orqen", "--no-sync")
    log, options = str(folder / "log"), f"-p {port} -k {folder} {SETTINGS}"
    run("pg_ctl", "-D", str(data), "-w", "-l", log, "-o", options, "start")
    try:
        yield f"postgresql://orqen@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")


def main() -> int:
    command = [sys.executable, "-m", "pytest", "-q", *TESTS, *sys.argv[1:]]
    if os.environ.get(VARIABLE):
        return subprocess.run(command, check=False).returncode
    with tempfile.TemporaryDirectory() as place, postgres(Path(place)) as url:
        return subprocess.run(command, check=False, env=os.environ | {VARIABLE: url}).returncode


if __name__ == "__main__":
    sys.exit(main())
