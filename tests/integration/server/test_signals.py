"""The signals that the parent waits for, however many come."""

import os
import signal
import sys

import pytest

from engine.server.signals import signal_queue

STORM = 2000

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no SIGHUP")


def test_a_storm_of_sighup_neither_crowds_out_a_sigterm_nor_comes_before_it_as_often() -> None:
    with signal_queue() as signals:
        for _ in range(STORM):
            os.kill(os.getpid(), signal.SIGHUP)
        for number in (signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
        taken = signals.take()
        assert taken == [signal.SIGTERM] * 2 + [signal.SIGHUP] * 2
        assert signals.take() == []
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.take() == [signal.SIGHUP]
