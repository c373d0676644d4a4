"""Runs an awaitable without a task, as far as it goes.

The rest is returned as a generator, because a coroutine that is never awaited would warn, as when
the caller leaves at this moment.
"""

import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, cast


def run_until_blocked(sending: Awaitable[None]) -> Awaitable[None] | None:
    """Run `sending` up to where it waits; None if it is done, else the rest of it to await."""
    steps = sending.__await__()
    for waiting in steps:
        return _rest(waiting, steps)
    return None


@types.coroutine
def _rest(waiting: object, steps: Generator[Any, Any, None]) -> Generator[Any, Any, None]:
    """Wait for what the awaitable waits for, and run the rest of it."""
    yield waiting
    yield from steps


@types.coroutine
def and_then(rest: Awaitable[None], done: Callable[[], None]) -> Generator[Any, Any, None]:
    """Await `rest`, which `run_until_blocked` left, and call `done`."""
    yield from cast("Generator[Any, Any, None]", rest)
    done()
