"""A collector for tests: takes OTLP/HTTP over a real socket, with the messages of opentelemetry-proto."""

import contextlib
import gzip
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

WAIT = 60.0


@dataclass
class Collector:
    """What arrived. `statuses` are what the next requests get, 200 after them; `delay` comes before."""

    port: int = 0
    groups: list[ResourceSpans] = field(default_factory=list)
    metrics: list[ResourceMetrics] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    delay: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Span]:
        return [
            span for group in self.groups for scope in group.scope_spans for span in scope.spans
        ]

    def trace_of(self, request_id: str) -> list[Span]:
        """The span of a request and then those of its attempts, once they have arrived."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            spans = self.spans
            for span in spans:
                if values(span).get("orqen.request_id") == request_id:
                    same = [s for s in spans if s.parent_span_id == span.span_id]
                    return [span, *sorted(same, key=lambda s: s.start_time_unix_nano)]
            time.sleep(0.02)
        raise AssertionError(f"no span of {request_id} among {len(self.spans)}")

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.heads.append(headers)
        time.sleep(self.delay)
        status = self.statuses.pop(0) if self.statuses else 200
        text = gzip.decompress(body)
        if status == 200 and path == "/v1/traces":
            self.groups += ExportTraceServiceRequest.FromString(text).resource_spans
        elif status == 200:
            self.metrics += ExportMetricsServiceRequest.FromString(text).resource_metrics
        return status


def values(holder: Any) -> dict[str, str | int | bool]:
    """The attributes of a span or a resource."""
    return {pair.key: _plain(pair) for pair in holder.attributes}


def _plain(pair: KeyValue) -> str | int | bool:
    kind = pair.value.WhichOneof("value")
    assert kind is not None, pair
    plain: str | int | bool = getattr(pair.value, kind)
    return plain


@contextlib.contextmanager
def collecting(
    kind: type[Collector] = Collector, tls: ssl.SSLContext | None = None
) -> Iterator[Collector]:
    """A collector that listens until the block ends, with TLS where there is a context."""
    collector = kind()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heads = {name.lower(): value for name, value in self.headers.items()}
            status = collector.take(self.path, heads, body)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
