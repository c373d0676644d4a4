"""The sockets of a worker: whom the kernel lets in, and where."""

import socket
import sys
from collections.abc import Iterator

import pytest

from engine.server.listener import (
    clear_selection,
    drop_new_connections,
    is_listening,
    select_socket,
    wait_for_first_bytes,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the options are Linux's")

CONNECTIONS = 40
SOON = 0.2  # seconds in which a connection over loopback is there, if it comes at all


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that listen on one port, the second one last."""
    first, second = (socket.socket() for _ in range(2))
    port = 0
    with first, second:
        for one in (first, second):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", port))
            one.listen(CONNECTIONS)
            one.settimeout(SOON)
            port = one.getsockname()[1]
        yield first, second


def accepted(listener: socket.socket) -> int:
    """How many connections wait at `listener`; they are taken."""
    number = 0
    while True:
        try:
            listener.accept()[0].close()
        except TimeoutError:
            return number
        number += 1


def connect(port: int) -> None:
    for _ in range(CONNECTIONS):
        socket.create_connection(("127.0.0.1", port), timeout=60).close()


def test_new_connections_go_to_one_socket_while_it_is_selected(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    first, second = pair
    port = first.getsockname()[1]
    for index, (one, other) in enumerate([(first, second), (second, first)]):
        select_socket(port, index)
        connect(port)
        assert (accepted(one), accepted(other)) == (CONNECTIONS, 0)
    clear_selection(port)
    connect(port)
    shares = accepted(first), accepted(second)
    assert sum(shares) == CONNECTIONS
    assert 0 not in shares


def test_an_index_of_no_socket_selects_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    first, second = pair
    port = first.getsockname()[1]
    select_socket(port, 2)
    connect(port)
    assert accepted(first) + accepted(second) == CONNECTIONS


def test_what_waits_is_accepted_and_nothing_new_comes(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    first, second = pair
    second.close()
    port = first.getsockname()[1]
    caller = socket.create_connection(("127.0.0.1", port), timeout=60)
    drop_new_connections(port)
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=SOON)
    with caller, first.accept()[0] as accepted_one:
        caller.sendall(b"ping")
        assert accepted_one.recv(4) == b"ping"


def test_a_caller_who_sends_nothing_yet_is_not_accepted(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """So a worker that ends drops nobody who has connected only."""
    first, second = pair
    second.close()
    port = first.getsockname()[1]
    wait_for_first_bytes(port)
    with socket.create_connection(("127.0.0.1", port)) as caller:
        with pytest.raises(TimeoutError):
            first.accept()
        caller.sendall(b"G")
        first.settimeout(5)
        first.accept()[0].close()


def test_it_is_known_whether_a_port_is_listened_on() -> None:
    with socket.socket(socket.AF_INET6) as one:
        one.bind(("::1", 0))
        port = one.getsockname()[1]
        assert not is_listening(port)
        one.listen()
        assert is_listening(port)
    assert not is_listening(port)
