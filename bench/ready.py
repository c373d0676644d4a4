"""What each measurement begins with: the upstreams, a peer that is ready, and as many requests as it takes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import machine
from bench.load import LoadError, wrk
from bench.peers import (
    FIRST_PORT,
    FOLDER,
    PLAIN,
    ROOT,
    SINK,
    TLS,
    Peer,
    Running,
    Setting,
    UnavailableError,
    nginx_file,
    running,
    system,
)

Figures = dict[str, float]
ANSWER = (
    '{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.0023064255,-0.009327292,'
    "0.015797347,-0.0077780345,-0.0046922187,0.0123456,0.00123456,-0.0123456]}],"
    '"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}'
)
SETTLING = 3  # seconds

_port = iter(range(FIRST_PORT + 100, FIRST_PORT + 800))


@contextmanager
def upstreams() -> Iterator[None]:
    """Both upstreams, on the core of the load."""
    cert = ROOT / "tests/integration/upstream/tls"
    more = f"""
  client_body_buffer_size 4m;
  server {{ listen 127.0.0.1:{PLAIN} backlog=4096; listen 127.0.0.1:{TLS} ssl backlog=4096;
    ssl_certificate {cert}/cert.pem; ssl_certificate_key {cert}/key.pem;
    location / {{ add_header x-request-id req-1; return 200 '{ANSWER}'; }} }}"""
    commands = [
        [system("nginx"), "-e", f"{FOLDER}/up.err", "-c", nginx_file("upstream", more)],
        [sys.executable, "-m", "bench.upstream", str(SINK)],
    ]
    started = [subprocess.Popen(machine.pinned(machine.LOAD, c), cwd=ROOT) for c in commands]
    time.sleep(1.0)
    try:
        if any(process.poll() is not None for process in started):
            raise UnavailableError("an upstream did not start; is a port of the bench taken?")
        yield
    finally:
        for process in started:
            process.terminate()
            process.wait()


@contextmanager
def ready(peer: Peer, setting: Setting | None = None) -> Iterator[Running]:
    """A started peer on a port of its own."""
    with running(peer, next(_port), setting or Setting()) as found:
        yield found


def saturate(
    found: Running, path: str, body: bytes, connections: int, seconds: int
) -> tuple[float, float]:
    """CPU microseconds for each request, and requests a second, with as many as it takes.

    By then the peer has been busy for long enough to have settled into it.
    """
    url = f"http://127.0.0.1:{found.port}{path}"
    wrk(url, body, found.headers, connections, SETTLING)
    before = machine.cpu_seconds(found.pid)
    seen = wrk(url, body, found.headers, connections, seconds)
    if not seen.requests:
        raise LoadError(f"it served no request in {seconds} s")
    return (machine.cpu_seconds(found.pid) - before) * 1e6 / seen.requests, seen.rate
