"""The sums that /metrics shows as OTLP (opentelemetry-proto), with the same names and labels.

Names are those for Prometheus without `_total`, which collectors add themselves. Sums and histograms are cumulative,
so an export that is lost loses nothing.
"""

from collections.abc import Iterable, Iterator, Sequence

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from engine.telemetry.attributes import attributes
from engine.telemetry.families import (
    COUNTER,
    GROUPS,
    HISTOGRAM,
    PROCESS_FAMILIES,
    PROCESS_LABELS,
    Family,
)
from engine.telemetry.totals import Totals

CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
SCOPE = "orqen"
_UNITS = {"_seconds": "s", "_bytes": "By", "_tokens": "{token}", "_usd": "{USD}"}
Labels = tuple[str, ...]
Times = tuple[int, int]  # of the start of the server and of these sums, Unix time in nanoseconds


def metrics_request(
    totals: Totals,
    processes: Iterable[tuple[str, list[float]]],
    resource: Sequence[KeyValue],
    version: str,
    times: Times,
) -> bytes:
    """The body of an OTLP request with all metrics."""
    scope = InstrumentationScope(name=SCOPE, version=version)
    metrics = [*_counted(totals, times), *_of_processes(list(processes), times)]
    made = ExportMetricsServiceRequest(
        resource_metrics=[
            ResourceMetrics(
                resource=Resource(attributes=resource),
                scope_metrics=[ScopeMetrics(scope=scope, metrics=metrics)],
            )
        ]
    )
    body: bytes = made.SerializeToString()
    return body


def _counted(totals: Totals, times: Times) -> Iterator[Metric]:
    for group, blocks in zip(GROUPS, totals, strict=True):
        for family in group.families:
            at, end = group.places[family.name], group.places[family.name] + family.width
            series = [(labels, words[at:end]) for labels, words in sorted(blocks.items())]
            if family.is_sparse:
                series = [(labels, words) for labels, words in series if any(words)]
            if series:
                yield _metric(family, group.labels, series, times)


def _of_processes(processes: list[tuple[str, list[float]]], times: Times) -> Iterator[Metric]:
    for at, family in enumerate(PROCESS_FAMILIES):
        metric = _named(family)
        points = (metric.sum if family.kind == COUNTER else metric.gauge).data_points
        for name, values in processes:
            points.append(_number(PROCESS_LABELS, (name,), values[at], times))
        _mark(metric, family)
        yield metric


def _metric(
    family: Family, names: Labels, series: list[tuple[Labels, list[int]]], times: Times
) -> Metric:
    metric = _named(family)
    for labels, words in series:
        if family.kind == HISTOGRAM:
            metric.histogram.data_points.append(_histogram(family, names, labels, words, times))
        else:
            value = words[0] if family.scale == 1 else words[0] / family.scale
            points = (metric.sum if family.kind == COUNTER else metric.gauge).data_points
            points.append(_number(names, labels, value, times))
    _mark(metric, family)
    return metric


def _named(family: Family) -> Metric:
    name = family.name.removesuffix("_total")
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
    return Metric(name=name, description=family.help, unit=unit)


def _mark(metric: Metric, family: Family) -> None:
    if family.kind == COUNTER:
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = CUMULATIVE
    elif family.kind == HISTOGRAM:
        metric.histogram.aggregation_temporality = CUMULATIVE


def _attributes(names: Labels, labels: Labels) -> list[KeyValue]:
    """The labels of a series; an empty one says nothing."""
    return attributes({name: v or None for name, v in zip(names, labels, strict=True)})


def _number(names: Labels, labels: Labels, value: float, times: Times) -> NumberDataPoint:
    point = NumberDataPoint(
        attributes=_attributes(names, labels),
        start_time_unix_nano=times[0],
        time_unix_nano=times[1],
    )
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    return point


def _histogram(
    family: Family, names: Labels, labels: Labels, words: list[int], times: Times
) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=_attributes(names, labels),
        start_time_unix_nano=times[0],
        time_unix_nano=times[1],
        count=sum(words[:-1]),
        sum=words[-1] / family.scale,
        bucket_counts=words[:-1],
        explicit_bounds=family.bounds,
    )
