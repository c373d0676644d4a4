"""Who may end a request before its time, and what follows from that.

Everything that ends a request early does it in one way: it cancels the task of the request. Which
of them it was is kept here, and decides what the caller gets and what the access record says.

    who                       when                          the caller gets           outcome
    ------------------------  ----------------------------  ------------------------  ----------------
    a deadline (`Deadline`)   the upload is too slow        408 request_timeout       refused
                              no response yet               the next attempt, or 504  timeout_...
                              in the middle of a response   an error event, or a cut  timeout_...
                              the caller does not read it   a cut                     client_stalled
    the caller, who leaves    at any time                   nothing                   client_cancelled
    the server, which stops   no response yet               503 server_shutting_down  server_cancelled
                              in the middle of a response   an error event, or a cut  server_cancelled
    anybody else              at any time                   a cut                     server_cancelled

An event stream whose last event has been relayed is complete, even if the provider has not ended
it: whoever ends it after that, the response is complete and the outcome is `ok`.

How it works. `Task.cancel` raises CancelledError where the task waits. The task says that it was
handled with `Task.uncancel`. It must, or an enclosing `asyncio.timeout` would treat the
cancellation as its own. So each row has one place that calls `uncancel`:

- A deadline is handled where its phase ends, by `Deadline.end`, which raises the error of the
  phase in place of CancelledError. To the code around it, lateness is an error like any other.
- A caller who leaves and a server that stops are handled where the request ends: `Request.run`
  catches CancelledError and asks `Cancellation.cause`.
- A cancellation from elsewhere (the loop ends) is not ours to handle: it is raised again.

A caller who has left is not cancelled again by a server that stops. A deadline and one of the
others may come before the task runs again. Then only one CancelledError is raised, the deadline's;
the request goes on to its end without a caller, which harms nobody.

A caller who leaves while the task waits for the body needs no cancellation: `receive` says so, and
`RequestBodyReader` raises CallerGone. Who has broken the framing instead of leaving still gets a 400.

Cleaning up is not cancelled: what must happen at the end of a request stands in a `finally` and does
not wait, but for the close of a connection to a provider, which is bounded in time.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from enum import Enum, auto
from types import TracebackType
from typing import Any, TypeAlias

NEVER = float("inf")
Task: TypeAlias = asyncio.Task[Any] | None


class Deadline:
    """How long each phase of a task may take, without a timer for each.

    A phase only says how long it may take; `tick`, called for all requests several times a second,
    looks at the clock. So a phase counts from the first tick that sees it: from `seen`, which is None
    before, and set to None begins the phase anew.

    `with` the deadline around phases: it raises what `allow` or `limit` named when one of them was
    late. Where every request passes, `end` is called instead: a `with` costs it two calls through
    C, 0.1 us each.
    """

    __slots__ = ("_end", "_late", "_late_at_end", "_over", "_seconds", "_task", "seen")

    def __init__(self, task: Task) -> None:
        self._task = task
        self._end = NEVER
        self._late_at_end: Callable[[], Exception] = TimeoutError
        self._seconds = NEVER
        self._late: Callable[[], Exception] | None = None  # of the phase; None between phases
        self.seen: float | None = None
        self._over: Callable[[], Exception] | None = None  # of the phase that was late

    def limit(
        self,
        end: float,
        late_at_end: Callable[[], Exception],
        seconds: float = NEVER,
        late: Callable[[], Exception] | None = None,
    ) -> None:
        """All phases from here on end before `end` (monotonic seconds), until the next `limit`.

        The first of them may take `seconds`, as in `allow`.
        """
        self._end = end
        self._late_at_end = late_at_end
        self._seconds = seconds
        self._late = late or late_at_end
        self.seen = None

    def allow(self, seconds: float, late: Callable[[], Exception]) -> None:
        """Start a phase of at most `seconds`; `late` makes what is raised when it takes longer."""
        self._seconds = seconds
        self._late = late
        self.seen = None

    def tick(self, now: float) -> None:
        """Cancel the task if its phase has taken too long."""
        if self._late is None or self._over is not None or self._task is None:
            return
        if self.seen is None:
            self.seen = now
        if now > self._end:
            self._over = self._late_at_end
        elif now > self.seen + self._seconds:
            self._over = self._late
        if self._over is not None:
            self._task.cancel()

    def __enter__(self) -> None:
        """Nothing is limited before the first `allow` or `limit`."""

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        """The phases are over, by `error` if it is given, which the caller raises again.

        Raises:
            what the phase has named, if it was late and `error` says so.
        """
        self._late = None
        over = self._over
        if over is not None and self._task is not None:
            self._over = None
            self._task.uncancel()
            if isinstance(error, asyncio.CancelledError):
                raise over() from None


class Cause(Enum):
    """Who has cancelled a request, other than a deadline."""

    CALLER_LEFT = auto()
    SERVER_STOPS = auto()
    OTHER = auto()


class Cancellation:
    """The caller's and the server's power to end one request, and the watch for the caller.

    Most requests are over before it is worth a task to watch for a caller who leaves; `receive` is
    read by one task at a time, so there is none while the body is being received.
    """

    __slots__ = ("_cause", "_receive", "_task", "_watch")

    def __init__(
        self, task: Task, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]
    ) -> None:
        self._task = task
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None
        self._cause = Cause.OTHER

    def watch_caller(self) -> None:
        """Cancel the request as soon as the caller leaves; the rest of a body is dropped meanwhile."""
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._wait_for_disconnect())

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._cancel(Cause.CALLER_LEFT)

    def abort(self) -> None:
        """Cancel the request because the server stops."""
        if self._cause is not Cause.CALLER_LEFT:
            self._cancel(Cause.SERVER_STOPS)

    def _cancel(self, cause: Cause) -> None:
        if self._task is not None:
            self._cause = cause
            self._task.cancel()

    def cause(self) -> Cause:
        """Who has cancelled the request, which goes on from here but for OTHER."""
        if self._task is not None and self._cause is not Cause.OTHER:
            self._task.uncancel()
        return self._cause

    def stop_watching(self) -> None:
        """The request is over. The task of the watch would keep this object, and it the task."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
