"""The metrics of one worker: a Sink for the requests of each Plan, and what is read once a second."""

from collections.abc import Iterable
from time import monotonic

from engine.gateway.access_log import AccessLog
from engine.gateway.app import Gateway
from engine.plan.plan import Plan
from engine.server.hooks.request_counter import SHORT, RequestCounter, add_times
from engine.telemetry.families import LIMIT_RESULTS, LIMITS, PROVIDERS, WORKERS
from engine.telemetry.memory import CounterMemory, ProcessCounters

_QUEUED = PROVIDERS.places["orqen_provider_queued_requests"]
_OPEN = PROVIDERS.places["orqen_breaker_open"]
_OPENED = PROVIDERS.places["orqen_breaker_opened_total"]
_LAG = WORKERS.places["orqen_event_loop_lag_seconds"]
_STORE_ERRORS = WORKERS.places["orqen_limit_store_errors_total"]
_LOST = WORKERS.places["orqen_log_lines_lost_total"]
_TRACES = WORKERS.places["orqen_traces_exported_total"]


class WorkerMetrics:
    """What a worker counts. Without `memory`, it counts for itself alone."""

    def __init__(self, memory: CounterMemory | None) -> None:
        self._part = ProcessCounters(memory or CounterMemory(2))
        self._limit_counts = [(self._part.block(LIMITS, of), [0]) for of in LIMIT_RESULTS]
        self._words = self._part.words
        self._worker = self._part.block(WORKERS)
        self._lost = self._store_errors = 0
        self._traces = (0, 0)
        self._called: float | None = None

    def counter(self, plan: Plan) -> RequestCounter:
        """A Sink for the requests of `plan`."""
        return RequestCounter(self._part, plan)

    def add(self) -> None:
        """Add to the shared memory what limits have counted: once a second, and at the end of the worker."""
        for at, counts in self._limit_counts:
            self._part.add(at, counts[0])
            counts[0] = 0

    def limit_counts(self) -> list[list[int]]:
        """The numbers of requests that limits allowed, and that they refused, since the last `add`; one in each list."""
        return [counts for _, counts in self._limit_counts]

    def tick(self, seconds: float, gateways: Iterable[Gateway], log: AccessLog) -> None:
        """Record the state of the worker; called every `seconds`, more or less."""
        now = monotonic()
        if self._called is not None:
            late = max(0.0, now - self._called - seconds)
            add_times(self._part, self._worker + _LAG, SHORT, [late * 1000])
        self._called = now
        self._words[self._worker] = sum(len(gateway.requests) for gateway in gateways)
        self._words[self._worker + _LOST] += log.dropped - self._lost
        self._lost = log.dropped
        self._record_providers(gateways)
        self.add()

    def count_store_errors(self, errors: int) -> None:
        """Count how many requests the store of limits has not counted so far."""
        self._words[self._worker + _STORE_ERRORS] += errors - self._store_errors
        self._store_errors = errors

    def count_traces(self, exported: int, lost: int) -> None:
        """Count how many traced requests were exported and lost so far."""
        at = self._worker + _TRACES
        self._words[at] += exported - self._traces[0]
        self._words[at + 1] += lost - self._traces[1]
        self._traces = exported, lost

    def _record_providers(self, gateways: Iterable[Gateway]) -> None:
        """The state of each provider, over the Plans that are in use."""
        states = [state for gateway in gateways for state in gateway.provider_states()]
        found = {at: [0, 0, 0] for at in self._part.blocks(PROVIDERS)}
        for name, limiter in {(s.name, s.limiter) for s in states}:
            if limiter.in_flight or limiter.queued:
                gauges = found.setdefault(self._part.block(PROVIDERS, name), [0, 0, 0])
                gauges[0] += limiter.in_flight
                gauges[1] += limiter.queued
        for name, health in {(s.name, s.health) for s in states}:
            opened = health.take_opened()
            if opened or health.is_open:
                at = self._part.block(PROVIDERS, name)
                found.setdefault(at, [0, 0, 0])[2] += health.is_open
                self._words[at + _OPENED] += opened
        for at, gauges in found.items():
            for place, value in zip((at, at + _QUEUED, at + _OPEN), gauges, strict=True):
                self._words[place] = value
