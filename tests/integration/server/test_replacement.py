"""Which workers the parent starts, replaces and ends: real processes that only say they listen."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from engine.config.load import Loaded
from engine.server import reload, supervisor
from engine.server.channel import WorkerChannel
from engine.server.reload import ConfigReloader, Problem, ReloadState, Snapshot
from engine.server.renewal import TlsRenewal
from engine.server.supervisor import Supervisor
from engine.server.worker_process import WorkerProcess
from engine.telemetry.server_counts import ServerCounts
from tests.integration.server.test_prepare import Folder
from tests.servers import write_keys
from tests.unit.config.folders import fill

forked = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
WORKERS, FAILS, HANGS, LAST = 2, 2, 3, 4
QUIET_TICKS = 8
CRASH_SECONDS = 0.05
STEADY_SECONDS = 0.3


class Renewals:
    """TLS files that are renewed LAST times, each time when nothing has followed from the last for a while."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ticks = 0
        self.count, self.accepted, self.refused = 0, "0", None

    def tick(self, now: float) -> bool:
        self._ticks += 1
        begun = self._file.read_text().count("+")
        if begun < WORKERS * (self.count + 1):
            self._ticks = 0
        if self._ticks < QUIET_TICKS:
            return False
        if self.count == LAST:
            os.kill(os.getpid(), signal.SIGTERM)
            return False
        self._ticks, self.count = 0, self.count + 1
        self.accepted = str(self.count)
        vars(supervisor).update(LISTENING_SECONDS=1.0 if self.count == HANGS else 60.0)
        return True


def worker(file: Path, *inherited: Any) -> None:
    """A worker that notes which TLS files it got and what it is to do; it cannot start with those of two renewals."""
    tls, pipe = inherited[-3], pipe_of(inherited)
    note(file, f" +{tls}")
    if tls == str(FAILS):
        sys.exit(1)
    if tls != str(HANGS):
        pipe.send((0, "listening"))
    follow(file, pipe)


def pipe_of(inherited: tuple[Any, ...]) -> Connection:
    """The worker's end of its pipe, without a copy of the other, so that the worker ends with the parent."""
    *_, pipe, others = inherited
    for other in others:
        other.close()
    found: Connection = pipe
    return found


def note(file: Path, text: str) -> None:
    with file.open("a") as noted:
        noted.write(text)


def follow(file: Path, pipe: Connection) -> None:
    while (message := pipe.recv())[0] != "stop":
        if message[0] == "select_socket":
            note(file, f" to {message[2]}")
            pipe.send((message[1], "selected"))
    note(file, " -")
    pipe.send((0, "stopped listening"))


def successor(file: Path, *inherited: Any) -> None:
    """A worker that dies when it is to drain; the one in its place ends the drain at once."""
    pipe = pipe_of(inherited)
    is_first = not file.read_text()
    note(file, " +")
    if is_first:
        os.kill(os.getppid(), signal.SIGTERM)
    while (message := pipe.recv())[0] != "stop":
        note(file, f" {message[0]}")
        if is_first:
            sys.exit(1)
        os.kill(os.getppid(), signal.SIGTERM)


def mortal(file: Path, *inherited: Any) -> None:
    """A worker that dies: the first one at once, the one in its place after CRASH_SECONDS; the third ends the server."""
    pipe = pipe_of(inherited)
    note(file, " +")
    match file.read_text().count("+"):
        case 1:
            sys.exit(1)
        case 2:
            time.sleep(10 * CRASH_SECONDS)
            sys.exit(1)
    os.kill(os.getppid(), signal.SIGTERM)
    follow(file, pipe)


def deaf(file: Path, *inherited: Any) -> None:
    """A worker that never ends, whatever it is to do."""
    pipe = pipe_of(inherited)
    note(file, " +")
    for _ in range(2):
        os.kill(os.getppid(), signal.SIGTERM)
        pipe.recv()
    while pipe.recv():
        pass


def hasty(file: Path, *inherited: Any) -> None:
    """A worker that ends the server, and asks for a reload and then for an end at once when it is to drain."""
    pipe = pipe_of(inherited)
    os.kill(os.getppid(), signal.SIGTERM)
    while pipe.recv()[0] != "stop":
        for number in (signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getppid(), number)
    note(file, " -")


def stuck(file: Path, *inherited: Any) -> None:
    """A worker that asks for a reload, ends the server in the middle of it, and never gets ready."""
    pipe = pipe_of(inherited)
    os.kill(os.getppid(), signal.SIGHUP)
    while (message := pipe.recv())[0] != "stop":
        note(file, f" {message[0]}")
        if message[0] == "prepare":
            os.kill(os.getppid(), signal.SIGTERM)


