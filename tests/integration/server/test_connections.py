"""Callers' connections that rest, hold on or are too many; and who still gets in."""

import asyncio
import fcntl
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from engine.plan.tls import ListenerTls
from engine.server.connections import (
    FRESH_SECONDS,
    OTHER_FILES,
    ConnectionLimits,
    Connections,
    IdleConnection,
    Peer,
    _open_files,
    choose_to_close,
)
from engine.server.http import Listen, idle_limit
from tests import loopback
from tests.e2e.server.small import write_small
from tests.integration.server.test_resources import ask, serving
from tests.servers import WAIT, Server, gateway

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="looks at sockets as Linux shows them"
)
CALL = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
FILES = 600
ACCEPTED = FILES - OTHER_FILES


class Pairs:
    """A listener with connections to it: both ends of each."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.listener.getsockname()[1]
        self.ours: list[socket.socket] = []
        self.theirs: list[socket.socket] = []

    def add(
        self, address: str = "127.0.0.1", *, receives: bytes = b"", answers: bytes = b""
    ) -> Peer:
        caller = socket.create_connection(("127.0.0.1", self.port), 5, (address, 0))
        accepted, (host, port) = self.listener.accept()
        self.theirs.append(caller)
        self.ours.append(accepted)
        if receives:
            caller.sendall(receives)
            accepted.recv(65536)
        if answers:
            accepted.settimeout(0.1)
            time.sleep(0.01)
            with suppress(TimeoutError):
                accepted.sendall(answers)
        return host, str(port)

    def open(self) -> list[bool]:
        """Which of the connections are still open, in their order."""
        return [not _is_closed(caller) for caller in self.theirs]

    def close(self) -> None:
        for sock in (self.listener, *self.ours, *self.theirs):
            sock.close()


def _is_closed(caller: socket.socket) -> bool:
    caller.setblocking(False)
    with suppress(BlockingIOError):
        while data := caller.recv(65536):
            pass
        return data == b""
    return False


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    with closing(Pairs()) as made:
        yield made


def looks(connections: Connections, seconds: float = FRESH_SECONDS + 0.1) -> None:
    """Two looks, `seconds` apart."""

    async def tick() -> None:
        await connections.tick()
        await asyncio.sleep(seconds)
        await connections.tick()

    asyncio.run(tick())


def nobody() -> set[Peer]:
    return set()


def test_a_head_has_its_time_and_a_rest_and_a_request_have_not(pairs: Pairs) -> None:
    pairs.add()
    pairs.add(receives=b"GET /")
    pairs.add(receives=CALL, answers=b"HTTP/1.1 200 OK\r\n\r\n")
    peer = pairs.add(receives=CALL)
    second = pairs.add(receives=CALL, answers=b"HTTP/1.1 200 OK\r\n\r\n")
    time.sleep(0.05)
    pairs.theirs[4].sendall(b"GET /")  # the next head, one that never ends
    looks(Connections(pairs.port, 100, lambda: {peer}, ConnectionLimits(head=0.2)), 0.3)
    assert second != peer
    assert pairs.open() == [False, False, True, True, False]


def test_what_the_server_leaves_open_has_its_time_when_idle(pairs: Pairs) -> None:
    first = pairs.add(receives=CALL, answers=b"HTTP/1.1 200 OK\r\n\r\n")
    pairs.add(receives=CALL, answers=b"HTTP/1.1 200 OK\r\n\r\n")
    pairs.theirs[1].sendall(b"ping")  # a frame that needs no response
    pairs.add(receives=b"GET /")
    time.sleep(0.05)
    looks(Connections(pairs.port, 100, lambda: {first}, ConnectionLimits(idle=0.3)), 0.4)
    assert pairs.open() == [True, False, True]


@pytest.mark.parametrize(("http2", "seconds"), [(True, 9), (False, None)])
def test_what_the_server_leaves_open_are_connections_of_http2(
    *, http2: bool, seconds: int | None
) -> None:
    tls = ListenerTls(Path("cert.pem"), Path("key.pem"), http2=http2)
    assert idle_limit(Listen("127.0.0.1", 1, 9, tls)) == seconds


def test_a_stuck_reader_is_closed(pairs: Pairs) -> None:
    pairs.add(receives=CALL, answers=b"x" * 32 * 1024 * 1024)
    looks(Connections(pairs.port, 100, nobody, ConnectionLimits(stall=0.2)), 0.5)
    with pytest.raises(BrokenPipeError):  # and not that its buffer is full
        pairs.ours[0].send(b"x")


def test_what_is_too_much_goes_and_a_request_stays(pairs: Pairs) -> None:
    """First unfinished heads, of the most crowded address; a request never."""
    busy = {pairs.add("127.0.0.2", receives=CALL)}
    pairs.add("127.0.0.3")
    for _ in range(4):
        pairs.add("127.0.0.2")
    pairs.add("127.0.0.4", receives=CALL, answers=b"HTTP/1.1 200 OK\r\n\r\n")
    looks(Connections(pairs.port, 4, lambda: busy))
    assert pairs.open()[:2] == [True, True]
    assert pairs.open()[6] is True
    assert sum(pairs.open()) == 4


def test_a_look_that_fails_is_told_once_and_tried_again(pairs: Pairs) -> None:
    pairs.add()
    looks, told = 0, list[Exception]()

    def busy() -> set[Peer]:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise RuntimeError
        return set()

    async def watch() -> None:
        connections = Connections(pairs.port, 0, busy)
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                watching = asyncio.ensure_future(connections.watch(told.append))
                while all(pairs.open()):  # noqa: ASYNC110 no event tells
                    await asyncio.sleep(0.05)
        watching.cancel()

    asyncio.run(watch())
    assert pairs.open() == [False]
    assert [type(error) for error in told] == [RuntimeError]


def test_each_connection_is_one_more_open_file(pairs: Pairs) -> None:
    before = _open_files()
    for _ in range(10):
        pairs.add()
    assert _open_files() == before + 10 * 2  # both ends are here


def test_surplus_takes_heads_first_then_crowds_then_the_oldest() -> None:
    def one(fd: int, host: str, age: float, *, is_in_head: bool) -> IdleConnection:
        return IdleConnection(fd, (host, str(fd)), age, is_in_head=is_in_head)

    found = [
        one(1, "a", 9, is_in_head=False),
        one(2, "b", 5, is_in_head=False),
        one(3, "b", 6, is_in_head=False),
        one(4, "c", 2, is_in_head=True),
        one(5, "d", 0.5, is_in_head=True),
    ]
    order = [resting.fd for resting in choose_to_close(found, 9)]
    assert order == [4, 3, 2, 1]
    assert choose_to_close(found, 0) == []
    assert [resting.fd for resting in choose_to_close(found, 1)] == [4]


def test_an_idle_connection_rests_as_long_as_the_option_says(tmp_path: Path) -> None:
    with (
        gateway(write_small(tmp_path), tmp_path / "log", "--idle-timeout", "1") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as caller,
    ):
        for _ in range(2):
            caller.sendall(CALL)
            assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")
        started = time.monotonic()
        assert caller.recv(65536) == b""
    assert time.monotonic() - started > 0.7


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, mock: Server) -> Iterator[str]:
    """The address of a gateway that accepts ACCEPTED connections at most, and keeps half of them."""
    folder = tmp_path_factory.mktemp("small")
    with serving(folder, mock, folder / "log", descriptors=FILES) as (_, url):
        yield url


@pytest.mark.parametrize("begin", [b"", b"G", CALL])
def test_more_who_hold_on_than_are_accepted_keep_nobody_out(small: str, begin: bytes) -> None:
    """From one address, as one without a key can do it."""
    port = int(small.rpartition(":")[2])
    with ExitStack() as stack:
        for _ in range(ACCEPTED + 150):
            caller = stack.enter_context(closing(socket.socket()))
            caller.settimeout(5)
            caller.connect(("127.0.0.1", port))
            if begin:
                caller.send(begin)
        for _ in range(3):
            assert loopback.get(f"{small}/readyz", timeout=WAIT).status_code == 200
            assert ask(small) == 200


def test_the_locks_on_files_survive_the_watch(tmp_path: Path) -> None:
    """A lock of fcntl(2) is gone once any descriptor of its file is closed, as SQLite must know."""
    path = tmp_path / "locked"
    path.write_bytes(b"x")
    take = f"import fcntl; fcntl.lockf(open({str(path)!r}, 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        asyncio.run(Connections(1, 10, set).tick())
        done = subprocess.run([sys.executable, "-c", take], capture_output=True, check=False)
    assert b"BlockingIOError" in done.stderr
