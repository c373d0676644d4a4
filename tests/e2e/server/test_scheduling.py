"""How the threads of a worker take turns: by how busy it is, and never against an operator."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.server.small import write_small
from tests.servers import KEY, ROOT, Server, gateway

pytestmark = pytest.mark.skipif(
    not hasattr(os, "SCHED_BATCH"), reason="Linux alone has these policies"
)

SOON = 15.0  # seconds; a worker looks once a second
PROBES = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 50
HEAD = b"""POST /v1/embeddings HTTP/1.1
host: a
authorization: Bearer %b
content-type: application/json
content-length: 9

""".replace(b"\n", b"\r\n")


def policies(running: Server) -> set[int]:
    threads = [
        int(thread.name)
        for pid in running.worker_pids()
        for thread in Path(f"/proc/{pid}/task").iterdir()
    ]
    assert len(threads) > 2
    return {os.sched_getscheduler(thread) for thread in threads}


def waiting(running: Server) -> socket.socket:
    """A caller whose request is under way for as long as nothing more is sent."""
    caller = socket.create_connection(("127.0.0.1", running.port), timeout=60)
    caller.sendall(HEAD % KEY.encode())
    return caller


def test_threads_wait_for_each_other_while_their_worker_is_busy(tmp_path: Path) -> None:
    with gateway(
        write_small(tmp_path),
        tmp_path / "log",
        "--mock-port",
        "9",
        module="tests.watched",
        environ={"BUSY": "0.03"},
    ) as running:
        assert policies(running) == {os.SCHED_OTHER}
        with waiting(running), waiting(running):
            end = time.monotonic() + SOON
            with socket.create_connection(("127.0.0.1", running.port), timeout=60) as caller:
                while policies(running) != {os.SCHED_BATCH} and time.monotonic() < end:
                    caller.sendall(PROBES)
                    caller.recv(1 << 20)
                assert policies(running) == {os.SCHED_BATCH}
        end = time.monotonic() + SOON
        while policies(running) != {os.SCHED_OTHER} and time.monotonic() < end:
            time.sleep(0.05)
        assert policies(running) == {os.SCHED_OTHER}


@pytest.mark.parametrize(
    ("chosen", "calls", "is_busy", "then"),
    [
        ("SCHED_OTHER", 2, True, "SCHED_BATCH"),
        ("SCHED_OTHER", 2, False, "SCHED_OTHER"),
        ("SCHED_OTHER", 1, True, "SCHED_OTHER"),
        ("SCHED_IDLE", 2, True, "SCHED_IDLE"),
    ],
)
def test_several_requests_and_no_choice_of_an_operator(
    chosen: str, calls: int, is_busy: bool, then: str
) -> None:
    program = f"""
import os
from engine.server import scheduling as turns
os.sched_setscheduler(0, os.{chosen}, os.sched_param(0))
turns.BUSY = -1 if {is_busy} else 9
turns.ThreadScheduler().tick({calls})
assert os.sched_getscheduler(0) == os.{then}
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_a_chosen_policy_is_not_taken_back() -> None:
    program = """
import os
from engine.server import scheduling as turns
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
looks = turns.ThreadScheduler()
for turns.BUSY, turns.NOT_BUSY in ((-1, -1), (9, 9)):
    looks.tick(turns.MIN_REQUESTS)
    assert os.sched_getscheduler(0) == os.SCHED_BATCH
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
