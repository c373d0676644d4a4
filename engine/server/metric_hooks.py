"""The metrics of one worker: a Sink for the requests of each Plan, and what is read once a second."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable
from time import monotonic

from engine.gateway.access_log import AccessLog
from engine.gateway.app import Gateway
from engine.gateway.record import Record
from engine.plan.plan import Plan
from engine.telemetry.batch import SECONDS, Batch, Block, Counts
from engine.telemetry.families import (
    DURATIONS,
    ENDPOINTS,
    ERRORS,
    KEYS,
    KEYS_OF_ACCOUNTS,
    LIMIT_RESULTS,
    LIMITS,
    PROVIDERS,
    REQUESTS,
    RETRIES,
    SHORT_DURATIONS,
    TRAFFIC,
    WORKERS,
)
from engine.telemetry.memory import MAX_LABEL, CounterMemory, Part

MAX_KNOWN = (
    20_000  # combinations whose places a worker remembers; of further ones they are looked up
)
MOST = 10**12  # tokens, or billionths of a dollar, of one request: a provider could overflow a word
CLIENT_ERROR = 400
_LONG = tuple(bound * 1000 for bound in DURATIONS)  # milliseconds
_SHORT = tuple(bound * 1000 for bound in SHORT_DURATIONS)

_DURATION = TRAFFIC.places["orqen_request_duration_seconds"]
_DURATION_SUM = _DURATION + len(_LONG) + 1
_FIRST_BYTE = TRAFFIC.places["orqen_first_byte_seconds"]
_FIRST_BYTE_SUM = _FIRST_BYTE + len(_LONG) + 1
_FIRST_EVENT = TRAFFIC.places["orqen_first_event_seconds"]
_FIRST_EVENT_SUM = _FIRST_EVENT + len(_LONG) + 1
_BYTES_IN = TRAFFIC.places["orqen_request_body_bytes_total"]
_BYTES_OUT = TRAFFIC.places["orqen_response_body_bytes_total"]
_INPUT = TRAFFIC.places["orqen_input_tokens_total"]
_OUTPUT = TRAFFIC.places["orqen_output_tokens_total"]
_CACHED = TRAFFIC.places["orqen_cached_input_tokens_total"]
_CACHE_WRITE = TRAFFIC.places["orqen_cache_write_input_tokens_total"]
_COST = TRAFFIC.places["orqen_cost_usd_total"]
_UNPRICED = TRAFFIC.places["orqen_unpriced_requests_total"]
_ENGINE_SUM = len(_SHORT) + 1
_KEY_ERRORS = KEYS.places["orqen_key_errors_total"]
_KEY_INPUT = KEYS.places["orqen_key_input_tokens_total"]
_KEY_OUTPUT = KEYS.places["orqen_key_output_tokens_total"]
_KEY_COST = KEYS.places["orqen_key_cost_usd_total"]
_QUEUED = PROVIDERS.places["orqen_provider_queued_requests"]
_OPEN = PROVIDERS.places["orqen_breaker_open"]
_OPENED = PROVIDERS.places["orqen_breaker_opened_total"]
_LAG = WORKERS.places["orqen_event_loop_lag_seconds"]
_STORE_ERRORS = WORKERS.places["orqen_limit_store_errors_total"]
_LOST = WORKERS.places["orqen_log_lines_lost_total"]
_TRACES = WORKERS.places["orqen_traces_exported_total"]

Blocks = tuple[Block, Block, Block]  # of REQUESTS, TRAFFIC and ENDPOINTS


class RequestCounter:
    """A Sink for the requests of one Plan. The label `model` is the pattern of the rule that matched."""

    def __init__(self, part: Part, batch: Batch, plan: Plan) -> None:
        self._part = part
        self._batch = batch
        self._patterns = {rule.where: _pattern(rule.pattern, rule.is_prefix) for rule in plan.rules}
        self._known: dict[tuple[object, ...], Blocks] = {}
        self._keys: dict[str, Block] = {}
        self._own_keys = {caller.name[:MAX_LABEL] for caller in (plan.callers or {}).values()}
        self._own_keys.add("")  # requests without a valid key
        known = {key for (key,) in part.labels(KEYS)}
        self._others = known - self._own_keys

    def write(self, record: Record) -> None:
        """Count a request that is over."""
        status, outcome = record.status, record.outcome
        group = record.endpoint, record.provider, record.rule, status, outcome
        blocks = self._known.get(group)
        if blocks is None:
            blocks = self._find_blocks(record)
        (_, requests), (_, traffic), (_, engine) = blocks
        if not requests[0]:
            self._batch.note(*blocks)
        requests[0] += 1
        ms = record.ms_total or 0.0
        traffic[bisect_left(_LONG, ms)] += 1
        traffic[_DURATION_SUM] += int(ms * 1000)
        traffic[_BYTES_IN] += record.bytes_in
        traffic[_BYTES_OUT] += record.bytes_out
        ms_first = record.ms_first_byte
        if ms_first is not None:
            traffic[_FIRST_BYTE + bisect_left(_LONG, ms_first)] += 1
            traffic[_FIRST_BYTE_SUM] += int(ms_first * 1000)
        ms_engine = record.ms_engine
        if ms_engine is not None:
            engine[bisect_left(_SHORT, ms_engine)] += 1
            engine[_ENGINE_SUM] += int(ms_engine * 1000)
        if record.ttft_ms is not None:
            traffic[_FIRST_EVENT + bisect_left(_LONG, record.ttft_ms)] += 1
            traffic[_FIRST_EVENT_SUM] += int(record.ttft_ms * 1000)
        if record.usage is not None:
            _count_tokens(traffic, record)
        if record.cost_usd is None:
            traffic[_UNPRICED] += 1
        elif record.cost_usd:
            traffic[_COST] += min(record.cost_nano_usd or 0, MOST)
        self._count_key(record, record.key or "")
        if record.error is not None or record.tried:
            self._count_failures(record)

    def _find_blocks(self, record: Record) -> Blocks:
        block = self._part.block
        endpoint, provider = record.endpoint or "", record.provider or ""
        model = self._patterns.get(record.rule or "", "")
        status = "" if record.status is None else str(record.status)
        if provider:
            block(PROVIDERS, provider)
        of = self._batch.block
        blocks = (
            of(block(REQUESTS, endpoint, provider, model, status, record.outcome), REQUESTS),
            of(block(TRAFFIC, endpoint, provider, model), TRAFFIC),
            of(block(ENDPOINTS, endpoint), ENDPOINTS),
        )
        if len(self._known) < MAX_KNOWN:
            group = record.endpoint, record.provider, record.rule, record.status, record.outcome
            self._known[group] = blocks
        return blocks

    def _count_key(self, record: Record, key: str) -> None:
        block = self._keys.get(key)
        if block is None:
            block = self._batch.block(self._find_key(key[:MAX_LABEL]), KEYS)
            if len(self._keys) < MAX_KNOWN:
                self._keys[key] = block
        counts = block[1]
        if not counts[0]:
            self._batch.note(block)
        counts[0] += 1
        if record.outcome != "ok" or (record.status or CLIENT_ERROR) >= CLIENT_ERROR:
            counts[_KEY_ERRORS] += 1
        if record.usage is not None:
            counts[_KEY_INPUT] += min(record.input_tokens or 0, MOST)
            counts[_KEY_OUTPUT] += min(record.output_tokens or 0, MOST)
        if record.cost_usd:
            counts[_KEY_COST] += min(record.cost_nano_usd or 0, MOST)

    def _find_key(self, key: str) -> int:
        """The block of a key. Holders of an account can make keys, so only so many of those have one."""
        if key not in self._own_keys and key not in self._others:
            if len(self._others) >= KEYS_OF_ACCOUNTS:
                return self._part.other(KEYS)
            self._others.add(key)
        return self._part.block(KEYS, key)

    def _count_failures(self, record: Record) -> None:
        """Count an error of the gateway's own, and the attempts that were followed by another."""
        words = self._part.words
        if record.error is not None:
            words[self._part.block(ERRORS, record.endpoint or "", record.error)] += 1
        for tried in record.tried or ():
            provider, _, result = tried.rpartition(" ")
            words[self._part.block(RETRIES, provider, result)] += 1


