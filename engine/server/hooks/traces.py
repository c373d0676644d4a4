"""Tracing in one worker, as the Tracer of its gateways.

Imported only where routes.yaml has `tracing:`, since it needs a package. Collector, service name
and headers come from the variables that OpenTelemetry defines, where the file does not say.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import uuid4

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from engine import __version__
from engine.gateway.record import Record
from engine.plan.otlp_headers import headers_of
from engine.plan.plan import Plan
from engine.telemetry.attributes import attributes
from engine.telemetry.otel_environment import (
    TRACES,
    delay_of,
    resource_values,
    url_of,
)
from engine.telemetry.otlp import FLUSH_SECONDS, OtlpQueue
from engine.telemetry.spans import Finished, export_request
from engine.telemetry.tracer import PlanTracer, TraceNotes


class TraceHooks:
    """The export of traces. `log` takes messages to the operator, on the event loop."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resource = attributes(resource_values(os.environ, __version__, str(uuid4())))
        headers = headers_of(os.environ)
        self.queue: OtlpQueue[Finished] = OtlpQueue(
            self._encode, rejected_spans, headers, self._report, delay_of(os.environ, FLUSH_SECONDS)
        )

    def tracer(self, plan: Plan) -> PlanTracer | None:
        """What traces the requests of `plan`."""
        return None if plan.tracing is None else PlanTracer(plan, plan.tracing, self._put)

    def set_plan(self, plan: Plan) -> None:
        """Export to the collector of `plan`, if it has one."""
        if plan.tracing is not None:
            self.queue.url = url_of(TRACES, plan.tracing.endpoint, os.environ)

    def start(self) -> None:
        """Begin to export, with the running loop."""
        self._loop = asyncio.get_running_loop()
        self.queue.start()

    def stop(self) -> None:
        """Export what waits, and say what is lost."""
        lost = self.queue.stop()
        if lost:
            self._report(
                f"{lost} traces were lost: the worker stopped before the collector took them"
            )

    def _put(self, notes: TraceNotes, record: Record) -> None:
        self.queue.put((notes, record))

    def _encode(self, batch: Sequence[Finished]) -> bytes:
        return export_request(batch, self._resource, __version__)

    def _report(self, message: str) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._log, message)


def rejected_spans(body: bytes) -> int:
    """How many spans a collector refused of those it got, by its response."""
    with suppress(Exception):
        return int(ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
    return 0
