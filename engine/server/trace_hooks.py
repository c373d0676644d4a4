"""Tracing in one worker, as the Tracer of its gateways.

Imported only where routes.yaml has `tracing:`, since it needs a package. Collector, service name
and headers come from the variables that OpenTelemetry defines, where the file does not say.
"""

import asyncio
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import unquote

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from engine import __version__
from engine.gateway.record import Record
from engine.plan.plan import Plan
from engine.telemetry.otlp import FLUSH_SECONDS, OtlpQueue
from engine.telemetry.spans import Finished, attributes, export_request
from engine.telemetry.tracer import TraceNotes, Tracer

DEFAULT_ENDPOINT = "http://localhost:4318"
TRACES = "/v1/traces"
MAX_DELAY = 60.0


class TraceHooks:
    """The export of traces. `log` takes messages to the operator, on the event loop."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resource = attributes(dict(resource_values(os.environ)))
        headers = pairs_of(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
        self.queue: OtlpQueue[Finished] = OtlpQueue(
            self._encode, rejected_spans, headers, self._report, delay_of(os.environ)
        )

    def tracer(self, plan: Plan) -> Tracer | None:
        """What traces the requests of `plan`."""
        return None if plan.tracing is None else Tracer(plan, plan.tracing, self._put)

    def follow(self, plan: Plan) -> None:
        """Export to the collector of `plan`, if it has one."""
        if plan.tracing is not None:
            self.queue.url = traces_url(plan.tracing.endpoint, os.environ)

    def start(self) -> None:
        """Begin to export, with the running loop."""
        self._loop = asyncio.get_running_loop()
        self.queue.start()

    def stop(self) -> None:
        """Export what waits."""
        self.queue.stop()

    def _put(self, notes: TraceNotes, record: Record) -> None:
        self.queue.put((notes, record))

    def _encode(self, batch: Sequence[Finished]) -> bytes:
        return export_request(batch, self._resource, __version__)

    def _report(self, message: str) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._log, message)


def resource_values(environ: Mapping[str, str]) -> Mapping[str, str | int]:
    """What the spans come from; the variables go before our own values, but for the process."""
    given = pairs_of(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    name = environ.get("OTEL_SERVICE_NAME") or given.get("service.name") or "orqen"
    return {
        "service.version": __version__,
        **given,
        "service.name": name,
        "service.instance.id": str(uuid.uuid4()),
        "process.pid": os.getpid(),
    }


def delay_of(environ: Mapping[str, str]) -> float:
    """Seconds from one export to the next; the variable is in milliseconds."""
    text = environ.get("OTEL_BSP_SCHEDULE_DELAY", "")
    return min(int(text) / 1000, MAX_DELAY) if text.isdecimal() and int(text) else FLUSH_SECONDS


def pairs_of(text: str) -> dict[str, str]:
    """The pairs in `name=value,name=value`, percent-decoded; what is no pair is left out."""
    parts = (part.partition("=") for part in text.split(","))
    return {
        name.strip(): unquote(value.strip()) for name, sign, value in parts if sign and name.strip()
    }


def traces_url(endpoint: str | None, environ: Mapping[str, str]) -> str:
    """Where traces are sent, by `tracing.endpoint` or by the environment."""
    if endpoint is None and environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
    base = endpoint or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
    return base.rstrip("/") + TRACES


def rejected_spans(body: bytes) -> int:
    """How many spans a collector refused of those it got, by its response."""
    with suppress(Exception):
        return int(ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
    return 0
