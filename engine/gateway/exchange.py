"""Which attempts one request makes, as a conversation without any I/O.

`attempts` yields a target, is sent what came of it (None for an answer, else the Failure), and
stops when there is nothing left that may be tried. The money rule lives here: once a request may
have been processed, it is never sent again.
"""

from collections.abc import Generator, Sequence

from engine.gateway.match import Target
from engine.upstream import Failure

Conversation = Generator[Target, Failure | None, None]


def attempts(targets: Sequence[Target]) -> Conversation:
    """Try each target in turn until one answers or one may have been reached."""
    for target in targets:
        failure = yield target
        if failure is None or failure.sent:
            return
