"""Metrics by OTLP: the same numbers as /metrics, from a real gateway over real sockets."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from prometheus_client.parser import text_string_to_metric_families

from engine.plan.settings import OtlpMetrics
from engine.server.log import LogOptions, set_up
from engine.server.metrics_export import MetricsExport
from engine.telemetry.families import GROUPS, PROCESS_FAMILIES
from engine.telemetry.otlp_metrics import metrics_request
from engine.telemetry.processes import process_values
from engine.telemetry.totals import Totals
from tests import loopback
from tests.otlp import WAIT, Collector, collecting, values
from tests.servers import KEY, Server, free_port, gateway, write_keys

ROUTES = """
version: 1
endpoints: {talk: {path: /talk}}
models: [{prefix: m-, provider: away}]
"""
PROVIDERS = """
version: 1
providers:
  away: {{base_url: "http://127.0.0.1:{closed}", endpoints: {{talk: /talk}}}}
"""
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
Numbers = dict[tuple[str, frozenset[tuple[str, str]]], float]


def latest(collector: Collector) -> dict[str, Metric]:
    scope = collector.metrics[-1].scope_metrics[0]
    return {metric.name: metric for metric in scope.metrics}


def exported(collector: Collector, name: str) -> Numbers:
    """Counters of an export, as /metrics names them."""
    metric = latest(collector)[name]
    assert metric.sum.is_monotonic
    assert metric.sum.aggregation_temporality == CUMULATIVE
    return {
        (f"{name}_total", frozenset((k, str(v)) for k, v in values(point).items())): float(
            point.as_int
        )
        for point in metric.sum.data_points
    }


def scraped(port: int, name: str) -> Numbers:
    text = loopback.get(f"http://127.0.0.1:{port}/metrics").text
    family = next(f for f in text_string_to_metric_families(text) if f.name == name)
    return {
        (s.name, frozenset(pair for pair in s.labels.items() if pair[1])): s.value
        for s in family.samples
    }


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_served(port: int) -> bool:
    """Whether the process of the metrics, which starts beside the workers, listens."""
    with suppress(httpx2.TransportError):
        return loopback.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
    return False


def ask(server: Server, model: str) -> bool:
    """Whether there was a response; there is none from a worker that was killed just now."""
    url, headers = f"{server.url}/talk", {"x-api-key": KEY}
    with suppress(httpx2.TransportError):
        loopback.post(url, json={"model": model}, headers=headers)
        return True
    return False


def test_the_numbers_are_those_of_the_page_for_prometheus(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "providers.yaml").write_text(PROVIDERS.format(closed=free_port()))
    write_keys(tmp_path)
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=a-token", "OTEL_SERVICE_NAME": "gate"}
    with collecting() as collector:
        collector.statuses = [503]  # what it does not take is in the next sums
        text = f"metrics: {{port: {port}, otlp: {{endpoint: '{collector.url}', interval: 100ms}}}}"
        (tmp_path / "server.yaml").write_text(f"version: 1\n{text}\n")
        options = (tmp_path, tmp_path / "log", "--workers", "2")
        with gateway(*options, environ=environ) as server:
            for model in ("m-1", "m-2", "nobody", "m-3"):
                ask(server, model)
            until(lambda: is_served(port))
            name = "orqen_requests"
            until(lambda: sum(scraped(port, name).values()) == 4)  # after its response, each
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            until(lambda: len(server.worker_pids()) == 2)
            until(lambda: ask(server, "m-4"))
            until(lambda: sum(scraped(port, name).values()) == 5)
            until(lambda: bool(collector.metrics))
            until(lambda: exported(collector, name) == scraped(port, name))
            assert sum(scraped(port, "orqen_metrics_exports_failed").values()) == 1
            errors = "orqen_errors"
            assert exported(collector, errors) == scraped(port, errors)
            (series,) = [
                point
                for point in latest(collector)[
                    "orqen_request_duration_seconds"
                ].histogram.data_points
                if values(point).get("provider") == "away"
            ]
            assert (series.count, sum(series.bucket_counts)) == (4, 4)
            assert len(series.bucket_counts) == len(series.explicit_bounds) + 1
            assert series.sum > 0
            cpu = latest(collector)["process_cpu_seconds"].sum.data_points
            assert {str(values(point)["process"]) for point in cpu} >= {"parent", "metrics"}
            found = values(collector.metrics[-1].resource)
            assert (found["service.name"], collector.heads[-1]["authorization"]) == (
                "gate",
                "a-token",
            )
            started = (process_values(server.process.pid) or [0.0])[-1]
            assert series.start_time_unix_nano / 1e9 == pytest.approx(started, abs=0.05), (
                "that of the server: sums go on when the process that exports is started again"
            )
            ids = {values(m.resource)["service.instance.id"] for m in collector.metrics}
            assert len(ids) == 1, "one process exports the sums of all"
        assert "a-token" not in server.text
        assert "the metrics were not exported; of the collector: it responded 503" in server.text


def test_what_was_counted_since_the_last_export_is_sent_when_the_server_ends(
    tmp_path: Path,
) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "providers.yaml").write_text(PROVIDERS.format(closed=free_port()))
    write_keys(tmp_path)
    with collecting() as collector:
        port = free_port()
        text = f"metrics: {{port: {port}, otlp: {{endpoint: '{collector.url}', interval: 1h}}}}"
        (tmp_path / "server.yaml").write_text(f"version: 1\n{text}\n")
        with gateway(tmp_path, tmp_path / "log") as server:
            until(lambda: is_served(port))
            ask(server, "nobody")
            until(lambda: sum(scraped(port, "orqen_requests").values()) == 1)
            server.stop()
        assert len(collector.metrics) == 1
        assert sum(exported(collector, "orqen_requests").values()) == 1


def test_nothing_that_goes_wrong_ends_the_export(capfd: pytest.CaptureFixture[str]) -> None:
    set_up(LogOptions())  # another test of this process may have changed it
    turns = iter([ValueError("a secret"), ValueError("another"), None])

    def read() -> tuple[Totals, Iterable[tuple[str, list[float]]]]:
        wrong = next(turns, None)
        if wrong is not None:
            raise wrong
        return [{} for _ in GROUPS], []

    with collecting() as collector:
        settings = OtlpMetrics(collector.url, interval=0.01)
        export = MetricsExport(settings, read, "1", time.time(), "i")
        export.start()
        until(lambda: bool(collector.metrics))
        export.stop()
        found = values(collector.metrics[-1].resource)
    assert found["service.instance.id"] == "i", "that of the server, whichever process exports"
    assert export.failed == 2
    said = capfd.readouterr().err
    assert said == "engine: the metrics were not exported; of the collector: ValueError\n", (
        "once a minute, and without the text of the exception"
    )


def test_an_export_is_made_at_the_end_however_long_the_interval_is() -> None:
    with collecting() as collector:
        settings = OtlpMetrics(collector.url, interval=3600.0)
        export = MetricsExport(settings, lambda: ([{} for _ in GROUPS], []), "1", time.time(), "i")
        export.start()
        export.stop()
    assert (len(collector.metrics), export.failed) == (1, 0)


def test_all_points_begin_with_the_server_and_end_now() -> None:
    totals = [{("x",) * len(group.labels): [1] * group.width} for group in GROUPS]
    body = metrics_request(totals, [("parent", [1.0] * len(PROCESS_FAMILIES))], [], "1", (5, 9))
    (resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    metrics = resource.scope_metrics[0].metrics
    points = [p for m in metrics for p in getattr(m, m.WhichOneof("data") or "").data_points]
    assert any(metric.HasField("histogram") for metric in metrics)
    assert {(point.start_time_unix_nano, point.time_unix_nano) for point in points} == {(5, 9)}
