"""The parent takes what is on disk once every worker has it, whatever they reply and however late."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from engine.config.load import Loaded
from engine.server import reload
from engine.server.channel import WorkerChannel
from engine.server.reload import ConfigReloader, Problem, ReloadState, Snapshot
from tests.integration.server.test_prepare import Folder
from tests.servers import ROOT, write_keys
from tests.unit.config.folders import fill

AUTHORITY = ROOT / "tests/integration/upstream/tls/cert.pem"
UNREAD = 10_000


def told(worker: Connection) -> list[str]:
    """What the parent has said to a worker by now."""
    words = []
    while worker.poll():
        words.append(worker.recv()[0])
    return words


@contextmanager
def followers() -> Iterator[tuple[list[WorkerChannel], list[Connection]]]:
    """Two workers: the parent's ends of their pipes, and their own."""
    sentinel, other = os.pipe()
    with ExitStack() as ends:
        ends.callback(os.close, sentinel)
        ends.callback(os.close, other)
        pipes = [[ends.enter_context(end) for end in Pipe()] for _ in range(2)]
        yield [WorkerChannel(ours, sentinel) for ours, _ in pipes], [end for _, end in pipes]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    write_keys(fill(tmp_path))
    return Folder(tmp_path)


def first_of(folder: Folder) -> ConfigReloader:
    """A server that runs what is in `folder` first."""
    first = folder.change("first")
    return ConfigReloader(folder.path, folder.prepare, first, folder.plan(first), ReloadState(""))


def test_files_that_change_before_every_worker_has_read_them_are_read_again(folder: Folder) -> None:
    reloader = first_of(folder)
    first = reloader.accepted
    second = folder.change("second")
    with followers() as (channels, (quick, slow)):
        quick.send((1, "ready"))
        slow.send((0, "listening"))
        slow.send((1, "changed"))
        assert reloader.reload(channels) is True
        assert told(quick) == told(slow) == ["prepare", "abort"]
        assert reloader.accepted == first

        quick.send((1, "changed"))  # too late for what it replies to
        quick.send((2, "ready"))
        slow.send((2, "ready"))
        assert reloader.reload(channels) is False
        assert told(quick) == told(slow) == ["prepare", "commit"]
        assert reloader.accepted.texts == second.texts
        assert channels[1].events() == ["listening"]


def test_a_worker_that_dies_meanwhile_keeps_the_others_from_nothing(folder: Folder) -> None:
    """The one that takes its place gets what was accepted."""
    reloader = first_of(folder)
    second = folder.change("second")
    with followers() as (channels, (alive, dead)):
        alive.send((1, "ready"))
        dead.close()
        assert reloader.reload(channels) is False
        assert told(alive) == ["prepare", "commit"]
        assert reloader.accepted.texts == second.texts
        assert reloader.state.refused is None


def test_a_file_that_can_be_read_a_moment_later_is_read_again(folder: Folder) -> None:
    """Else the workers would get the text of all files but this one."""
    keys = folder.path / "keys.yaml"

    def prepare(snapshot: Snapshot) -> tuple[Loaded | None, list[Problem]]:
        if keys.is_dir():
            keys.rmdir()
            write_keys(folder.path)
        return folder.prepare(snapshot)

    reloader = first_of(folder)
    reloader.prepare = prepare
    keys.unlink()
    keys.mkdir()
    with followers() as (channels, workers):
        assert reloader.reload(channels) is True
        assert [told(worker) for worker in workers] == [[], []]
        for worker in workers:
            worker.send((1, "ready"))
        assert reloader.reload(channels) is False
        assert "keys.yaml" in reloader.accepted.texts


def test_workers_compare_the_certificates_too(folder: Folder) -> None:
    reloader = first_of(folder)
    (folder.path / "ca.pem").write_bytes(AUTHORITY.read_bytes())
    providers = folder.path / "providers.yaml"
    providers.write_text(
        providers.read_text().replace("endpoints:", "tls: {ca: ca.pem}, endpoints:")
    )
    with followers() as (channels, (one, other)):
        one.send((1, "ready"))
        other.send((1, "ready"))
        assert reloader.reload(channels) is False
        _, _, digest, names, _ = one.recv()
        assert "ca.pem" in names
        assert digest == reloader.accepted.digest


@pytest.mark.parametrize(("repeat", "times"), [(3600.0, 1), (-1.0, 2)])
def test_what_is_refused_again_is_said_again_after_a_while(
    folder: Folder,
    repeat: float,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(reload, "REPEAT_SECONDS", repeat)
    reloader = first_of(folder)
    (folder.path / "routes.yaml").write_text("version: 1\n")
    for _ in range(2):
        assert reloader.reload([]) is False
    assert capfd.readouterr().err.count("reload refused") == times


def test_a_worker_that_reads_nothing_does_not_stop_the_parent() -> None:
    """It hears no signal while it waits; what was sent before arrives whole."""
    ours, theirs = Pipe()
    with ours, theirs:
        channel = WorkerChannel(ours, -1)
        for _ in range(UNREAD):
            channel.send("state", ReloadState("then"))
        received = told(theirs)
        assert 0 < len(received) < UNREAD
        assert set(received) == {"state"}
        channel.send("stop")
        assert told(theirs) == ["stop"]


def test_a_mistake_that_is_made_again_is_reported_again(
    folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    reloader = first_of(folder)
    for _ in range(2):
        (folder.path / "providers.yaml").write_text("version: 9\n")
        reloader.reload([])
        folder.change("second")
        reloader.reload([])
    assert capfd.readouterr().err.count("reload refused") == 2
