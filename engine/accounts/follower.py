"""The keys of the store in one worker: a thread reads the database, the event loop has a table.

    a request                   the table, and nothing else, for a key that is known
    with an unknown key         waits for the thread, at most SEARCH_SECONDS; many searches are one query
    a change in the store       is read within POLL_SECONDS, and at once with any search
    the database is down        known keys go on, searches fail at once, the thread tries again

The thread hands over everything by `call_soon_threadsafe`, so the table changes in the order in
which the database was read: what a search found is never older than a change that was applied before.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from engine.accounts.errors import StoreError, StoreUnavailableError
from engine.accounts.key_table import KeyTable, account_size, key_size
from engine.accounts.provider_keys import DamagedSecret
from engine.accounts.reader import StoreChanges, StoreReader
from engine.plan.plan import Caller

POLL_SECONDS = 0.25
SEARCH_SECONDS = 2.0
WATCH_SECONDS = 1.0
ABSENT_SECONDS = 1.0  # how long a key that was not found counts as unknown without a search
MAX_WAITING = 1_000  # searches
MAX_ABSENT = 10_000  # digests
READ_AHEAD_PAUSE = 0.005  # seconds between two pages that are read ahead, for the requests
JOIN_SECONDS = 2.0


class KeyFollower:
    """Follows the store with `reader`.

    Called in the loop: `report` when the store comes or goes, `damaged` with each value that cannot
    be decrypted, once.
    """

    def __init__(
        self,
        reader: StoreReader,
        max_bytes: int,
        report: Callable[[str | None], None],
        damaged: Callable[[DamagedSecret], None] = lambda _: None,
    ) -> None:
        self.table = KeyTable(max_bytes)
        self._reader = reader
        self._report = report
        self._damaged = damaged
        self._ahead = max_bytes // 2  # bytes that may still be read ahead
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="accounts", daemon=True)
        self._wake = threading.Event()
        self._stops = False
        self._asked: deque[bytes] = deque()
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}
        self._waiters = 0
        self._absent: set[bytes] = set()
        self._absent_since = 0.0
        self._problem: str | None = None
        self._is_down = False
        self._reading_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to follow, with the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        self._watch()

    def stop(self) -> None:
        """End the thread; waits for it for a moment."""
        self._stops = True
        self._wake.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    # -- in the event loop -------------------------------------------------------------------------

    async def search(self, digests: Sequence[bytes]) -> Mapping[bytes, Caller]:
        """The holders of these keys as the store has them now.

        Raises:
            StoreUnavailableError: it cannot be read, not in time, or too many wait already.
        """
        now = time.monotonic()
        if now - self._absent_since > ABSENT_SECONDS or len(self._absent) > MAX_ABSENT:
            self._absent, self._absent_since = set(), now
        wanted = [digest for digest in digests if digest not in self._absent]
        if wanted:
            await self._wait_for(wanted)
        found = {digest: self.table.get(digest) for digest in wanted}
        return {digest: caller for digest, caller in found.items() if caller is not None}

    async def _wait_for(self, digests: Sequence[bytes]) -> None:
        if self._is_down or self._waiters >= MAX_WAITING:
            raise StoreUnavailableError("the store of accounts cannot be read")
        loop = asyncio.get_running_loop()
        futures = [(digest, loop.create_future()) for digest in digests]
        self._waiters += 1
        try:
            for digest, future in futures:
                self._waiting.setdefault(digest, []).append(future)
                self._asked.append(digest)
            self._wake.set()
            async with asyncio.timeout(SEARCH_SECONDS):
                for _, future in futures:
                    await future
        except TimeoutError:
            raise StoreUnavailableError("the store of accounts did not respond in time") from None
        finally:
            self._waiters -= 1
            for digest, future in futures:
                self._forget(digest, future)

    def _forget(self, digest: bytes, future: asyncio.Future[None]) -> None:
        """Give up a future, whose waiter is gone or has its result."""
        waiting = self._waiting.get(digest, [])
        if future in waiting:
            waiting.remove(future)
        if not waiting:
            self._waiting.pop(digest, None)
        if future.done() and not future.cancelled():
            future.exception()  # it was seen

    def _apply(self, news: StoreChanges, asked: Sequence[bytes]) -> None:
        table = self.table
        if news.forget:
            table.clear()
        for digest, caller in news.keys.items():
            table.put_known(digest, caller)
        for account_id, account in news.accounts.items():
            table.put_account(account_id, account)
        table.put(news.found.values())
        if news.forget or news.keys or news.accounts:
            self._absent.clear()
        self._absent.update(digest for digest in asked if digest not in news.found)
        self._resolve(asked, None)
        self._note(None)

    def _fail(self, asked: Sequence[bytes], problem: str) -> None:
        self._resolve(asked, problem)
        self._note(problem)

    def _resolve(self, asked: Sequence[bytes], problem: str | None) -> None:
        for digest in asked:
            for future in self._waiting.pop(digest, ()):
                if future.done():
                    continue
                if problem is None:
                    future.set_result(None)
                else:
                    future.set_exception(StoreUnavailableError(problem))

    def _watch(self) -> None:
        """Once a second: a database that has hung is as good as none, though its thread still waits."""
        since = self._reading_since
        if since is not None and time.monotonic() - since > SEARCH_SECONDS:
            self._note("it does not respond")
        self._timer = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._watch)

    def _note(self, problem: str | None) -> None:
        """Report a change of state once."""
        self._is_down = problem is not None
        if (problem is None) != (self._problem is None):
            self._report(problem)
        self._problem = problem

    # -- in the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stops:
            self._wake.clear()
            asked = [self._asked.popleft() for _ in range(len(self._asked))]
            self._hand_over(asked)
            pause = READ_AHEAD_PAUSE if self._read_ahead() else POLL_SECONDS
            for damage in self._reader.take_damaged():
                self._call(self._damaged, damage)
            self._wake.wait(pause)

    def _hand_over(self, asked: Sequence[bytes]) -> None:
        """Read once, and have the loop apply it."""
        self._reading_since = time.monotonic()
        try:
            news = self._reader.read(set(asked))
            self._reading_since = None
        except Exception as error:  # noqa: BLE001 a thread that ends would never see a revocation
            self._reading_since = None
            self._call(self._fail, asked, _words(error))
            return
        if news.forget:
            self._reader.restart()
            self._ahead = self.table.half
        self._call(self._apply, news, asked)

    def _read_ahead(self) -> bool:
        """Read the next page of keys while the table has room; whether there may be more."""
        if self._ahead <= 0 or self._is_down:
            return False
        try:
            page = self._reader.read_ahead()
        except Exception:  # noqa: BLE001 the next reading reports it
            return False
        accounts = {caller.account for caller in page.values() if caller.account}
        size = sum(map(key_size, page.values())) + sum(map(account_size, accounts))
        self._ahead = self._ahead - size if page else 0
        if self._ahead > 0:
            self._call(self._apply, StoreChanges(found=page), ())
        return self._ahead > 0

    def _call(self, call: Callable[..., None], *arguments: object) -> None:
        if self._loop is not None and not self._stops:
            self._loop.call_soon_threadsafe(call, *arguments)


def _words(error: Exception) -> str:
    """What to say of a failure; of an unexpected one its kind alone, since it may quote a value."""
    return str(error) if isinstance(error, StoreError) else f"a bug: {type(error).__name__}"
