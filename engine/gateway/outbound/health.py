"""What one worker knows of one provider: whether its breaker is open, and what it may still retry.

    CLOSED --too many failures--> OPEN --`open` has passed--> HALF-OPEN --the probe goes well--> CLOSED
                                    ^---------------the probe fails----------|

Pure but for its own state: the time is always an argument.
"""

from collections import deque

from engine.plan.plan import Breaker, Retry

FREE_RETRIES = 10.0
PROBE_SECONDS = 1.0


class Health:
    """The breaker and the retry budget of one provider; without a breaker it is always called."""

    def __init__(self, breaker: Breaker | None, retry: Retry) -> None:
        self._breaker = breaker
        self._retry = retry
        self._opened: float | None = None
        self._times_opened = 0
        self._is_probing = False
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=breaker.requests if breaker else 0)
        self._budget = FREE_RETRIES

    def wait(self, now: float) -> float:
        """Seconds until it is worth asking again; 0.0 when a request may go there now."""
        if self._breaker is None or self._opened is None:
            return 0.0
        left = self._opened + self._breaker.open - now
        return left if left > 0 else PROBE_SECONDS if self._is_probing else 0.0

    def admit(self, now: float) -> bool | None:
        """Let a request through: True when it is the one probe, False when not, None: refused."""
        if self.wait(now) > 0:
            return None
        self._is_probing = self._opened is not None
        return self._is_probing

    def record(self, now: float, *, is_good: bool | None, is_probe: bool) -> None:
        """Record how an admitted request went; None when that says nothing of the provider."""
        if is_probe:
            self._is_probing = False
            if is_good is not None:
                self._opened = None if is_good else now
        elif self._opened is None and is_good is not None and self._breaker is not None:
            self._in_a_row = 0 if is_good else self._in_a_row + 1
            self._recent.append(is_good)
            if self._is_failing(self._breaker):
                self._opened = now
                self._times_opened += 1
        if self._opened is not None or is_probe:
            self._in_a_row = 0
            self._recent.clear()

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open, or half-open."""
        return self._opened is not None

    def take_opened(self) -> int:
        """How often the breaker has opened since the last call of this."""
        found, self._times_opened = self._times_opened, 0
        return found

    def _is_failing(self, breaker: Breaker) -> bool:
        if breaker.failures is not None and self._in_a_row >= breaker.failures:
            return True
        failed = self._recent.count(False)
        return (
            breaker.ratio is not None
            and len(self._recent) == breaker.requests
            and failed >= breaker.ratio * breaker.requests
            and failed > 0
        )

    def add_share(self) -> None:
        """A first attempt adds its share to the budget of retries."""
        self._budget = min(FREE_RETRIES, self._budget + self._retry.budget)

    def take_retry(self) -> bool:
        """Whether the budget has a retry left, which is then taken from it."""
        if self._budget < 1:
            return False
        self._budget -= 1
        return True