def _count_tokens(traffic: Counts, record: Record) -> None:
    traffic[_INPUT] += min(record.input_tokens or 0, MOST)
    traffic[_OUTPUT] += min(record.output_tokens or 0, MOST)
    if record.cached_tokens:
        traffic[_CACHED] += min(record.cached_tokens, MOST)
    if record.cache_write_tokens:
        traffic[_CACHE_WRITE] += min(record.cache_write_tokens, MOST)


def _pattern(pattern: str, is_prefix: bool) -> str:  # noqa: FBT001 of a rule
    return f"{pattern}*" if is_prefix else pattern


def _later(add: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(SECONDS, add)


class WorkerMetrics:
    """What a worker counts. Without `memory`, it counts for itself alone."""

    def __init__(self, memory: CounterMemory | None) -> None:
        self._part = Part(memory or CounterMemory(2))
        self._batch = Batch(self._part, _later)
        self._words = self._part.words
        self._worker = self._part.block(WORKERS)
        self._lost = self._store_errors = 0
        self._traces = (0, 0)
        self._called: float | None = None

    def counter(self, plan: Plan) -> RequestCounter:
        """A Sink for the requests of `plan`."""
        return RequestCounter(self._part, self._batch, plan)

    def add(self) -> None:
        """Add to the shared memory what was counted: once a second at the least, and at the end of the worker."""
        self._batch.add()

    def limit_counts(self) -> list[Counts]:
        """The numbers of requests that limits allowed, and that they refused, since the last `add`."""
        return [self._batch.always(self._part.block(LIMITS, of), LIMITS) for of in LIMIT_RESULTS]

    def tick(self, seconds: float, gateways: Iterable[Gateway], log: AccessLog) -> None:
        """Note the state of the worker; called every `seconds`, more or less."""
        now = monotonic()
        if self._called is not None:
            late = max(0.0, now - self._called - seconds)
            self._words[self._worker + _LAG + bisect_left(SHORT_DURATIONS, late)] += 1
            self._words[self._worker + _LAG + _ENGINE_SUM] += int(late * 1_000_000)
        self._called = now
        self._words[self._worker] = sum(len(gateway.requests) for gateway in gateways)
        self._words[self._worker + _LOST] += log.dropped - self._lost
        self._lost = log.dropped
        self._note_providers(gateways)
        self.add()

    def note_store_errors(self, errors: int) -> None:
        """Note how many requests the store of limits has not counted so far."""
        self._words[self._worker + _STORE_ERRORS] += errors - self._store_errors
        self._store_errors = errors

    def note_traces(self, exported: int, lost: int) -> None:
        """Note how many traced requests were exported and lost so far."""
        at = self._worker + _TRACES
        self._words[at] += exported - self._traces[0]
        self._words[at + 1] += lost - self._traces[1]
        self._traces = exported, lost

    def _note_providers(self, gateways: Iterable[Gateway]) -> None:
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
