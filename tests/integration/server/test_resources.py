"""What the machine runs out of: nobody who reads the log, no file left to open, a page too much."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import httpx2
import pytest

from engine.server.memory import CHECKS, MemoryLimit
from engine.server.ports import wait_until_ready
from tests import loopback
from tests.e2e.server.small import write_small
from tests.ports import free_port
from tests.processes import Command, Process, run_engine
from tests.servers import KEY, WAIT, Server, gateway

BODY = {"model": "gpt-m", "messages": [{"role": "user", "content": "hi"}]}


@contextlib.contextmanager
def serving(
    folder: Path,
    mock: Server,
    log: Path,
    descriptors: int | None = None,
    begun: Callable[[Process], None] = lambda _: None,
) -> Iterator[tuple[Process, str]]:
    """A gateway that writes its log to any file, and may open `descriptors` files at most.

    `begun` is called before it is ready.
    """
    port = free_port()
    words = ["engine", "serve", str(write_small(folder)), "--port", str(port), "--drain-delay", "0"]
    words += ["--drain-timeout", "1", "--mock-port", str(mock.port)]
    environ = {"PATH": os.environ["PATH"]}
    process = Process(Command(tuple(words), log, log, environ, descriptors=descriptors))
    try:
        begun(process)
        assert wait_until_ready(process, port, "/readyz")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A FIFO that holds some ten records, and its reading end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reading:
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
        yield path, reading


def ask(url: str) -> int:
    answer = loopback.post(
        url + "/v1/chat/completions", json=BODY, headers={"x-api-key": KEY}, timeout=30
    )
    return answer.status_code


def cpu_seconds(pid: int) -> float:
    """Processor time of the children of `pid`, which are the workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    stats = [Path(f"/proc/{c}/stat").read_text().rpartition(") ")[2].split() for c in children]
    return sum(int(s[11]) + int(s[12]) for s in stats) / os.sysconf("SC_CLK_TCK")


def test_a_log_that_nobody_reads_stops_no_request(
    tmp_path: Path, mock: Server, pipe: tuple[Path, BinaryIO]
) -> None:
    """Case O9, the reader of a pipe gone: records are lost, answers are not."""
    path, reading = pipe
    with serving(tmp_path, mock, path) as (process, url):
        reading.close()
        assert [ask(url) for _ in range(20)] == [200] * 20
        assert process.poll() is None


def test_an_output_whose_reader_leaves_before_the_server_is_ready_stops_no_server(
    tmp_path: Path, mock: Server, pipe: tuple[Path, BinaryIO]
) -> None:
    """Case O9, at the start: nobody reads what it says when it is ready."""
    path, reading = pipe

    def leave(process: Process) -> None:
        output, end = Path(f"/proc/{process.pid}/fd/1"), time.monotonic() + WAIT
        while output.readlink() != path and time.monotonic() < end:
            time.sleep(0.001)
        reading.close()

    with serving(tmp_path, mock, path, begun=leave) as (process, url):
        assert [ask(url) for _ in range(5)] == [200] * 5
        assert process.poll() is None


def test_a_log_whose_reader_has_stopped_stops_no_request(
    tmp_path: Path, mock: Server, pipe: tuple[Path, BinaryIO]
) -> None:
    """Case O9, a reader that does not read: the pipe is full long before the last request."""
    path, reading = pipe
    with serving(tmp_path, mock, path) as (_, url):
        with loopback.Client(headers={"x-api-key": KEY}, timeout=30) as client:
            talk = url + "/v1/chat/completions"
            assert {client.post(talk, json=BODY).status_code for _ in range(60)} == {200}
        assert len(reading.read(65536)) <= 4096
        reading.close()


@pytest.mark.parametrize("descriptors", [24, 32, 40, 63])
@pytest.mark.parametrize("command", ["serve --mock", "serve --mock-port 1", "mock"])
def test_a_limit_on_files_that_nothing_runs_with_is_refused(
    tmp_path: Path, command: str, descriptors: int
) -> None:
    """Else workers die, with a traceback each, and the last line says nothing of files."""
    words = [*command.split(), "--port", str(free_port())]
    words[1:1] = [str(write_small(tmp_path))] if words[0] == "serve" else []
    log = tmp_path / "log"
    process = Process(Command(("engine", *words), log, log, {}, descriptors=descriptors))
    assert process.wait(timeout=60) == 2
    *_, said = log.read_text().splitlines()
    assert "Traceback" not in log.read_text()
    assert said.endswith(
        f"the system allows {descriptors} open files, and 64 are needed: raise that (`ulimit -n`)"
    )


