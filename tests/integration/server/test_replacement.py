"""Which workers the parent replaces when TLS files are renewed: real processes that only say they listen."""

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from engine.server import supervisor
from engine.server.channel import WorkerChannel
from engine.server.reload import ConfigReloader, Snapshot, State
from engine.server.supervisor import Supervisor
from engine.server.worker_process import WorkerProcess

WORKERS, FAILS, LAST = 2, 2, 3
QUIET_TICKS = 8


class Renewals:
    """TLS files that are renewed LAST times, each time when nothing has followed from the last for a while."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ticks = 0
        self.count, self.accepted, self.refused = 0, "0", None

    def tick(self, now: float) -> bool:
        self._ticks += 1
        begun = len(self._file.read_text().splitlines())
        if begun < WORKERS * (self.count + 1):
            self._ticks = 0
        if self._ticks < QUIET_TICKS:
            return False
        if self.count == LAST:
            os.kill(os.getpid(), signal.SIGTERM)
            return False
        self._ticks, self.count = 0, self.count + 1
        self.accepted = str(self.count)
        return True


def worker(file: Path, *inherited: Any) -> None:
    """A worker that notes which TLS files it got; it cannot start with those of one renewal."""
    *_, tls, pipe, _ = inherited
    with file.open("a") as starts:
        starts.write(f"{tls}\n")
    if tls == str(FAILS):
        sys.exit(1)
    pipe.send((0, "listening"))
    follow(pipe)


def follow(pipe: Connection) -> None:
    while (message := pipe.recv())[0] != "stop":
        if message[0] == "steer":
            pipe.send((message[1], "steered"))
    pipe.send((0, "stopped listening"))


def supervise(folder: Path, file: Path) -> None:
    vars(supervisor).update(POLL_SECONDS=0.02, QUEUE_SECONDS=0.02)
    reloader = ConfigReloader(folder, lambda _: (None, []), Snapshot({}, 0.0), None, State(""))
    Supervisor(
        lambda *inherited: worker(file, *inherited),
        reloader,
        workers=WORKERS,
        ready_banner="",
        drain=(0.0, 5.0),
        tls=Renewals(file),  # type: ignore[arg-type]  # in its place
    ).run()


def test_a_successor_that_failed_is_tried_again_in_a_minute_or_with_the_next_files() -> None:
    """Until then the worker has the certificate of before, which may be about to expire."""
    pipe, _ = multiprocessing.Pipe()
    one = WorkerProcess(1, multiprocessing.current_process(), WorkerChannel(pipe, -1), renewals=2)
    assert [one.is_behind(renewals, 0.0) for renewals in (2, 3)] == [False, True]
    one.note_try(3, 0.0)
    assert [one.is_behind(3, now) for now in (0.0, 59.0, 60.0)] == [False, False, True]
    assert one.is_behind(4, 1.0)
    assert not one.is_behind(2, 1000.0)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_each_worker_is_replaced_once_for_a_renewal_also_where_that_fails(tmp_path: Path) -> None:
    file = tmp_path / "starts"
    file.touch()
    process = multiprocessing.get_context("fork").Process(target=supervise, args=(tmp_path, file))
    process.start()
    process.join(60)
    process.kill()  # where it goes on, which it must not; its workers end with their pipes
    assert process.exitcode == 0
    assert file.read_text().split() == [str(n) for n in range(LAST + 1) for _ in range(WORKERS)]
