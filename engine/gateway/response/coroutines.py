"""The rest of an awaitable that was run without a task, as far as it went."""

import types
from collections.abc import Callable, Generator
from typing import Any


@types.coroutine
def run_rest(
    waiting: object, steps: Generator[Any, Any, None], done: Callable[[], None]
) -> Generator[Any, Any, None]:
    """Wait for what `steps` wait for first, run the rest of them, and call `done`.

    A generator, since a coroutine that is never awaited would warn, as when the caller leaves at
    this moment.
    """
    yield waiting
    yield from steps
    done()
