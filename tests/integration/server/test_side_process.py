"""A side process that dies is started again: soon, or later where it dies soon."""

import multiprocessing
import sys

import pytest

from engine.server import side_process
from engine.server.side_process import LONG_PAUSE_SECONDS, PAUSE_SECONDS, SideProcess


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
@pytest.mark.parametrize(("soon", "pause"), [(3600.0, LONG_PAUSE_SECONDS), (-1.0, PAUSE_SECONDS)])
def test_one_that_dies_soon_after_its_start_is_started_again_later(
    soon: float,
    pause: float,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(side_process, "EARLY_EXIT_SECONDS", soon)
    context = multiprocessing.get_context("fork")
    one = SideProcess("dashboard", lambda _: sys.exit(3))
    one.keep_alive(context)
    process = vars(one)["_process"]
    process.join(60)
    one.keep_alive(context)
    said = capfd.readouterr().err
    assert f"the dashboard died (exit code 3); it starts again in {pause:g} s" in said
    assert vars(one)["_process"] is None, "not at once"
    one.stop()
