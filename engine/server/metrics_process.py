"""The process that serves /metrics: it reads what the others count, and none of them waits for it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from hmac import compare_digest
from multiprocessing.connection import Connection
from time import time
from typing import Any

from engine.plan.settings import Metrics, OtlpMetrics
from engine.server.http import Listen, name_process, new_loop, serve_side_process
from engine.server.memory import tune_garbage_collection
from engine.telemetry.exposition import OPEN_METRICS, PLAIN, Exposition
from engine.telemetry.memory import CounterMemory
from engine.telemetry.processes import process_values
from engine.telemetry.readings import TOKEN_NEEDED
from engine.telemetry.totals import Totals, TotalsReader

IDLE_SECONDS = 75
PROCESS_NAME = "orqen-metrics"
_NO_HEADERS: list[tuple[bytes, bytes]] = []

Send = Callable[[dict[str, Any]], Awaitable[None]]


def run_metrics(
    memory: CounterMemory, listen: Metrics, version: str, instance: str, pipe: Connection
) -> None:
    """Serve the metrics until something comes by `pipe`, or the parent is gone.

    `instance` is the id of the server for a collector.
    """
    name_process(PROCESS_NAME)
    tune_garbage_collection()  # the collector would copy what the parent has loaded
    export = _start_export(memory, listen.otlp, version, instance)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        app = MetricsApp(memory, version, export, listen.token)
        runner.run(serve_side_process(app, Listen(listen.host, listen.port, IDLE_SECONDS), pipe))
    if export is not None:
        export.stop()


def _start_export(
    memory: CounterMemory, otlp: OtlpMetrics | None, version: str, instance: str
) -> Any:
    """The export by OTLP, which needs a package that is imported here alone; None without."""
    if otlp is None:
        return None
    from engine.server.metrics_export import MetricsExport  # noqa: PLC0415 as above

    reader = TotalsReader(memory)  # one of its own, since the export runs in a thread
    started = (process_values(os.getppid()) or [time()])[-1]

    def read() -> tuple[Totals, Iterator[tuple[str, list[float]]]]:
        return reader.read(), _processes(reader)

    export = MetricsExport(otlp, read, version, started, instance)
    export.start()
    return export


class MetricsApp:
    """The ASGI application: /metrics, and nothing else; for those who have the `token`, if there is one."""

    def __init__(
        self, memory: CounterMemory, version: str, export: Any = None, token: str | None = None
    ) -> None:
        self._token = None if token is None else token.encode()
        self._export = export
        self._reader = TotalsReader(memory)
        self._exposition = Exposition(version)

    async def __call__(self, scope: Mapping[str, Any], _receive: Any, send: Send) -> None:
        """Respond to one request; a body that it has is not read."""
        fields = dict(scope["headers"])
        kind, more = b"text/plain", _NO_HEADERS
        if scope["path"] != "/metrics":
            status, body = 404, b"metrics are at /metrics\n"
        elif scope["method"] not in ("GET", "HEAD"):
            status, body, more = 405, b"use GET\n", [(b"allow", b"GET, HEAD")]
        elif not self._is_allowed(fields.get(b"authorization", b"")):
            status, body, more = 401, TOKEN_NEEDED, [(b"www-authenticate", b"Bearer")]
        else:
            as_openmetrics = b"application/openmetrics-text" in fields.get(b"accept", b"")
            kind = (OPEN_METRICS if as_openmetrics else PLAIN).encode()
            status, body = 200, self.text(as_openmetrics=as_openmetrics)
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        sent = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": sent, "more_body": False})

    def _is_allowed(self, authorization: bytes) -> bool:
        """Whether a header carries the token (RFC 6750, 2.1); the time that this takes does not depend on where they differ."""
        scheme, _, given = authorization.partition(b" ")
        if self._token is None:
            return True
        return scheme.lower() == b"bearer" and compare_digest(given.strip(b" "), self._token)

    def text(self, *, as_openmetrics: bool = False) -> bytes:
        """All metrics as they are now."""
        processes = _processes(self._reader)
        failed = 0 if self._export is None else self._export.failed
        return self._exposition.text(
            self._reader.read(), processes, failed, as_openmetrics=as_openmetrics
        )


def _processes(reader: TotalsReader) -> Iterator[tuple[str, list[float]]]:
    """Name and values of each process that runs."""
    parts = reader.live_parts().items()
    named = [("parent" if part == 0 else f"worker_{part}", pid) for part, pid in parts]
    for name, pid in [*named, ("metrics", os.getpid())]:
        values = process_values(pid)
        if values is not None:
            yield name, values
