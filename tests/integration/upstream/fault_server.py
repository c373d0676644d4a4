"""The fault server of `engine mock`, in a thread of its own."""

import contextlib
from collections.abc import Iterator

from engine.mock import faults
from engine.mock.faults import FAULTS
from tests.listening import listening

__all__ = ["FAULTS", "FaultServer"]


class FaultServer(faults.FaultServer):
    """One that tests can start; `port` is where it listens then."""

    port = 0

    @contextlib.contextmanager
    def running(self) -> Iterator["FaultServer"]:
        with listening(self.serve) as self.port:
            yield self
