"""The mock upstream: as a process beside a server, and as the server of this one."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

from engine.server.http import Listen, serve_alone
from engine.server.ports import ServeError, claim_port, free_port, wait_until_ready


def serve_mock(host: str, port: int, fault: str | None, *, record: bool = True) -> None:
    """Run the mock upstream until a signal ends it; one process, so it can count.

    Without `record`, it keeps nothing of what it has received.

    Raises:
        ServeError: the address is taken, or there is no such fault.
    """
    from engine.mock.app import create_app  # noqa: PLC0415 only a mock process pays for it
    from engine.mock.faults import FAULTS, serve_fault  # noqa: PLC0415 as above
    from engine.mock.responses import parse_faults  # noqa: PLC0415 as above

    if fault is not None and not parse_faults(f"mock-{fault}"):
        if fault not in FAULTS:
            raise ServeError(f"there is no fault `{fault}`; there are: {', '.join(sorted(FAULTS))}")
        # No claim: it listens for a moment, and who connects in that moment is reset.
        with contextlib.suppress(KeyboardInterrupt):
            try:
                asyncio.run(serve_fault(host, port, fault))
            except OSError as error:
                raise ServeError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        return
    with claim_port(host, port):
        serve_alone(create_app(fault, record=record), Listen(host, port))


@contextlib.contextmanager
def mock_process() -> Iterator[int]:
    """A mock upstream beside this process; yields its port on the loopback interface."""
    port = free_port()
    command = [sys.executable, "-m", "engine", "mock", "--port", str(port), "--no-record"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 our own module
    try:
        if not wait_until_ready(process, port, "/__mock/status"):
            raise ServeError("the mock upstream did not start")
        yield port
    finally:
        process.terminate()
        process.wait()
