"""`engine`, with a signal at which a worker tells what it holds: requests under way and tasks.

python -m tests.watched serve FOLDER
kill -USR2 WORKER               held: 0 calls, 3 tasks, 0 collected

The last is what only the collector could free: each of these waits for it, with all it holds.

With BUSY in the environment a worker counts as busy from that share of a core on.
"""

import asyncio
import gc
import os
import signal
import threading
from typing import Any

from engine.cli import main
from engine.gateway.request import Request
from engine.server import scheduling as turns

TASKS = 4  # of a worker that serves and has no request


def tell(*_: Any) -> None:
    """What is left after a collection; a call that has ended and is still referred to counts too.

    Asked before it serves (another worker may be the one that is ready), it tells later.
    """
    try:
        is_serving = len(asyncio.all_tasks()) >= TASKS
    except RuntimeError:
        is_serving = False
    if not is_serving:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR2)).start()
        return
    collected = gc.collect()
    calls = sum(isinstance(thing, Request) for thing in gc.get_objects())
    tasks = len(asyncio.all_tasks())
    os.write(2, b"held: %d calls, %d tasks, %d collected\n" % (calls, tasks, collected))


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, tell)
    if "BUSY" in os.environ:
        turns.BUSY = turns.NOT_BUSY = float(os.environ["BUSY"])
    main()
