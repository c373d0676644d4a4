"""The mock upstream: as a process beside a server, and as the server of this one."""

import asyncio
import contextlib
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection

from engine.server.connections import raise_file_limit
from engine.server.http import Listen, name_process, new_loop, serve_alone, serve_side_process
from engine.server.ports import ServeError, claim_free_port, claim_port, wait_until_ready
from engine.server.side_process import SideProcess, process_context


def serve_mock(host: str, port: int, fault: str | None, *, record: bool = True) -> None:
    """Run the mock upstream until a signal ends it; one process, so it can count.

    Without `record`, it keeps nothing of what it has received.

    Raises:
        ServeError: the address is taken, there is no such fault, or too few files may be open.
    """
    raise_file_limit()
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
    """A mock upstream beside this process, which ends with it; yields its port on the loopback interface.

    Raises:
        ServeError: it did not start.
    """
    port, claim = claim_free_port()
    mock = SideProcess("mock upstream", partial(_run_mock, port))
    with claim:
        mock.keep_alive(process_context())
        try:
            if not wait_until_ready(mock, port, "/__mock/status"):
                raise ServeError("the mock upstream did not start")
            yield port
        finally:
            mock.stop()


def _run_mock(port: int, pipe: Connection) -> None:
    from engine.mock.app import create_app  # noqa: PLC0415 only a mock process pays for it

    name_process("orqen-mock")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve_side_process(create_app(record=False), Listen("127.0.0.1", port), pipe))
