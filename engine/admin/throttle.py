"""Bounds on guessing passwords: tries in a row for a person and from an address."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

WINDOW_SECONDS = 900
PERSON_FAILURES = 10
ADDRESS_FAILURES = 50
MAX_NAMES = 10_000
LOOPBACK = ("127.0.0.1", "::1")


@dataclass(slots=True)
class Throttle:
    """Counts failures by name in windows of 15 minutes; knows 10,000 names and forgets the oldest.

    A name is of a person (known or not, so that both look alike) or of an address. Loopback addresses
    are not counted: there a reverse proxy stands for everybody.
    """

    clock: Callable[[], float] = time.monotonic
    _failures: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def attempt(self, email: str, client: str) -> int:
        """Count a try, and return 0; or the seconds until one is allowed again.

        Counted before the password is verified, so parallel attempts get no extra tries.
        """
        names = _names(email, client)
        with self._lock:
            left = max((self._left(name, most) for name, most in names.items()), default=0)
            if not left:
                self._count(names)
            return left

    def succeeded(self, email: str) -> None:
        """Forget the failures of a person who has signed in; those of the address stay."""
        with self._lock:
            self._failures.pop(_person(email), None)

    def _count(self, names: Iterable[str]) -> None:
        for name in names:
            since, count = self._failures.pop(name, (self.clock(), 0))
            if self.clock() - since >= WINDOW_SECONDS:
                since, count = self.clock(), 0
            self._failures[name] = (since, count + 1)
        while len(self._failures) > MAX_NAMES:
            self._failures.popitem(last=False)

    def _left(self, name: str, most: int) -> int:
        since, count = self._failures.get(name, (0.0, 0))
        left = WINDOW_SECONDS - (self.clock() - since)
        return int(left) + 1 if count >= most and left > 0 else 0


def _names(email: str, client: str) -> dict[str, int]:
    names = {_person(email): PERSON_FAILURES}
    if client not in LOOPBACK:
        names["address " + client] = ADDRESS_FAILURES
    return names


def _person(email: str) -> str:
    return "person " + email.strip().casefold()[:254]