def crossed(file: Path, *inherited: Any) -> None:
    """A worker whose successor begins to listen in the middle of a reload, and ends the server when connections are sent to it."""
    pipe = pipe_of(inherited)
    is_first = not file.read_text()
    note(file, " +")
    if is_first:
        pipe.send((0, "listening"))
    else:
        os.kill(os.getppid(), signal.SIGHUP)
    while (message := pipe.recv())[0] != "stop":
        if message[0] == "prepare" and not is_first:
            pipe.send((0, "listening"))
        if message[0] in {"prepare", "select_socket"}:
            pipe.send((message[1], "ready"))
        if message[0] == "select_socket":
            os.kill(os.getppid(), signal.SIGTERM)
    note(file, " -")


def heir(file: Path, *inherited: Any) -> None:
    """A worker whose successor kills it before it listens, and then ends the server."""
    pipe = pipe_of(inherited)
    note(file, f" +{os.getpid()}")
    before = file.read_text().split("+")[1:-1]
    if len(before) == 1:
        os.kill(int(before[0]), signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.kill(int(before[0]), 0)
                time.sleep(CRASH_SECONDS)
        os.kill(os.getppid(), signal.SIGTERM)
    pipe.send((0, "listening"))
    follow(file, pipe)


def hung(file: Path, *inherited: Any) -> None:
    """The first worker dies while its successor starts, which never listens; the third ends the server."""
    pipe = pipe_of(inherited)
    note(file, " +")
    match file.read_text().count("+"):
        case 1:
            pipe.send((0, "listening"))
            while file.read_text().count("+") == 1:
                time.sleep(CRASH_SECONDS)
            sys.exit(1)
        case 3:
            os.kill(os.getppid(), signal.SIGTERM)
    follow(file, pipe)


def steady(file: Path, *inherited: Any) -> None:
    """A worker that listens, and ends the server long after it had to."""
    pipe = pipe_of(inherited)
    note(file, " +")
    pipe.send((0, "listening"))
    time.sleep(3 * STEADY_SECONDS)
    os.kill(os.getppid(), signal.SIGTERM)
    follow(file, pipe)


def unready(file: Path, *inherited: Any) -> None:
    """A worker that does not get ready for a reload, and dies; the one in its place follows, and ends the server."""
    pipe = pipe_of(inherited)
    is_first = not file.read_text()
    note(file, " +")
    pipe.send((0, "listening"))
    if is_first:
        time.sleep(STEADY_SECONDS)  # so that the reload is asked for after it was read
        os.kill(os.getppid(), signal.SIGHUP)
    while (message := pipe.recv())[0] != "stop":
        note(file, f" {message[0]}")
        if message[0] == "prepare" and not is_first:
            pipe.send((message[1], "ready"))
        if message[0] == "abort":
            sys.exit(1)
        if message[0] == "commit":
            os.kill(os.getppid(), signal.SIGTERM)


class OneRenewal:
    """TLS files that are renewed once, as soon as a worker has begun."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.count, self.accepted, self.refused = 0, None, None

    def tick(self, now: float) -> bool:
        self.count = int("+" in self._file.read_text())
        return False


def supervise(
    folder: Path, file: Path, start: Callable[..., None], tls: Any, workers: int, delay: float
) -> None:
    def load_none(_snapshot: Snapshot) -> tuple[Loaded | None, list[Problem]]:
        note(file, " load")
        return None, []

    shorter = dict.fromkeys(("POLL_SECONDS", "QUEUE_SECONDS", "FLUSH_SECONDS"), 0.02)
    shorter |= {"LISTENING_SECONDS": 1.0} if start is hung else {}
    shorter |= {"LISTENING_SECONDS": STEADY_SECONDS} if start is steady else {}
    vars(reload).update(PREPARE_SECONDS=0.2)
    vars(supervisor).update(shorter, CRASH_SECONDS=CRASH_SECONDS)
    load = Folder(folder).prepare if start in {stuck, crossed, unready} else load_none
    reloader = ConfigReloader(folder, load, Snapshot({}, 0.0), None, ReloadState(""))
    begin = partial(start, file)
    drain = delay, 5.0
    Supervisor(begin, reloader, workers=workers, ready_banner="", drain=drain, tls=tls).run()


def supervised(folder: Path, start: Callable[..., None], *, workers: int, delay: float) -> str:
    """What workers note that `start` runs; the parent has ended well."""
    file = folder / "noted"
    file.touch()
    renewals: dict[Any, Any] = {
        worker: Renewals,
        heir: OneRenewal,
        hung: OneRenewal,
        crossed: OneRenewal,
    }
    tls = renewals[start](file) if start in renewals else TlsRenewal(None, ServerCounts())
    process = multiprocessing.get_context("fork").Process(
        target=supervise, args=(folder, file, start, tls, workers, delay)
    )
    process.start()
    process.join(60)
    process.kill()  # where it goes on, which it must not; its workers end with their pipes
    assert process.exitcode == 0, file.read_text()
    return file.read_text()


def test_a_successor_that_failed_is_tried_again_in_a_minute_or_with_the_next_files() -> None:
    """Until then the worker has the certificate of before, which may be about to expire."""
    pipe, _ = multiprocessing.Pipe()
    one = WorkerProcess(1, multiprocessing.current_process(), WorkerChannel(pipe, -1), renewals=2)
    assert [one.is_behind(renewals, 0.0) for renewals in (2, 3)] == [False, True]
    one.record_try(3, 0.0)
    assert [one.is_behind(3, now) for now in (0.0, 59.0, 60.0)] == [False, False, True]
    assert one.is_behind(4, 1.0)
    assert not one.is_behind(2, 1000.0)


@forked
def test_each_worker_is_replaced_once_for_a_renewal_also_where_that_fails(tmp_path: Path) -> None:
    """One after another, so that no more than one works twice; and the successor was the last to listen."""
    replaced, failed = f" +{{0}} to {WORKERS} -" * WORKERS, " +{0}" * WORKERS
    steps = [failed, replaced, failed, failed, replaced]
    told = "".join(step.format(renewal) for renewal, step in enumerate(steps))
    assert supervised(tmp_path, worker, workers=WORKERS, delay=0.0) == told + " -" * WORKERS


@forked
def test_a_worker_that_is_started_while_the_others_drain_does_so_too(tmp_path: Path) -> None:
    """Else it would say that it is ready until the port closes."""
    noted = supervised(tmp_path, successor, workers=1, delay=60.0)
    assert noted.removesuffix(" drain") == " + drain + drain"  # the second signal says it again


@forked
def test_workers_that_die_now_and_then_are_no_crash_loop(tmp_path: Path) -> None:
    assert supervised(tmp_path, mortal, workers=1, delay=0.0) == " + + + -"


@forked
def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    assert supervised(tmp_path, deaf, workers=1, delay=60.0) == " +"


@forked
def test_no_reload_begins_while_the_server_drains(tmp_path: Path) -> None:
    """A worker that is stuck would hold up the end."""
    assert supervised(tmp_path, hasty, workers=1, delay=60.0) == " -"


@forked
def test_an_end_comes_before_a_reload_under_way(tmp_path: Path) -> None:
    """It waits for no worker that is stuck, and refuses nothing: that would be a `note`."""
    write_keys(fill(tmp_path))
    assert supervised(tmp_path, stuck, workers=1, delay=0.0) == " prepare abort drain"


@forked
def test_a_successor_that_listens_in_the_middle_of_a_reload_is_heard(tmp_path: Path) -> None:
    """Else it is killed after a minute although it serves; and at the start the server is never ready."""
    write_keys(fill(tmp_path))
    assert supervised(tmp_path, crossed, workers=1, delay=0.0) == " + + - -"


@forked
def test_the_successor_of_a_worker_that_dies_takes_its_place(tmp_path: Path) -> None:
    """It is the worker with too much memory that the system kills; else there is one more for ever."""
    assert supervised(tmp_path, heir, workers=1, delay=0.0).count("+") == 2


@forked
def test_a_worker_that_never_listens_is_killed_also_where_it_replaces_none_any_more(
    tmp_path: Path,
) -> None:
    """Else the server goes on with one worker less, or with none."""
    assert supervised(tmp_path, hung, workers=1, delay=0.0) == " + + + -"


@forked
def test_a_worker_that_listens_is_not_killed(tmp_path: Path) -> None:
    assert supervised(tmp_path, steady, workers=1, delay=0.0) == " + -"


@forked
def test_a_reload_that_a_worker_held_up_is_tried_again_when_another_listens(tmp_path: Path) -> None:
    """Else the files on disk wait for somebody to change them once more."""
    write_keys(fill(tmp_path))
    noted = supervised(tmp_path, unready, workers=1, delay=0.0)
    assert noted == " + prepare abort + prepare commit drain"
