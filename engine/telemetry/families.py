"""The table of all metrics: names, kinds, labels and units.

Metrics that have the same labels form a group. For each combination of labels that occurs, a group has
a block of 64-bit words, in which each of its metrics has its place. Values are whole numbers of a
fraction of the unit, such as microseconds, so that sums are exact.
"""

from dataclasses import dataclass
from functools import cached_property

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
OTHER = "other"  # every label of the block that counts what has no room of its own

# Seconds. Responses of models take minutes; the gateway's own part takes less than a millisecond.
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
SHORT_DURATIONS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)

MICROSECONDS = 1_000_000
NANODOLLARS = 1_000_000_000


@dataclass(frozen=True)
class Family:
    """One metric. A word holds `1 / scale` of its unit; a histogram has a word for each bucket, and the sum.

    `is_sparse`: left out while it is 0, as most of its kind stay.
    """

    name: str
    kind: str
    help: str
    scale: int = 1
    bounds: tuple[float, ...] = ()
    is_sparse: bool = False

    @property
    def width(self) -> int:
        """How many words it needs."""
        return len(self.bounds) + 2 if self.bounds else 1


@dataclass(frozen=True)
class Group:
    """Metrics with the same labels; `max_combinations` of their values, and one for the others."""

    labels: tuple[str, ...]
    max_combinations: int
    families: tuple[Family, ...]

    @cached_property
    def places(self) -> dict[str, int]:
        """Where in a block each metric begins."""
        found, at = {}, 0
        for family in self.families:
            found[family.name] = at
            at += family.width
        return found

    @cached_property
    def width(self) -> int:
        """Words of a block."""
        return sum(family.width for family in self.families)

    @cached_property
    def gauges(self) -> tuple[int, ...]:
        """Where in a block the gauges are: those of a dead process do not count."""
        return tuple(self.places[f.name] for f in self.families if f.kind == GAUGE)


def _counter(name: str, text: str, scale: int = 1, *, is_sparse: bool = False) -> Family:
    return Family(name, COUNTER, text, scale, is_sparse=is_sparse)


def _gauge(name: str, text: str, scale: int = 1, *, is_sparse: bool = False) -> Family:
    return Family(name, GAUGE, text, scale, is_sparse=is_sparse)


def _seconds(
    name: str, text: str, bounds: tuple[float, ...] = DURATIONS, *, is_sparse: bool = False
) -> Family:
    return Family(name, HISTOGRAM, text, MICROSECONDS, bounds, is_sparse)


