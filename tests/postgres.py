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
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port

VARIABLE = "ORQEN_TEST_DATABASE"
TESTS = ("tests/unit/accounts", "tests/integration/accounts")
SETTINGS = "-c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off"


def programs() -> Path | None:
    """The folder of the newest PostgreSQL, as Debian installs it, or of the one on the PATH."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    found = newest or shutil.which("pg_ctl")
    return None if found is None else Path(found).parent


@dataclass(frozen=True)
class Cluster:
    """A server with an empty database in a folder, at `url`; it can be stopped and started again."""

    programs: Path
    folder: Path
    port: int
    user: str | None

    @property
    def url(self) -> str:
        return f"postgresql://orqen@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        self._run("initdb", "-A", "trust", "-U", "orqen", "--no-sync")

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} {SETTINGS}"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(
            command, check=True, user=self.user, cwd=self.folder, stdout=subprocess.DEVNULL
        )


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A server that runs until the block ends."""
    found = programs()
    if found is None:
        raise SystemExit("test-postgres needs PostgreSQL: apt-get install postgresql, or name a server in " + VARIABLE)  # fmt: skip
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    made = Cluster(found, folder, free_port(), user)
    made.create()
    made.start()
    try:
        yield made
    finally:
        made.stop()


def main() -> int:
    command = [sys.executable, "-m", "pytest", "-q", *TESTS, *sys.argv[1:]]
    if os.environ.get(VARIABLE):
        return subprocess.run(command, check=False).returncode
    with tempfile.TemporaryDirectory() as place, cluster(Path(place)) as made:
        return subprocess.run(
            command, check=False, env=os.environ | {VARIABLE: made.url}
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
