"""What a server does now, from its metrics: a table for people, and values for programs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from engine.telemetry.readings import Readings, quantile

DIMENSIONS = ("provider", "endpoint", "model", "key")
NOBODY = "-"
CLIENT_ERROR = 400


@dataclass(slots=True)
class TrafficRow:
    """One line: numbers since the start or in an interval; times in seconds."""

    name: str
    requests: float = 0
    errors: float = 0
    retries: float = 0
    input_tokens: float = 0
    output_tokens: float = 0
    cost_usd: float = 0
    unpriced_requests: float = 0
    durations: dict[float, float] = field(default_factory=dict)
    first_events: dict[float, float] = field(default_factory=dict)

    def times(self) -> list[float | None]:
        """Median and 95th percentile of durations, and the median of first events."""
        return [
            quantile(self.durations, 0.5),
            quantile(self.durations, 0.95),
            quantile(self.first_events, 0.5),
        ]


def traffic_rows(readings: Readings, by: str) -> list[TrafficRow]:
    """The traffic by a label, the busiest first. A provider has a line for attempts that were followed by another too."""
    rows: dict[str, TrafficRow] = {}
    for name, attribute in _sources(by):
        for labels, value in readings.of(name):
            row = rows.setdefault(labels[by], TrafficRow(labels[by] or NOBODY))
            setattr(row, attribute, getattr(row, attribute) + value)
            if name == "orqen_requests_total" and _is_error(labels["status"], labels["outcome"]):
                row.errors += value
    if by != "key":
        _add_buckets(rows, readings, by)
    used = (row for row in rows.values() if row.requests or row.retries)
    return sorted(used, key=lambda row: (-row.requests, -row.retries, row.name))


def _sources(by: str) -> Iterable[tuple[str, str]]:
    """Which metric is added to which attribute."""
    start = "orqen_key_" if by == "key" else "orqen_"
    names = ["requests", "input_tokens", "output_tokens", "cost_usd"]
    names += ["errors"] if by == "key" else ["unpriced_requests"]
    names += ["retries"] if by == "provider" else []
    return [(f"{start}{name}_total", name) for name in names]


def _is_error(status: str, outcome: str) -> bool:
    return outcome != "ok" or int(status or CLIENT_ERROR) >= CLIENT_ERROR


def _add_buckets(rows: dict[str, TrafficRow], readings: Readings, by: str) -> None:
    for name, attribute in (
        ("orqen_request_duration_seconds_bucket", "durations"),
        ("orqen_first_event_seconds_bucket", "first_events"),
    ):
        for labels, value in readings.of(name):
            buckets = getattr(
                rows.setdefault(labels[by], TrafficRow(labels[by] or NOBODY)), attribute
            )
            bound = float(labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + value


def server_values(readings: Readings) -> dict[str, Any]:
    """The state of a server as JSON values."""
    workers = [
        labels["process"]
        for labels, _ in readings.of("process_start_time_seconds")
        if labels["process"].startswith("worker_")
    ]
    return {
        "workers": len(workers),
        "worker_deaths": int(readings.value("orqen_worker_deaths_total")),
        "in_flight": int(readings.value("orqen_in_flight_requests")),
        "queued": int(readings.value("orqen_provider_queued_requests")),
        "generation": int(readings.value("orqen_config_generation")),
        "reloads_refused": int(readings.value("orqen_config_reloads_refused_total")),
        "is_refused": bool(readings.value("orqen_config_refused")),
        "tls_expires": readings.value("orqen_tls_certificate_expiry_timestamp_seconds") or None,
        "tls_is_refused": bool(readings.value("orqen_tls_refused")),
        "log_lines_lost": int(readings.value("orqen_log_lines_lost_total")),
        "traces_lost": int(readings.value("orqen_traces_lost_total")),
        "breakers": {
            labels["provider"]: int(value)
            for labels, value in readings.of("orqen_breaker_open")
            if value
        },
        "limits": {
            labels["result"]: int(value)
            for labels, value in readings.of("orqen_limit_checks_total")
        },
    }


def render_server(readings: Readings) -> str:
    """The state of a server in a line, and more where something is wrong."""
    values = server_values(readings)
    queued = f", {values['queued']} queued" if values["queued"] else ""
    lines = [
        f"{_number(values['workers'], 'worker')}, {_number(values['in_flight'], 'request')} under way{queued}, "
        f"config generation {values['generation']}"
    ]
    if values["is_refused"]:
        lines.append("what is on disk was refused: engine check says why")
    if values["tls_is_refused"]:
        lines.append(
            "TLS files on disk were refused, the previous ones stay in use: the log says why"
        )
    if values["tls_expires"]:
        end = datetime.fromtimestamp(values["tls_expires"], UTC)
        lines.append(f"TLS certificate expires {end:%Y-%m-%d %H:%M} UTC")
    if values["breakers"]:
        opened = [
            f"{name} ({_number(count, 'worker')})" for name, count in values["breakers"].items()
        ]
        lines.append(f"breakers open: {', '.join(opened)}")
    lost = [
        _number(values[name], what)
        for name, what in (
            ("log_lines_lost", "line of the log"),
            ("traces_lost", "trace"),
            ("worker_deaths", "worker that died"),
        )
        if values[name]
    ]
    if lost:
        lines.append(f"lost since the start: {', '.join(lost)}")
    return "\n".join(lines) + "\n"


def _number(count: int, what: str) -> str:
    """`1 worker`, `2 workers`; of several words the first is counted."""
    first, *more = what.split(" ", 1)
    return " ".join([f"{count:,} {first}{'' if count == 1 else 's'}", *more])


def render_traffic(rows: list[TrafficRow], by: str, seconds: float | None) -> str:
    """The table; numbers a second if they are those of an interval of `seconds`."""
    unit = "" if seconds is None else "/s"
    head = [by, f"requests{unit}", "errors", f"tokens in{unit}", f"out{unit}", "usd"]
    head += [] if by == "key" else ["p50", "p95", "first event"]
    head += [f"retries{unit}"] if by == "provider" else []
    cells = [head, *([*_cells(row, seconds)] for row in rows)]
    cells = [line[: len(head)] for line in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *rest in cells:
        padded = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *padded]))
    return "\n".join(lines) + "\n"


def _cells(row: TrafficRow, seconds: float | None) -> list[str]:
    amounts = (row.requests, row.input_tokens, row.output_tokens, row.retries)
    requests, tokens_in, tokens_out, retries = (
        f"{amount:,.0f}" if seconds is None else f"{amount / seconds:,.1f}" for amount in amounts
    )
    return [
        row.name,
        requests,
        f"{100 * row.errors / row.requests:.1f}%" if row.requests else NOBODY,
        tokens_in,
        tokens_out,
        _dollars(row),
        *map(_time, row.times(), (row.durations, row.durations, row.first_events)),
        retries if row.retries else NOBODY,
    ]


def _dollars(row: TrafficRow) -> str:
    """With four decimals below a dollar, as a request costs a fraction of a cent; `>` if that of some is not known."""
    if not row.cost_usd:
        return "unknown" if row.unpriced_requests else NOBODY
    least = "> " if row.unpriced_requests else ""
    return f"{least}{row.cost_usd:,.4f}" if row.cost_usd < 1 else f"{least}{row.cost_usd:,.2f}"


def _time(seconds: float | None, buckets: Mapping[float, float]) -> str:
    """A quantile; in the first bucket and in the last, only the bound is known."""
    if seconds is None:
        return NOBODY
    *bounds, _infinite = sorted(buckets)
    if seconds <= bounds[0]:
        return f"< {_duration(bounds[0])}"
    return f"> {_duration(bounds[-1])}" if seconds >= bounds[-1] else _duration(seconds)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
