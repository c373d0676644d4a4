"""The HTTP server inside a worker: Granian, on a loop that is ours.

Its parser and its I/O run in threads of Rust; an application is called on the loop it was started
on. It closes its port when it is asked to stop and returns once the requests under way have ended.
"""

import asyncio
import contextlib
import signal
import socket
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.embed import Server

from engine.plan.tls import ListenerTls, TlsVersion
from engine.server.connections import max_connections

IDLE_SECONDS = 620  # load balancers keep connections for 60 to 600
BUFFER_BYTES = 524288
HEADERS_BYTES = (
    131072  # in HTTP/2, with 32 for each header (RFC 9113, 6.5.2); HPACK sends them in less
)
BACKLOG = 2048
FLUSH_SECONDS = 1.0
_PROTOCOLS = {TlsVersion.TLS_1_2: SSLProtocols.tls12, TlsVersion.TLS_1_3: SSLProtocols.tls13}


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a server listens, and how many seconds a connection may be idle there."""

    host: str
    port: int
    idle_seconds: int = IDLE_SECONDS
    tls: ListenerTls | None = None


def create_server(app: Any, listen: Listen) -> Server:
    """A server of the ASGI application `app`; `await serve()` runs it, `stop()` ends it."""
    tls = listen.tls
    return Server(
        app,
        address=socket.gethostbyname(listen.host) if ":" not in listen.host else listen.host,
        port=listen.port,
        interface=Interfaces.ASGINL,
        http=_http_mode(tls),
        websockets=False,
        backlog=BACKLOG,
        # `connections` closes what is above its own, lower bound.
        backpressure=2 * max_connections(),
        http1_settings=HTTP1Settings(
            header_read_timeout=listen.idle_seconds * 1000, max_buffer_size=BUFFER_BYTES
        ),
        http2_settings=HTTP2Settings(max_headers_size=HEADERS_BYTES),
        log_level=LogLevels.error,  # it warns that embedding is new
        log_access=False,  # it prints decoded paths, which can forge lines
        **(_tls_options(tls) if tls else {}),
    )


def _tls_options(tls: ListenerTls) -> dict[str, Any]:
    return {
        "ssl_cert": tls.certificate,
        "ssl_key": tls.key,
        "ssl_protocol_min": _PROTOCOLS[tls.oldest],
        "ssl_ca": tls.client_ca,
        "ssl_client_verify": tls.client_ca is not None,
    }


def _http_mode(tls: ListenerTls | None) -> HTTPModes:
    """HTTP/2 by ALPN alone: in the clear, `auto` waits forever on a silent connection."""
    return HTTPModes.auto if tls and tls.http2 else HTTPModes.http1


def idle_limit(listen: Listen) -> float | None:
    """After how many seconds this server has to be helped to close an idle connection, if ever.

    It has no such limit for HTTP/2.
    """
    return listen.idle_seconds if _http_mode(listen.tls) is HTTPModes.auto else None


def new_loop() -> asyncio.AbstractEventLoop:
    """The event loop of a worker."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415 not there on Windows

    return uvloop.new_event_loop()


def serve_alone(app: Any, listen: Listen) -> None:
    """Serve `app` from this process until SIGTERM or SIGINT; requests under way get a second."""
    with asyncio.Runner(loop_factory=new_loop) as runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(_serve_until_signal(create_server(app, listen)))


async def _serve_until_signal(server: Server) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stopped.set)
    await serve_until(server, stopped)


def name_process(name: str) -> None:
    """Give this process a name for those who list processes (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name, "ascii")


async def serve_side_process(app: Any, listen: Listen, pipe: Connection) -> None:
    """Serve `app` until the parent writes to `pipe` or closes it."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), stopped.set)
    await serve_until(create_server(app, listen), stopped)


async def serve_until(server: Server, stopped: asyncio.Event) -> None:
    """Serve until `stopped` is set; requests under way get a second."""
    serving = asyncio.ensure_future(server.serve())
    waiting = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    server.stop()  # type: ignore[no-untyped-call]
    waiting.cancel()
    await asyncio.wait({serving}, timeout=FLUSH_SECONDS)
    if serving.done():
        serving.result()
