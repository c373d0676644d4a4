"""Writes orqen.json, the dashboard in Grafana's classic format, from the table of panels below: `make docs`."""

import json
from pathlib import Path
from typing import Any, NamedTuple

OUT = Path(__file__).with_name("orqen.json")
RATE = "$__rate_interval"
WHERE = 'instance=~"$instance"'
PROVIDER = f'{WHERE},provider=~"$provider"'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, STAT_HEIGHT = 24, 8, 4


class Panel(NamedTuple):
    """A graph, or a single number; `queries` are expression and legend of each."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    text: str = ""
    kind: str = "timeseries"
    width: int = 8


def rate(metric: str, by: str = "", where: str = WHERE) -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{where}}}[{RATE}]))"


def quantile(share: float, metric: str, by: str = "", where: str = WHERE) -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(metric + '_bucket', labels, where)})"


def quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    return tuple((quantile(q, metric), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99))


def now(metric: str, by: str = "", where: str = WHERE) -> str:
    return f"sum{f' by ({by})' if by else ''} ({metric}{{{where}}})"


def stat(title: str, unit: str, query: str, text: str = "") -> Panel:
    return Panel(title, unit, ((query, ""),), text, "stat", 4)


FAILED = f'{PROVIDER},status=~"5.."'
ERRORS = f'{WHERE},status=~"5.."'
ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        stat("Requests", "reqps", rate("orqen_requests_total")),
        stat(
            "Responses with 5xx",
            "percentunit",
            f"{rate('orqen_requests_total', where=ERRORS)} / {rate('orqen_requests_total')}",
        ),
        stat("Time to the first byte, p95", "s", quantile(0.95, "orqen_first_byte_seconds")),
        stat("In flight", "short", now("orqen_in_flight_requests")),
        stat("Output tokens", "short", rate("orqen_output_tokens_total"), "Tokens a second."),
        stat("Breakers open", "short", now("orqen_breaker_open"), "Over all workers."),
    ),
    "Requests": (
        Panel("Requests by status", "reqps", ((rate("orqen_requests_total", "status"), "{{status}}"),)),
        Panel(
            "Requests by outcome",
            "reqps",
            ((rate("orqen_requests_total", "outcome", PROVIDER), "{{outcome}}"),),
            "How requests end; docs/observability.md has the outcomes.",
        ),
        Panel("Errors of the gateway", "reqps", ((rate("orqen_errors_total", "code"), "{{code}}"),), "docs/errors.md has the codes."),
        Panel("Requests by endpoint", "reqps", ((rate("orqen_requests_total", "endpoint"), "{{endpoint}}"),)),
        Panel("Requests by model rule", "reqps", ((rate("orqen_requests_total", "model", PROVIDER), "{{model}}"),)),
        Panel(
            "Bytes",
            "Bps",
            (
                (rate("orqen_request_body_bytes_total", where=PROVIDER), "request bodies"),
                (rate("orqen_response_body_bytes_total", where=PROVIDER), "response bodies"),
            ),
        ),
    ),
    "Times": (
        Panel("Duration of requests", "s", quantiles("orqen_request_duration_seconds")),
        Panel("Time to the first byte, p95", "s", ((quantile(0.95, "orqen_first_byte_seconds", "provider", PROVIDER), "{{provider}}"),)),
        Panel("Time to the first event of streams, p95", "s", ((quantile(0.95, "orqen_first_event_seconds", "model", PROVIDER), "{{model}}"),)),
        Panel("The gateway's own part", "s", quantiles("orqen_engine_duration_seconds"), "Until the provider is called, without the upload and queues.", width=12),
        Panel("Lag of event loops", "s", quantiles("orqen_event_loop_lag_seconds"), width=12),
    ),
    "Providers": (
        Panel("Requests by provider", "reqps", ((rate("orqen_requests_total", "provider", PROVIDER), "{{provider}}"),)),
        Panel(
            "5xx by provider",
            "percentunit",
            (
                (
                    f"{rate('orqen_requests_total', 'provider', FAILED)} / {rate('orqen_requests_total', 'provider', PROVIDER)}",
                    "{{provider}}",
                ),
            ),
        ),
        Panel("Retries by result", "ops", ((rate("orqen_retries_total", "provider, result", PROVIDER), "{{provider}} {{result}}"),), "Attempts that failed and were followed by another."),
        Panel("In flight", "short", ((now("orqen_provider_in_flight_requests", "provider", PROVIDER), "{{provider}}"),)),
        Panel("Waiting for a slot", "short", ((now("orqen_provider_queued_requests", "provider", PROVIDER), "{{provider}}"),)),
        Panel(
            "Breakers",
            "short",
            (
                (now("orqen_breaker_open", "provider", PROVIDER), "{{provider}} open in workers"),
                (f"sum by (provider) (increase(orqen_breaker_opened_total{{{PROVIDER}}}[{RATE}]))", "{{provider}} opened"),
            ),
        ),
    ),
    "Tokens and cost": (
        Panel(
            "Tokens",
            "short",
            (
                (rate("orqen_input_tokens_total", where=PROVIDER), "input"),
                (rate("orqen_output_tokens_total", where=PROVIDER), "output"),
            ),
            "A second; cached tokens are among the input.",
        ),
        Panel("Output tokens by model rule", "short", ((rate("orqen_output_tokens_total", "model", PROVIDER), "{{model}}"),)),
        Panel("Cost by provider", "currencyUSD", ((f"3600 * {rate('orqen_cost_usd_total', 'provider', PROVIDER)}", "{{provider}}"),), "An hour, by prices.yaml."),
        Panel("Cost by model rule", "currencyUSD", ((f"3600 * {rate('orqen_cost_usd_total', 'model', PROVIDER)}", "{{model}}"),), "An hour, by prices.yaml."),
        Panel("Cost by key", "currencyUSD", ((f"topk(10, 3600 * {rate('orqen_key_cost_usd_total', 'key')})", "{{key}}"),), "An hour, by prices.yaml."),
        Panel("Output tokens by key", "short", ((f"topk(10, {rate('orqen_key_output_tokens_total', 'key')})", "{{key}}"),)),
    ),
    "Keys and limits": (
        Panel("Requests by key", "reqps", ((f"topk(10, {rate('orqen_key_requests_total', 'key')})", "{{key}}"),)),
        Panel("Failed requests by key", "reqps", ((f"topk(10, {rate('orqen_key_errors_total', 'key')})", "{{key}}"),)),
        Panel("Limits", "reqps", ((rate("orqen_limit_checks_total", "result"), "{{result}}"), (rate("orqen_limit_store_errors_total", "instance"), "{{instance}} the limit store failed"))),
    ),
    "Server": (
        Panel("CPU", "short", ((f"sum by (instance, process) (rate(process_cpu_seconds_total{{{WHERE}}}[{RATE}]))", "{{instance}} {{process}}"),), "Cores. A worker has one at most."),
        Panel("Memory", "bytes", ((f"process_resident_memory_bytes{{{WHERE}}}", "{{instance}} {{process}}"),)),
        Panel("Open files", "short", ((f"process_open_fds{{{WHERE}}}", "{{instance}} {{process}}"),)),
        Panel(
            "Reloads",
            "short",
            (
                (f"increase(orqen_config_reloads_total{{{WHERE}}}[{RATE}])", "{{instance}} taken over"),
                (f"increase(orqen_config_reloads_refused_total{{{WHERE}}}[{RATE}])", "{{instance}} refused"),
                (f"orqen_config_refused{{{WHERE}}}", "{{instance}} files on disk are refused"),
                (f"orqen_tls_refused{{{WHERE}}}", "{{instance}} TLS files on disk are refused"),
            ),
        ),
        Panel(
            "Workers",
            "short",
            (
                (f"increase(orqen_worker_deaths_total{{{WHERE}}}[{RATE}])", "{{instance}} died"),
                (f"increase(orqen_worker_replacements_total{{{WHERE}}}[{RATE}])", "{{instance}} replaced for memory"),
            ),
        ),
        Panel(
            "Lost",
            "short",
            (
                (f"increase(orqen_log_lines_lost_total{{{WHERE}}}[{RATE}])", "{{instance}} lines of the log"),
                (f"increase(orqen_traces_lost_total{{{WHERE}}}[{RATE}])", "{{instance}} traces"),
                (f"orqen_series_overflow_total{{{WHERE}}}", "{{instance}} series without room"),
                (f"increase(orqen_metrics_exports_failed_total{{{WHERE}}}[{RATE}])", "{{instance}} exports of metrics"),
            ),
        ),
        Panel("Versions", "short", ((f"sum by (version) (orqen_build_info{{{WHERE}}})", "{{version}}"),), "Servers of each version.", width=12),
        Panel("Age of the configuration", "s", ((f"time() - orqen_config_loaded_timestamp_seconds{{{WHERE}}}", "{{instance}}"),), width=12),
    ),
}  # fmt: skip


def panels() -> list[dict[str, Any]]:
    """The panels in their places, under a heading for each row."""
    made: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        made.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": top}})  # fmt: skip
        top, left = top + 1, 0
        height = STAT_HEIGHT if row[0].kind == "stat" else HEIGHT
        for panel in row:
            if left + panel.width > WIDTH:
                top, left = top + height, 0
            made.append(drawn(panel, {"h": height, "w": panel.width, "x": left, "y": top}))
            left += panel.width
        top += height
    return [{"id": number, **panel} for number, panel in enumerate(made, 1)]


def drawn(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + n), "datasource": DATASOURCE, "expr": query, "legendFormat": legend or "__auto"}
        for n, (query, legend) in enumerate(panel.queries)
    ]  # fmt: skip
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}  # fmt: skip
    if panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area", "colorMode": "value"}  # fmt: skip
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
    }


def variable(name: str, metric: str) -> dict[str, Any]:
    query = f"label_values({metric}, {name})"
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }


def dashboard() -> dict[str, Any]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}  # fmt: skip
    return {
        "uid": "orqen",
        "title": "orqen",
        "description": "A gateway for LLM APIs. docs/runbook.md says what to do when an alert fires.",
        "tags": ["orqen"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                source,
                variable("instance", "orqen_build_info"),
                variable("provider", "orqen_requests_total"),
            ]
        },
        "panels": panels(),
    }


if __name__ == "__main__":
    OUT.write_text(json.dumps(dashboard(), indent=1) + "\n", "utf-8")
