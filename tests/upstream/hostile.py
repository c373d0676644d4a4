"""The hostile upstream of `engine mock`, in a thread of its own."""

import contextlib
from collections.abc import Iterator

from engine.mock import faults
from engine.mock.faults import PLAYS
from tests.listening import listening

__all__ = ["PLAYS", "Hostile"]


class Hostile(faults.Hostile):
    """One that tests can start; `port` is where it listens then."""

    port = 0

    @contextlib.contextmanager
    def running(self) -> Iterator["Hostile"]:
        with listening(self.serve) as self.port:
            yield self
