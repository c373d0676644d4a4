"""Signals as something that one loop can wait for beside everything else."""

import contextlib
import signal
import socket
import sys
from collections.abc import Iterator

RELOADS = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
SIGNALS = [signal.SIGTERM, signal.SIGINT, *RELOADS]
MAX_WAITING = 2  # of one kind: a second SIGTERM has a meaning of its own
WAKE_BYTES = 4096


class SignalQueue:
    """The signals that have come and were not handled yet; ready to read once there is one."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver
        self._waiting: list[int] = []

    def fileno(self) -> int:
        """The file to wait for."""
        return self._receiver.fileno()

    def handle(self, number: int, _frame: object) -> None:
        """Keep a signal; a third of its kind says nothing that two do not."""
        if self._waiting.count(number) < MAX_WAITING:
            self._waiting.append(number)

    def has_end(self) -> bool:
        """Whether one has come that ends the server."""
        return any(number not in RELOADS for number in self._waiting)

    def take(self) -> list[int]:
        """The numbers of those that have come, in their order, but a reload after an end."""
        with contextlib.suppress(BlockingIOError):
            self._receiver.recv(WAKE_BYTES)
        taken = list(self._waiting)
        del self._waiting[: len(taken)]
        return sorted(taken, key=RELOADS.__contains__)


@contextlib.contextmanager
def signal_queue() -> Iterator[SignalQueue]:
    """What comes to this process meanwhile.

    The bytes on the socket only wake: there is room for few of them, and many SIGHUPs must
    neither crowd out a SIGTERM nor cause as many reloads before it.
    """
    receiver, sender = socket.socketpair()
    sender.settimeout(0)
    receiver.settimeout(0)
    queue = SignalQueue(receiver)
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, queue.handle) for number in SIGNALS}
    if sys.platform == "linux":
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # see `watch`: somebody opens a file to write
    try:
        yield queue
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        sender.close()
        receiver.close()


@contextlib.contextmanager
def block_signals() -> Iterator[None]:
    """Block signals meanwhile; a process started now inherits the mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
