"""How the server ends, and what the callers of that moment are told."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from engine.server.ports import ServeError, claim_port
from engine.server.trial import trial_accounts, trial_metrics
from tests import loopback
from tests.e2e.server.small import eventually, write_small
from tests.processes import Command, Process, run_engine
from tests.servers import KEY, Server, free_port, gateway, write_keys

STREAMS = 50
DRAIN = ("--drain-timeout", "2")


@pytest.fixture
def server(tmp_path: Path, mock: Server) -> Iterator[Server]:
    arguments = (*DRAIN, "--workers", "2", "--mock-port", str(mock.port))
    with gateway(write_small(tmp_path), tmp_path / "log", *arguments) as running:
        deadline = time.monotonic() + 60
        while listening(running.port) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        yield running


def listening(port: int) -> int:
    """How many sockets listen on a port of this machine: one of each worker."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


async def ask(
    port: int,
    model: str,
    path: str = "/v1/chat/completions",
    started: asyncio.Event | None = None,
) -> bytes:
    """All that comes back for one streamed request, to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"model": model, "stream": True, "messages": [], "max_tokens": 9}).encode()
    writer.write(
        f"POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    try:
        first = await reader.read(1)
        if started is not None:
            started.set()
        return first + await reader.read()
    finally:
        writer.close()


async def begin(port: int, model: str, path: str = "/v1/chat/completions") -> asyncio.Future[bytes]:
    """A streamed request whose response has begun."""
    started = asyncio.Event()
    stream = asyncio.ensure_future(ask(port, model, path, started))
    await started.wait()
    return stream


def test_streams_that_do_not_make_it_are_told(server: Server) -> None:
    """Fifty streams, a deadline of two seconds: each ends with the error event of its dialect."""

    async def run() -> tuple[list[bytes], list[bytes], bytes, float]:
        silent = asyncio.ensure_future(ask(server.port, "gpt-mock-hang"))
        models = ["gpt-mock-events-999-400"] * (STREAMS - 1)
        tasks = [await begin(server.port, model) for model in models]
        other = await begin(server.port, "claude-mock-events-999-400", "/v1/messages")
        short = [await begin(server.port, "gpt-mock-events-6-100") for _ in range(4)]
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        ended = [await task for task in [*tasks, other]]
        code = await asyncio.to_thread(server.process.wait, 60)
        assert code == 0
        return ended, [await task for task in short], await silent, time.monotonic() - started

    ended, short, silent, seconds = asyncio.run(run())
    print(f"\n{STREAMS} streams, deadline 2 s: ended after {seconds:.2f} s")  # noqa: T201 reported
    for answer in ended:
        assert b"server_shutting_down" in answer[-500:]
        assert answer.endswith(b"0\r\n\r\n"), "an end that the client can tell from a cut"
        assert b"[DONE]" not in answer
    assert b"event: error\ndata: " in ended[-1]
    for answer in short:
        assert b"server_shutting_down" not in answer
        assert b"[DONE]" in answer
    head, _, body = silent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"x-should-retry: false" in head
    assert json.loads(body)["error"]["code"] == "server_shutting_down"
    outcomes = [r["outcome"] for r in server.records if r["endpoint"]]
    assert outcomes.count("server_cancelled") == STREAMS + 1
    assert outcomes.count("ok") == len(short)
    assert seconds < 30


async def drained(server: Server) -> None:
    """Wait until the server says that it is to end."""
    url = server.url + "/readyz"
    check = partial(eventually, lambda: loopback.get(url).status_code == 503)
    assert await asyncio.to_thread(check)


@pytest.mark.parametrize(
    ("signals", "send"),
    [([signal.SIGINT], os.killpg), ([signal.SIGTERM, signal.SIGTERM], os.kill)],
    ids=["interrupted at a terminal", "the parent told twice"],
)
def test_a_second_signal_ends_it_at_once(
    tmp_path: Path,
    mock: Server,
    signals: list[signal.Signals],
    send: Callable[[int, int], None],
) -> None:
    arguments = ("--drain-delay", "60", "--drain-timeout", "60", "--mock-port", str(mock.port))
    with gateway(write_small(tmp_path), tmp_path / "log", *arguments) as server:

        async def run() -> bytes:
            stream = await begin(server.port, "gpt-mock-events-999-400")
            for number in signals[:-1]:  # two of a kind that come before the parent looks are one
                send(server.process.pid, number)
                await drained(server)
            send(server.process.pid, signals[-1])
            return await stream

        assert b"server_shutting_down" in asyncio.run(run())
        assert server.process.wait(timeout=60) == 0


def test_a_signal_to_every_process_is_one_to_the_parent(tmp_path: Path, mock: Server) -> None:
    """As systemd sends it: the workers go on until the parent has them stop."""
    arguments = ("--workers", "2", "--drain-delay", "60", "--mock-port", str(mock.port))
    with gateway(write_small(tmp_path), tmp_path / "log", *arguments) as server:

        async def run() -> bytes:
            stream = await begin(server.port, "gpt-mock-events-15-100")
            os.killpg(server.process.pid, signal.SIGTERM)
            await drained(server)
            return await stream

        assert b"[DONE]" in asyncio.run(run())
        assert loopback.get(server.url + "/readyz").status_code == 503
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
        assert "nexpected" not in server.text


def test_a_worker_whose_parent_is_killed_finishes_its_requests(
    tmp_path: Path, mock: Server
) -> None:
    """It sees that within a second."""
    arguments = ("--drain-timeout", "30", "--mock-port", str(mock.port))
    with gateway(write_small(tmp_path), tmp_path / "log", *arguments) as server:

        async def run() -> bytes:
            stream = await begin(server.port, "gpt-mock-events-18-100")
            server.process.kill()
            return await stream

        assert b"[DONE]" in asyncio.run(run())


def test_a_worker_stops_for_its_parent_alone(server: Server) -> None:
    before = server.worker_pids()
    for pid in before:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    for _ in range(20):
        assert loopback.get(server.url + "/readyz").status_code == 200
    assert server.worker_pids() == before


def test_a_worker_that_is_killed_is_replaced(server: Server) -> None:
    """Its own requests fail, the other worker goes on, and the port stays open."""
    first, second = server.worker_pids()

    async def run() -> list[bytes | BaseException]:
        tasks = [ask(server.port, f"gpt-mock-events-15-100-{n}") for n in range(16)]
        streams = [asyncio.ensure_future(task) for task in tasks]
        await asyncio.sleep(0.5)
        os.kill(first, signal.SIGKILL)
        return await asyncio.gather(*streams, return_exceptions=True)

    answers = asyncio.run(run())
    whole = [a for a in answers if isinstance(a, bytes) and b"[DONE]" in a]
    cut = [a for a in answers if a not in whole]
    assert whole, answers
    assert not [a for a in cut if isinstance(a, bytes) and a.endswith(b"0\r\n\r\n")]
    end = time.monotonic() + 60
    while len(pids := server.worker_pids()) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    assert second in pids
    assert first not in pids
    assert len(pids) == 2
    for _ in range(12):
        assert loopback.get(server.url + "/readyz", timeout=60).status_code == 200


def test_a_crash_loop_ends_the_server_and_says_so(tmp_path: Path, mock: Server) -> None:
    with gateway(write_small(tmp_path), tmp_path / "log", "--mock-port", str(mock.port)) as server:
        killed: set[int] = set()
        end = time.monotonic() + 60
        while server.process.poll() is None and time.monotonic() < end:
            try:
                fresh = set(server.worker_pids()) - killed
            except OSError:
                break
            for pid in fresh:
                os.kill(pid, signal.SIGKILL)
            killed |= fresh
            time.sleep(0.05)
        assert server.process.wait(timeout=60) == 2
        assert len(killed) >= 2
        assert "crash loop" in server.text
        assert "engine: a worker could not be kept running" in server.text


def begun(folder: Path, port: int, log: Path, *more: str) -> Process:
    """A server of which nobody knows yet whether it will start."""
    words = ("engine", "serve", str(folder), "--port", str(port), "--drain-delay", "0", *more)
    return Process(Command(words, Path(os.devnull), log, {"PATH": os.environ["PATH"]}))


def test_a_second_instance_is_refused(tmp_path: Path, mock: Server) -> None:
    """Whether it comes later or at the same moment."""
    folder, port, more = write_small(tmp_path), free_port(), ("--mock-port", str(mock.port))
    pair = [(begun(folder, port, tmp_path / f"log{n}", *more), tmp_path / f"log{n}") for n in "ab"]
    end = time.monotonic() + 60
    while all(process.poll() is None for process, _ in pair) and time.monotonic() < end:
        time.sleep(0.02)
    ((loser, log),) = [one for one in pair if one[0].poll() is not None]
    ((winner, _),) = [one for one in pair if one[0] is not loser]
    assert loser.poll() == 2
    assert f"cannot listen on 127.0.0.1:{port}" in log.read_text()
    third = run_engine("serve", str(folder), "--port", str(port), *more)
    assert (third.returncode, f"cannot listen on 127.0.0.1:{port}" in third.stderr) == (2, True)
    winner.terminate()
    assert winner.wait(timeout=60) == 0


def test_a_name_is_an_address_to_listen_on_and_nothing_is_none(tmp_path: Path) -> None:
    folder = write_small(tmp_path)
    with gateway(folder, tmp_path / "log", "--mock-port", "1", "--host", "localhost") as server:
        assert eventually(lambda: f"listening on http://localhost:{server.port}" in server.text)
    done = run_engine("serve", str(folder), "--mock-port", "1", "--host", "")
    assert done.returncode == 2
    assert done.stderr == "engine: not started: cannot listen on an empty address\n"


def test_a_listener_of_server_yaml_that_has_no_port_is_named(tmp_path: Path) -> None:
    folder, port = write_small(tmp_path), str(free_port())
    (folder / "server.yaml").write_text(f"version: 1\nmetrics: {{port: {port}}}\n")
    done = run_engine("serve", str(folder), "--port", port, "--mock-port", "1")
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port} for `metrics` of server.yaml: " in done.stderr


def test_one_of_many_who_want_a_port_at_the_same_moment_gets_it() -> None:
    """By the port itself: a name or a file for it could be taken by another user of the machine."""
    start = threading.Barrier(8)

    def claim(port: int) -> socket.socket | None:
        start.wait()
        with contextlib.suppress(ServeError):
            return claim_port("127.0.0.1", port)
        return None

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            port = free_port()
            claims = list(pool.map(claim, [port] * 8))
            (winner,) = [claimed for claimed in claims if claimed]
            with pytest.raises(ServeError):
                claim_port("0.0.0.0", port)
            winner.close()
            claim_port("127.0.0.1", port).close()


def test_trials_that_start_together_take_different_ports() -> None:
    """The port of the metrics was found free before it was taken, a second later."""
    with contextlib.ExitStack() as both:
        taken = [trial_metrics(both, None, 1).port for _ in range(2)]
        port = free_port()
        for _ in range(2):
            admin = trial_accounts(both, None, port).admin
            assert admin is not None
            taken.append(admin.port)
        assert len(set(taken)) == 4
    with contextlib.ExitStack() as again:
        assert trial_metrics(again, None, taken[0]).port != taken[0]  # the gateway's own
        admin = trial_accounts(again, None, 65535).admin
        assert admin is not None and admin.port < 65535


@pytest.mark.parametrize("text", ["version: 1\nendpoint: {}\n", None])
def test_a_broken_configuration_is_refused_before_the_port_opens(
    tmp_path: Path, text: str | None
) -> None:
    folder, port = write_small(tmp_path), free_port()
    if text is None:
        (folder / "routes.yaml").unlink()
    else:
        (folder / "routes.yaml").write_text(text)
    process = begun(folder, port, tmp_path / "log")
    while process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(0.05)
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        time.sleep(0.01)
    assert process.poll() == 2
    told = (tmp_path / "log").read_text()
    assert "error[" in told
    assert "routes.yaml" in told
    assert "Traceback" not in told


def test_no_record_is_lost_at_the_end(tmp_path: Path, mock: Server) -> None:
    """The last requests end within the time in which their records are gathered."""
    with gateway(write_small(tmp_path), tmp_path / "log", "--mock-port", str(mock.port)) as server:
        ids = []
        with loopback.Client(base_url=server.url) as client:
            for _ in range(5):
                answer = client.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})
                ids.append(answer.headers["x-engine-request-id"])
        assert server.stop() == 0
        assert [record["request_id"] for record in server.records] == ids


def test_an_idle_server_ends_quickly(tmp_path: Path, mock: Server) -> None:
    """A keep-alive connection without a request does not hold it up."""
    write_keys(tmp_path)
    with (
        gateway(write_small(tmp_path), tmp_path / "log", "--mock-port", str(mock.port)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as idle,
    ):
        idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: g\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        assert server.stop() == 0
