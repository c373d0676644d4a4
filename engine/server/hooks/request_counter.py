"""Counts the requests that a worker has served: a Sink for those of one Plan."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from msgspec import structs

from engine.gateway.record import Record
from engine.plan.plan import Plan
from engine.plan.prices import NANO
from engine.telemetry.families import (
    DURATIONS,
    ENDPOINTS,
    ERRORS,
    KEYS,
    KEYS_OF_ACCOUNTS,
    PROVIDERS,
    REQUESTS,
    RETRIES,
    SHORT_DURATIONS,
    TRAFFIC,
)
from engine.telemetry.memory import MAX_LABEL, ProcessCounters

MAX_KNOWN = (
    20_000  # combinations whose blocks a worker remembers; of further ones they are looked up
)
MAX_COUNT = 10**12  # of tokens or billionths of a dollar in a request: more could overflow a word
CLIENT_ERROR = 400
_LONG = tuple(bound * 1000 for bound in DURATIONS)  # milliseconds
SHORT = tuple(bound * 1000 for bound in SHORT_DURATIONS)
_KEY_ERRORS = KEYS.places["orqen_key_errors_total"]
_KEY_COST = KEYS.places["orqen_key_cost_usd_total"]
_COST = TRAFFIC.places["orqen_cost_usd_total"]
_UNPRICED = TRAFFIC.places["orqen_unpriced_requests_total"]

# Fields of a record, and the metrics they are added to: bytes, tokens, and milliseconds as histograms.
_BYTES = {
    "bytes_in": TRAFFIC.places["orqen_request_body_bytes_total"],
    "bytes_out": TRAFFIC.places["orqen_response_body_bytes_total"],
}
_TOKENS = {
    "input_tokens": TRAFFIC.places["orqen_input_tokens_total"],
    "output_tokens": TRAFFIC.places["orqen_output_tokens_total"],
    "cached_tokens": TRAFFIC.places["orqen_cached_input_tokens_total"],
    "cache_write_tokens": TRAFFIC.places["orqen_cache_write_input_tokens_total"],
}
_TIMES = {
    "ms_total": TRAFFIC.places["orqen_request_duration_seconds"],
    "ms_first_byte": TRAFFIC.places["orqen_first_byte_seconds"],
    "ttft_ms": TRAFFIC.places["orqen_first_event_seconds"],
}
_KEY_TOKENS = {
    "input_tokens": KEYS.places["orqen_key_input_tokens_total"],
    "output_tokens": KEYS.places["orqen_key_output_tokens_total"],
}
_FIELDS = (*_BYTES, *_TOKENS, *_TIMES, "ms_engine", "cost_usd", "error", "tried")
_KEY_FIELDS = (*_KEY_TOKENS, "cost_usd")

# The fields of a record in their order: C gets all of them in the time of three by their names.
Row = tuple[Any, ...]
Labels = tuple[str | None, str | None, str | None, int | None, str]
Columns = Mapping[str, Row]
Blocks = tuple[int, int, int]  # of REQUESTS, TRAFFIC and ENDPOINTS
T = TypeVar("T")


def _getter(*names: str) -> Callable[[Row], Any]:
    return itemgetter(*map(Record.__struct_fields__.index, names))


_values, _key_values = _getter(*_FIELDS), _getter(*_KEY_FIELDS)
_labels = _getter("endpoint", "provider", "rule", "status", "outcome")
_key, _key_result = _getter("key"), _getter("key", "status", "outcome")


class RequestCounter:
    """A Sink for the requests of one Plan. The label `model` is the pattern of the rule that matched."""

    def __init__(self, part: ProcessCounters, plan: Plan) -> None:
        self._part = part
        self._patterns: dict[str | None, str] = {
            rule.where: _pattern(rule.pattern, rule.is_prefix) for rule in plan.rules
        }
        self._known: dict[tuple[object, ...], Blocks] = {}
        self._keys: dict[str | None, int] = {}
        self._own_keys = {caller.name[:MAX_LABEL] for caller in (plan.callers or {}).values()}
        self._own_keys.add("")  # requests without a valid key
        known = {key for (key,) in part.labels(KEYS)}
        self._others = known - self._own_keys

    def write(self, records: Sequence[Record]) -> None:
        """Count requests that have ended."""
        rows = list(map(structs.astuple, records))
        for labels, members in _grouped(_labels, rows):
            self._add_traffic(labels, members)
        for (key, status, outcome), count in Counter(map(_key_result, rows)).items():
            at = self._key_block(key)
            self._part.add(at, count)
            if outcome != "ok" or (status or CLIENT_ERROR) >= CLIENT_ERROR:
                self._part.add(at + _KEY_ERRORS, count)

    def _add_traffic(self, labels: Labels, rows: Sequence[Row]) -> None:
        requests, traffic, engine = self._known.get(labels) or self._find_blocks(labels)
        part = self._part
        part.add(requests, len(rows))
        columns = _columns(_FIELDS, _values, rows)
        for name, place in _BYTES.items():
            part.add(traffic + place, sum(columns[name]))
        for name, place in _TOKENS.items():
            part.add(traffic + place, _sum(columns[name]))
        for name, place in _TIMES.items():
            add_times(part, traffic + place, _LONG, columns[name])
        add_times(part, engine, SHORT, columns["ms_engine"])
        part.add(traffic + _UNPRICED, columns["cost_usd"].count(None))
        if any(chain.from_iterable(columns[name] for name in _KEY_FIELDS)):
            part.add(traffic + _COST, _cost(columns["cost_usd"]))
            for key, members in _grouped(_key, rows):
                self._add_usage(self._key_block(key), _columns(_KEY_FIELDS, _key_values, members))
        if any(columns["error"]) or any(columns["tried"]):
            self._add_failures(labels[0] or "", columns)

    def _add_usage(self, at: int, columns: Columns) -> None:
        """Add tokens and cost of requests with one key to its block."""
        for name, place in _KEY_TOKENS.items():
            self._part.add(at + place, _sum(columns[name]))
        self._part.add(at + _KEY_COST, _cost(columns["cost_usd"]))

    def _add_failures(self, endpoint: str, columns: Columns) -> None:
        """Count errors of the gateway's own, and attempts that were followed by another."""
        block, add = self._part.block, self._part.add
        for error in filter(None, columns["error"]):
            add(block(ERRORS, endpoint, error), 1)
        for tried in chain.from_iterable(filter(None, columns["tried"])):
            provider, _, result = tried.rpartition(" ")
            add(block(RETRIES, provider, result), 1)

    def _find_blocks(self, labels: Labels) -> Blocks:
        block = self._part.block
        endpoint, provider, rule, status, outcome = labels
        endpoint, provider = endpoint or "", provider or ""
        model = self._patterns.get(rule, "")
        if provider:
            block(PROVIDERS, provider)
        blocks = (
            block(REQUESTS, endpoint, provider, model, str(status or ""), outcome),
            block(TRAFFIC, endpoint, provider, model),
            block(ENDPOINTS, endpoint),
        )
        if len(self._known) < MAX_KNOWN:
            self._known[labels] = blocks
        return blocks

    def _key_block(self, key: str | None) -> int:
        at = self._keys.get(key)
        if at is None:
            at = self._find_key((key or "")[:MAX_LABEL])
            if len(self._keys) < MAX_KNOWN:
                self._keys[key] = at
        return at

    def _find_key(self, key: str) -> int:
        """The block of a key. Holders of an account can make keys, so only so many of those have one."""
        if key not in self._own_keys and key not in self._others:
            if len(self._others) >= KEYS_OF_ACCOUNTS:
                return self._part.other(KEYS)
            self._others.add(key)
        return self._part.block(KEYS, key)