REQUESTS = Group(
    ("endpoint", "provider", "model", "status", "outcome"),
    4000,
    (_counter("orqen_requests_total", "Requests that have ended."),),
)
TRAFFIC = Group(
    ("endpoint", "provider", "model"),
    1000,
    (
        _seconds("orqen_request_duration_seconds", "Time from the head of a request to its end."),
        _seconds(
            "orqen_first_byte_seconds",
            "Time until the head of the provider's response.",
            is_sparse=True,
        ),
        _seconds(
            "orqen_first_event_seconds",
            "Time until the first event of a stream with data.",
            is_sparse=True,
        ),
        _counter("orqen_request_body_bytes_total", "Bytes of request bodies received."),
        _counter("orqen_response_body_bytes_total", "Bytes of response bodies sent."),
        _counter(
            "orqen_input_tokens_total", "Tokens of requests, cached ones included.", is_sparse=True
        ),
        _counter("orqen_output_tokens_total", "Tokens of responses.", is_sparse=True),
        _counter(
            "orqen_cached_input_tokens_total",
            "Input tokens that providers read from their caches.",
            is_sparse=True,
        ),
        _counter(
            "orqen_cache_write_input_tokens_total",
            "Input tokens that providers wrote to their caches.",
            is_sparse=True,
        ),
        _counter(
            "orqen_cost_usd_total", "Cost of requests by prices.yaml.", NANODOLLARS, is_sparse=True
        ),
        _counter(
            "orqen_unpriced_requests_total",
            "Requests whose cost is not known, although there is a prices.yaml.",
            is_sparse=True,
        ),
    ),
)
ENDPOINTS = Group(
    ("endpoint",),
    200,
    (
        _seconds(
            "orqen_engine_duration_seconds",
            "Time that the gateway itself took until it called the provider.",
            SHORT_DURATIONS,
        ),
    ),
)
KEYS_OF_ACCOUNTS = 500  # of the keys with series; the others are those of keys.yaml
KEYS = Group(
    ("key",),
    1000 + KEYS_OF_ACCOUNTS,
    (
        _counter("orqen_key_requests_total", "Requests by gateway key."),
        _counter("orqen_key_errors_total", "Requests by gateway key that did not end well."),
        _counter("orqen_key_input_tokens_total", "Input tokens by gateway key.", is_sparse=True),
        _counter("orqen_key_output_tokens_total", "Output tokens by gateway key.", is_sparse=True),
        _counter("orqen_key_cost_usd_total", "Cost by gateway key.", NANODOLLARS, is_sparse=True),
    ),
)
ERRORS = Group(
    ("endpoint", "code"),
    1000,
    (_counter("orqen_errors_total", "Errors of the gateway's own, by their code."),),
)
RETRIES = Group(
    ("provider", "result"),
    1000,
    (_counter("orqen_retries_total", "Attempts that failed and were followed by another."),),
)
PROVIDERS = Group(
    ("provider",),
    500,
    (
        _gauge("orqen_provider_in_flight_requests", "Exchanges with a provider under way."),
        _gauge("orqen_provider_queued_requests", "Requests that wait for a provider's slot."),
        _gauge("orqen_breaker_open", "Workers in which the breaker of a provider is open."),
        _counter("orqen_breaker_opened_total", "How often a breaker has opened."),
    ),
)
LIMIT_RESULTS = "allowed", "refused"
LIMITS = Group(
    ("result",),
    10,
    (
        _counter(
            "orqen_limit_checks_total",
            "Requests of callers with limits: allowed, or refused.",
        ),
    ),
)
WORKERS = Group(
    (),
    1,
    (
        _gauge("orqen_in_flight_requests", "Requests under way."),
        _seconds(
            "orqen_event_loop_lag_seconds",
            "How late a timer of the workers is called, once a second.",
            SHORT_DURATIONS,
        ),
        _counter(
            "orqen_limit_store_errors_total",
            "Requests whose limits the store in server.yaml has not counted.",
        ),
        _counter("orqen_log_lines_lost_total", "Lines of the log that were lost."),
        _counter("orqen_traces_exported_total", "Traced requests that a collector has taken."),
        _counter("orqen_traces_lost_total", "Traced requests that no collector has taken."),
        _counter(
            "orqen_series_overflow_total",
            "Label combinations that are counted as `other`, since there were too many.",
        ),
    ),
)
SERVER = Group(
    (),
    1,
    (
        _counter("orqen_config_reloads_total", "Configurations that were taken over."),
        _counter("orqen_config_reloads_refused_total", "Configurations that were refused."),
        _gauge("orqen_config_refused", "1 while what is on disk was refused."),
        _gauge("orqen_config_generation", "Number of the configuration that runs; 1 at the start."),
        _gauge(
            "orqen_config_loaded_timestamp_seconds",
            "When the configuration that runs was loaded.",
            MICROSECONDS,
        ),
        _counter("orqen_worker_deaths_total", "Workers that died and were started again."),
        _counter("orqen_worker_replacements_total", "Workers replaced for their memory."),
        _counter("orqen_tls_renewals_total", "Renewed TLS files that were taken over."),
        _gauge("orqen_tls_refused", "1 while the TLS files on disk were refused."),
        _gauge(
            "orqen_tls_certificate_expiry_timestamp_seconds",
            "When the certificate towards callers expires, as Unix time.",
            is_sparse=True,
        ),
    ),
)
GROUPS = (REQUESTS, TRAFFIC, ENDPOINTS, KEYS, ERRORS, RETRIES, PROVIDERS, LIMITS, WORKERS, SERVER)

# What is not counted but read when somebody asks; `totals` has no words for them.
PROCESS_LABELS = ("process",)
PROCESS_FAMILIES = (
    _counter("process_cpu_seconds_total", "CPU time, user and system."),
    _gauge("process_resident_memory_bytes", "Resident memory."),
    _gauge("process_open_fds", "Open file descriptors."),
    _gauge("process_start_time_seconds", "When the process was started, as Unix time."),
)
BUILD_INFO = _gauge("orqen_build_info", "1, with the version.")
# Counted by the process that serves /metrics, and there only with `metrics.otlp`.
EXPORTS_FAILED = _counter("orqen_metrics_exports_failed_total", "Exports by OTLP that failed.")
