"""The parent takes what is on disk once every worker has it, whatever they reply and however late."""

import os
from contextlib import ExitStack
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from engine.server.channel import WorkerChannel
from engine.server.reload import ConfigReloader, State
from tests.integration.server.test_prepare import Folder
from tests.servers import write_keys
from tests.unit.config.folders import fill


def told(worker: Connection) -> list[str]:
    """What the parent has said to a worker by now."""
    words = []
    while worker.poll():
        words.append(worker.recv()[0])
    return words


def test_files_that_change_before_every_worker_has_read_them_are_read_again(
    tmp_path: Path,
) -> None:
    write_keys(fill(tmp_path))
    folder = Folder(tmp_path)
    first = folder.change("first")
    reloader = ConfigReloader(tmp_path, folder.prepare, first, folder.plan(first), State(""))
    second = folder.change("second")
    sentinel, other = os.pipe()
    with ExitStack() as ends:
        ends.callback(os.close, sentinel)
        ends.callback(os.close, other)
        pipes = [[ends.enter_context(end) for end in Pipe()] for _ in range(2)]
        channels = [WorkerChannel(ours, sentinel) for ours, _ in pipes]
        quick, slow = (theirs for _, theirs in pipes)

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
