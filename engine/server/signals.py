"""Signals as bytes on a socket, so that one loop can wait for them beside everything else."""

import contextlib
import signal
import socket
import sys
from collections.abc import Iterator

SIGNALS = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@contextlib.contextmanager
def signal_socket() -> Iterator[socket.socket]:
    """A socket that holds the number of each signal that has come, as one byte."""
    receiver, sender = socket.socketpair()
    sender.settimeout(0)
    receiver.settimeout(0)
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    if sys.platform == "linux":
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # see `watch`: somebody opens a file to write
    try:
        yield receiver
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        sender.close()
        receiver.close()


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """Block signals meanwhile; a process started now inherits the mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