def test_a_limit_on_files_is_survived(tmp_path: Path, mock: Server) -> None:
    """Case O10: more callers than there are files; once they leave, all is as before."""
    with serving(tmp_path, mock, tmp_path / "log", descriptors=64) as (process, url):
        assert ask(url) == 200
        port = int(url.rpartition(":")[2])
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            time.sleep(0.3)
            before = cpu_seconds(process.pid)
            time.sleep(0.5)
            busy = cpu_seconds(process.pid) - before
        print(f"\nout of files: {busy:.2f} s of processor in half a second")  # noqa: T201 reported
        assert process.poll() is None
        end = time.monotonic() + 60
        statuses: list[int] = []
        while statuses[-3:] != [200] * 3 and time.monotonic() < end:
            with contextlib.suppress(httpx2.TransportError):
                statuses.append(ask(url))
        assert statuses[-3:] == [200] * 3


def test_the_first_connection_to_a_mock_with_a_fault_is_served(tmp_path: Path) -> None:
    """`engine mock --fault NAME` is the fault server of these tests."""
    port = free_port()
    words = ("engine", "mock", "--port", str(port), "--fault", "two-lengths")
    process = Process(Command(words, tmp_path / "log", tmp_path / "log", {}))
    try:
        end = time.monotonic() + WAIT
        while time.monotonic() < end:  # without a pause: no moment at which it accepts and resets
            with contextlib.suppress(ConnectionRefusedError):
                connection = socket.create_connection(("127.0.0.1", port))
                break
        with connection:
            connection.sendall(b'POST /v1/x HTTP/1.1\r\ncontent-length: 13\r\n\r\n{"model":"m"}')
            connection.settimeout(WAIT)
            assert b"content-length: 2\r\ncontent-length: 3\r\n" in connection.recv(1000)
        second = run_engine(*words[1:])
        assert second.returncode == 2
        assert f"cannot listen on 127.0.0.1:{port}: " in second.stderr
    finally:
        process.terminate()
        process.wait(60)


def test_an_unknown_fault_is_told() -> None:
    done = run_engine("mock", "--port", str(free_port()), "--fault", "x")
    assert done.returncode == 2
    assert "there is no fault `x`; there are: " in done.stderr
    assert "two-lengths" in done.stderr


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, mock: Server) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("watched")
    more = ("--mock-port", str(mock.port))
    with gateway(write_small(folder), folder / "log", *more, module="tests.watched") as running:
        yield running


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("gpt-m", KEY),
        ("gpt-mock-slow-150", KEY),
        ("gpt-mock-slow-150-status-500", KEY),
        ("nobody-serves-this", KEY),
        ("gpt-m", "sk-orq-" + "0" * 64),
    ],
)
def test_a_request_leaves_nothing_to_the_garbage_collector(
    watched: Server, model: str, key: str
) -> None:
    """One that takes longer is watched for its caller, which once left a cycle for each; so did a refusal.

    Such a cycle holds the connection too, which stays open until the collector runs.
    """
    count = 20
    body = {**BODY, "model": model}
    with loopback.Client(headers={"x-api-key": key}, timeout=30) as client:
        path = watched.url + "/v1/chat/completions"
        client.post(path, json=body)
        watched.rest()
        for _ in range(count):
            client.post(path, json=body)
    assert watched.rest().collected < count


def test_a_process_takes_too_much_only_if_it_does_so_several_times_in_a_row() -> None:
    """One that has been looked for in vain, or was found, begins anew."""
    limit, own = MemoryLimit(1), [os.getpid()]
    almost: list[list[int]] = [[]] * (CHECKS - 1)
    for _ in range(2):
        assert [limit.exceeded_by(own) for _ in almost] == almost
        assert limit.exceeded_by([]) == []
        assert [limit.exceeded_by(own) for _ in range(CHECKS)] == [*almost, own]
    assert MemoryLimit(None).exceeded_by(own) == []