def _grouped(key: Callable[[Row], T], rows: Iterable[Row]) -> Iterable[tuple[T, list[Row]]]:
    found: dict[T, list[Row]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found.items()


def _columns(names: Sequence[str], values: Callable[[Row], Row], rows: Iterable[Row]) -> Columns:
    return dict(zip(names, zip(*map(values, rows), strict=True), strict=True))


def add_times(
    part: ProcessCounters, at: int, bounds: Sequence[float], column: Sequence[float | None]
) -> None:
    """Add milliseconds to the histogram at `at`."""
    times = sorted([ms for ms in column if ms is not None])
    counted = 0  # in order, since those of a batch fall into few buckets
    while counted < len(times):
        place = bisect_left(bounds, times[counted])
        end = bisect_right(times, bounds[place]) if place < len(bounds) else len(times)
        part.add(at + place, end - counted)
        counted = end
    part.add(at + len(bounds) + 1, round(sum(times) * 1000))


def _sum(column: Iterable[int | None]) -> int:
    numbers = [number for number in column if number]
    total = sum(numbers)
    return total if total <= MAX_COUNT else sum(min(number, MAX_COUNT) for number in numbers)


def _cost(column: Iterable[float | None]) -> int:
    """Billionths of a dollar: exact up to some million dollars."""
    return _sum(round(cost * NANO) for cost in filter(None, column))


def _pattern(pattern: str, is_prefix: bool) -> str:  # noqa: FBT001 of a rule
    return f"{pattern}*" if is_prefix else pattern
