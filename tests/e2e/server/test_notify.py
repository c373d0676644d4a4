"""What a service manager is told, as sd_notify(3) says, and the probe of a container."""

import contextlib
import os
import signal
import socket
from pathlib import Path

from tests.e2e.server.small import write_small
from tests.processes import run_engine
from tests.servers import Server, gateway


def test_a_service_manager_learns_of_start_reload_and_stop(tmp_path: Path) -> None:
    write_small(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with gateway(tmp_path, tmp_path / "log", environ=environ) as server:
            assert manager.recv(99) == b"READY=1"
            server.process.send_signal(signal.SIGHUP)
            begun = manager.recv(99)
            assert begun.startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert manager.recv(99) == b"READY=1"
            assert server.stop() == 0
            assert manager.recv(99) == b"STOPPING=1"


def test_a_manager_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    with gateway(
        write_small(tmp_path), tmp_path / "log", environ={"NOTIFY_SOCKET": "@gone"}
    ) as server:
        assert server.stop() == 0


def test_a_manager_that_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:  # fmt: skip
        manager.bind(str(tmp_path / "notify"))
        other.connect(str(tmp_path / "notify"))
        other.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                other.send(b"full")
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with gateway(write_small(tmp_path), tmp_path / "log", environ=environ) as server:
            server.process.send_signal(signal.SIGHUP)
            assert server.stop() == 0


def test_a_probe_says_in_one_word_whether_the_server_is_ready(tmp_path: Path) -> None:
    with gateway(write_small(tmp_path), tmp_path / "log", "--drain-delay", "20") as server:
        ready = run_engine("health", "--url", server.url)
        assert (ready.returncode, ready.stdout) == (0, "healthy\n")
        server.process.send_signal(signal.SIGTERM)
        while (draining := probe(server)) == 0:
            pass
        assert (draining, probe(server, "--live")) == (1, 0)
        os.kill(server.process.pid, signal.SIGTERM)
        server.process.wait(timeout=30)
        assert probe(server) == 2
    assert run_engine("health", "--url", "ftp://localhost").returncode == 2


def probe(server: Server, *options: str) -> int:
    return run_engine("health", "--url", server.url, *options).returncode
