"""httpx2 for servers of this machine: no client loads CA certificates (30 ms each).

Gateways speak HTTP/1.1 in the clear, or HTTP/2 where IS_HTTP2; then they respond in no other version.
"""

import http.client
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import httpx2

from engine.server.ports import Pollable

PATIENCE = 30.0  # seconds: a busy machine takes its time
IS_HTTP2 = bool(os.environ.get("ORQEN_TEST_HTTP2"))  # see `tests.http2`
CLOSE = None if IS_HTTP2 else "close"  # the `connection` of a response after which it is closed
ConnectError = httpx2.ConnectError
RemoteProtocolError = httpx2.RemoteProtocolError


def _check(response: httpx2.Response) -> None:
    is_http2 = response.http_version == "HTTP/2"
    assert is_http2 == (response.request.url.scheme == "https"), response.http_version


async def _check_later(response: httpx2.Response) -> None:
    _check(response)


def _hooks(check: Any) -> dict[str, Any]:
    return {"http2": True, "event_hooks": {"response": [check]}} if IS_HTTP2 else {}


# One context for all clients, and no look at the proxies of this machine: half of what a client costs.
_COMMON: dict[str, Any] = {
    "verify": httpx2.create_ssl_context(verify=False),
    "trust_env": False,
    "timeout": PATIENCE,
}
AsyncClient = partial(httpx2.AsyncClient, **_COMMON, **_hooks(_check_later))
Client = partial(httpx2.Client, **_COMMON, **_hooks(_check))


def request(method: str, url: str, *, timeout: float = PATIENCE, **more: Any) -> httpx2.Response:
    with Client(timeout=timeout) as client:
        return client.request(method, url, **more)


@contextmanager
def stream(
    method: str, url: str, *, timeout: float = PATIENCE, **more: Any
) -> Iterator[httpx2.Response]:
    with Client(timeout=timeout) as client, client.stream(method, url, **more) as response:
        yield response


delete = partial(request, "DELETE")
get = partial(request, "GET")
options = partial(request, "OPTIONS")
post = partial(request, "POST")


def connection(port: int, timeout: float = 60) -> Any:
    """A connection to the gateway on `port`, for one request after another: an HTTPConnection."""
    if not IS_HTTP2:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    from tests.http2 import Connection  # noqa: PLC0415 needs h2

    return Connection(port, timeout)


def wait_until_ready(process: Pollable, port: int, path: str, seconds: float = 60) -> bool:
    """Whether GET `path` over HTTP/2 returns 200 while `process` runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx2.TransportError):
            if get(f"https://127.0.0.1:{port}{path}").status_code == http.client.OK:
                return True
        time.sleep(0.02)
    return False
