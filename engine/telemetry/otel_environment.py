"""What the variables that OpenTelemetry defines say: collector, headers, and what telemetry comes from."""

import os
from collections.abc import Mapping

from engine.plan.otlp_headers import pairs_of

DEFAULT_ENDPOINT = "http://localhost:4318"
TRACES, METRICS = "traces", "metrics"
MAX_DELAY = 60.0


def resource_values(
    environ: Mapping[str, str], version: str, instance: str
) -> dict[str, str | int]:
    """What telemetry comes from; the variables go before our own values, but for the process.

    `instance` is the id of one worker for its traces, and of one server for its metrics.
    """
    given = pairs_of(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    name = environ.get("OTEL_SERVICE_NAME") or given.get("service.name") or "orqen"
    return {
        "service.version": version,
        **given,
        "service.name": name,
        "service.instance.id": instance,
        "process.pid": os.getpid(),
    }


def delay_of(environ: Mapping[str, str], default: float) -> float:
    """Seconds from one export of traces to the next; the variable is in milliseconds."""
    text = environ.get("OTEL_BSP_SCHEDULE_DELAY", "")
    return min(int(text) / 1000, MAX_DELAY) if text.isdecimal() and int(text) else default


def url_of(signal: str, endpoint: str | None, environ: Mapping[str, str]) -> str:
    """Where TRACES or METRICS are sent, by an `endpoint` of the configuration or by the environment."""
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    if endpoint is None and own:
        return own
    base = endpoint or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
    return f"{base.rstrip('/')}/v1/{signal}"
