"""The pipe between the parent and one worker: small messages, each way.

parent -> worker

    ("prepare", number, digest, names, read_at), ("commit", state),
    ("abort", state), ("state", state)                      see `reload`
    ("drain",), ("stop",), ("abort_requests",)              see `supervisor`
    ("select_socket", number, index), ("clear_selection",)  see `listener`

worker -> parent: (number, reply) to a message that has a number, and one of these that no message asked for

    (0, "listening"), (0, "stopped listening")
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from engine.server.log import has_room

UNSOLICITED = 0
NOT_READY = "a worker did not get ready in time"
ENDING_SECONDS = 0.1  # how often to see whether the server is to end


class WorkerChannel:
    """The parent's end. `sentinel` is ready once the worker is dead."""

    def __init__(self, pipe: Connection, sentinel: int) -> None:
        self.pipe = pipe
        self.sentinel = sentinel
        self._unasked: deque[str] = deque()

    def send(self, *message: Any) -> None:
        """Send a small message; to a worker that has ended it is dropped.

        So it is to one that has left some hundred unread, such as a stopped one: this process must
        not wait for it, or it would handle no signal any more. In the end such a worker is killed.
        A pipe that has room takes a small message whole.
        """
        with contextlib.suppress(OSError):
            if has_room(self.pipe.fileno(), 0.0):
                self.pipe.send(message)

    def events(self) -> list[str]:
        """What the worker has reported by now without being asked."""
        with contextlib.suppress(OSError, EOFError):
            while self.pipe.poll():
                self._receive()
        events = list(self._unasked)
        self._unasked.clear()
        return events

    def reply(self, number: int, end: float, is_ending: Callable[[], bool] = lambda: False) -> str:
        """The worker's reply to message `number`: `ready`, `changed`, `gone`, or why it cannot follow.

        `ended` when the server is to end before that.
        """
        while not is_ending():
            left = max(0.0, end - time.monotonic())
            ready = wait([self.pipe, self.sentinel], min(left, ENDING_SECONDS))
            if self.pipe in ready:
                with contextlib.suppress(OSError, EOFError):
                    replied, word = self._receive()
                    if replied == number:
                        return word
                    continue  # unasked, or a reply that came too late for its own message
                return "gone"
            if ready:
                return "gone"
            if left == 0.0:
                return NOT_READY
        return "ended"

    def _receive(self) -> tuple[int, str]:
        number, word = self.pipe.recv()
        if number == UNSOLICITED:
            self._unasked.append(word)
        return number, word
