"""What the machine runs out of: nobody who reads the log, no file left to open, a page too much."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from engine.server.ports import free_port, wait_until_ready
from tests import loopback
from tests.servers import KEY, ROOT, Server, gateway, ship

BODY = {"model": "gpt-m", "messages": [{"role": "user", "content": "hi"}]}


@contextlib.contextmanager
def serving(
    folder: Path, mock: Server, shell: str, errors: int
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A gateway started by a line of shell that ends in `exec "$@"`."""
    port = free_port()
    command = [sys.executable, "-m", "engine", "serve", str(ship(folder)), "--port", str(port)]
    command += ["--drain-delay", "0", "--drain-timeout", "1", "--mock-port", str(mock.port)]
    process = subprocess.Popen(
        ["sh", "-c", f'{shell} exec "$@"', "sh", *command],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL, stderr=errors,
    )  # fmt: skip
    try:
        assert wait_until_ready(process, port, "/readyz")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


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


def test_a_log_that_nobody_reads_stops_no_request(tmp_path: Path, mock: Server) -> None:
    """Case O9, the reader of a pipe gone: records are lost, answers are not."""
    reading, writing = os.pipe()
    try:
        with serving(tmp_path, mock, "", writing) as (process, url):
            os.close(reading)
            assert [ask(url) for _ in range(20)] == [200] * 20
            assert process.poll() is None
    finally:
        os.close(writing)


def test_a_log_whose_reader_has_stopped_stops_no_request(tmp_path: Path, mock: Server) -> None:
    """Case O9, a reader that does not read: the pipe is full after some 150 records."""
    reading, writing = os.pipe()
    try:
        with serving(tmp_path, mock, "", writing) as (_, url):
            with loopback.Client(headers={"x-api-key": KEY}, timeout=30) as client:
                path = url + "/v1/chat/completions"
                assert {client.post(path, json=BODY).status_code for _ in range(400)} == {200}
            os.close(reading)
    finally:
        os.close(writing)


def test_a_limit_on_files_is_survived(tmp_path: Path, mock: Server) -> None:
    """Case O10: more callers than there are files; once they leave, all is as before."""
    with (
        (tmp_path / "log").open("wb") as log,
        serving(tmp_path, mock, "ulimit -n 64;", log.fileno()) as (process, url),
    ):
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


@pytest.mark.parametrize("name", ["two-lengths", "reset", "hang"])
def test_a_fault_can_be_played_by_the_mock(name: str) -> None:
    """`engine mock --fault NAME` is the fault server of these tests."""
    port = free_port()
    command = [sys.executable, "-m", "engine", "mock", "--port", str(port), "--fault", name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                time.sleep(0.02)
            with pytest.raises(httpx2.TransportError):
                loopback.post(f"http://127.0.0.1:{port}/v1/x", json={"model": "m"}, timeout=0.5)
        finally:
            process.terminate()


def test_an_unknown_fault_is_told() -> None:
    command = [sys.executable, "-m", "engine", "mock", "--port", str(free_port()), "--fault", "x"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no fault `x`; there are: " in done.stderr
    assert "two-lengths" in done.stderr


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
    tmp_path: Path, mock: Server, model: str, key: str
) -> None:
    """One that takes longer is watched for its caller, which once left a cycle for each; so did a refusal.

    Such a cycle holds the connection too, which stays open until the collector runs.
    """
    count = 20
    more = ("--mock-port", str(mock.port))
    with gateway(ship(tmp_path), tmp_path / "log", *more, module="tests.watched") as running:
        body = {**BODY, "model": model}
        with loopback.Client(headers={"x-api-key": key}, timeout=30) as client:
            path = running.url + "/v1/chat/completions"
            client.post(path, json=body)
            running.rest()
            for _ in range(count):
                client.post(path, json=body)
        assert running.rest().collected < count
