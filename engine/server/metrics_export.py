"""Exports the metrics by OTLP, from a thread of the process that serves them.

Imported only where server.yaml has `metrics.otlp`, since it needs a package.
"""

import gzip
import os
import threading
from collections.abc import Callable, Iterable
from time import monotonic, time_ns

from engine.plan.otlp_headers import headers_of
from engine.plan.settings import OtlpMetrics
from engine.server.log import log
from engine.telemetry.attributes import attributes
from engine.telemetry.otel_environment import METRICS, resource_values, url_of
from engine.telemetry.otlp import (
    OTLP_HEADERS,
    REPORT_SECONDS,
    STOP_SECONDS,
    Client,
    new_client,
    post,
)
from engine.telemetry.otlp_metrics import metrics_request
from engine.telemetry.totals import Totals

TIMEOUT_SECONDS = 10.0
Read = Callable[[], tuple[Totals, Iterable[tuple[str, list[float]]]]]


class MetricsExport:
    """Sends all metrics at each interval, and a last time at the end.

    `read` gives the sums; `started` is when the server was started, in seconds of Unix time, and `instance` its id: the
    sums go on when this process is started again, and would count twice under another id. What does not
    arrive is not sent again: the next sums have it. `failed` counts the exports that did not.
    """

    def __init__(
        self, settings: OtlpMetrics, read: Read, version: str, started: float, instance: str
    ) -> None:
        self._settings = settings
        self._read = read
        self._version = version
        self._started = int(started * 1_000_000_000)
        self._url = url_of(METRICS, settings.endpoint, os.environ)
        self._headers = {**OTLP_HEADERS, **headers_of(os.environ)}
        self._resource = attributes(resource_values(os.environ, version, instance))
        self.failed = 0
        self._stopping = threading.Event()
        self._reported_at = -REPORT_SECONDS
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    def start(self) -> None:
        """Begin to export; called after the fork, which no thread survives."""
        self._thread.start()

    def stop(self) -> None:
        """Export once more, for STOP_SECONDS at most."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        with new_client() as client:
            while True:
                is_last = self._stopping.wait(self._settings.interval)
                self._export(client, STOP_SECONDS / 2 if is_last else TIMEOUT_SECONDS)
                if is_last:
                    return

    def _export(self, client: Client, timeout: float) -> None:
        """Send the sums once; what goes wrong is said and counted, and the next export is tried all the same."""
        try:
            body = gzip.compress(self._body(), compresslevel=1)
            problem = post(client, self._url, body, self._headers, timeout).problem
        except Exception as error:  # noqa: BLE001 as in post
            problem = type(error).__name__
        if problem:
            self.failed += 1
            self._complain(problem)

    def _body(self) -> bytes:
        totals, processes = self._read()
        times = self._started, time_ns()
        return metrics_request(totals, processes, self._resource, self._version, times)

    def _complain(self, problem: str) -> None:
        """Say so, once in REPORT_SECONDS; neither URL nor headers, which may have secrets."""
        if monotonic() - self._reported_at >= REPORT_SECONDS:
            self._reported_at = monotonic()
            log(f"the metrics were not exported; of the collector: {problem}", "warning")
