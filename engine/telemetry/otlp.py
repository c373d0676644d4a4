"""Sends OTLP over HTTP (protobuf, gzip), from a thread and outside of any request.

A request only adds to a queue. When the collector is away or slow, what the queue cannot hold is
lost and counted; no request waits for it or fails.
"""

import gzip
import os
import random
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

import httpx2

T = TypeVar("T")
Client = httpx2.Client
MAX_WAITING = 4096  # requests whose spans wait; about 2 KiB each
BATCH = 100  # at a time: the interpreter serves no request while a batch is encoded, some 3 ms
FLUSH_SECONDS = 1.0
TIMEOUT_SECONDS = 5.0  # for one try, also for the first in which a connection is made
PAUSE_SECONDS = 0.5  # before the second try, and twice as long each time
RETRY_SECONDS = 20.0  # after which a batch is lost
STOP_SECONDS = 2.0  # for all that waits when the worker ends
REPORT_SECONDS = 60.0  # from one message to the next
MAX_RESPONSE = 64 * 1024  # bytes that are read of a response
ACCEPTED = range(200, 300)
BAD_CERTIFICATE = "its certificate is not trusted"
UNREACHABLE = "it cannot be reached"
SILENT = "it did not respond in time"
BROKEN = "its response is incomplete, or not HTTP"
_WITHOUT_RESPONSE = frozenset({BAD_CERTIFICATE, UNREACHABLE, SILENT, BROKEN})  # worth another try
REPEATABLE = frozenset({429, 502, 503, 504})  # statuses of OTLP/HTTP that ask for another try

OTLP_HEADERS = {
    "content-type": "application/x-protobuf",
    "content-encoding": "gzip",
    "accept-encoding": "identity",
}


def new_client(environ: Mapping[str, str] = os.environ) -> Client:
    """A client for a collector, with the CA certificates of the environment. It takes no proxy from there.

    A file that cannot be read leaves those of the system, so that exports say that the certificate is not trusted.
    """
    context = ssl.create_default_context()
    with suppress(OSError):  # SSLError is one
        context = ssl.create_default_context(cafile=ca_file(environ))
    return httpx2.Client(timeout=TIMEOUT_SECONDS, trust_env=False, verify=context)


def ca_file(environ: Mapping[str, str]) -> str | None:
    """The PEM file that a variable of OpenTelemetry names; OpenSSL itself honours SSL_CERT_FILE without it."""
    return environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE") or None


def _problem(error: Exception) -> str:
    """Why there is no response, for an operator."""
    if _is_of_certificate(error):
        return BAD_CERTIFICATE
    if isinstance(error, (httpx2.ReadTimeout, httpx2.WriteTimeout)):
        return SILENT
    return BROKEN if isinstance(error, httpx2.RemoteProtocolError) else UNREACHABLE


def _is_of_certificate(error: BaseException | None) -> bool:
    """Whether the certificate of the collector is why, however deep it is wrapped."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


class Reply(NamedTuple):
    """The outcome of one try: `problem` is "" where the collector took it, `wait` its `retry-after`."""

    problem: str
    status: int | None = None
    body: bytes = b""
    wait: float = 0.0


def post(
    client: httpx2.Client, url: str, body: bytes, headers: Mapping[str, str], timeout: float
) -> Reply:
    """One try. Raises nothing, whatever the collector responds; the body of a response is read for `timeout` seconds."""
    end = monotonic() + timeout
    try:
        with client.stream("POST", url, content=body, headers=headers, timeout=timeout) as response:
            text = b""
            for chunk in response.iter_raw():
                text += chunk
                if len(text) > MAX_RESPONSE or monotonic() > end:
                    break
            status = response.status_code
            wait = retry_after(response.headers.get("retry-after", ""))
            return Reply("" if status in ACCEPTED else f"it responded {status}", status, text, wait)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return Reply(_problem(error))
    except Exception as error:  # noqa: BLE001 no response may end the thread that exports
        return Reply(type(error).__name__)


def retry_after(text: str) -> float:
    """The seconds of a `retry-after` (RFC 9110, 10.2.3), RETRY_SECONDS at most; 0 for anything else."""
    is_number = text.isascii() and text.isdigit()
    return min(float(text), RETRY_SECONDS) if is_number else 0.0


class OtlpQueue(Generic[T]):
    """A bounded queue and the thread that exports it.

    `encode` makes the body of a request of some items, and runs in the thread. `count_rejected`
    reads from the body of a response how many of them the collector refused. `report` takes a
    message to the operator and is called in the thread as well. `delay` is from one export to the
    next, and `retry` how long one batch is tried, in seconds. `exported` and `dropped` count items.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[T]], bytes],
        count_rejected: Callable[[bytes], int],
        headers: Mapping[str, str],
        report: Callable[[str], None],
        delay: float = FLUSH_SECONDS,
    ) -> None:
        self.url = ""
        self._delay = delay
        self.retry = RETRY_SECONDS
        self.exported = 0
        self.dropped = 0
        self._encode = encode
        self._count_rejected = count_rejected
        self._headers = {**OTLP_HEADERS, **headers}
        self._report = report
        self._waiting: deque[T] = deque()
        self._sending = 0
        self._filled = threading.Event()
        self._stopping = threading.Event()
        self._end = float("inf")
        self._reported_at = -REPORT_SECONDS
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    def put(self, item: T) -> None:
        """Add an item; lost if MAX_WAITING wait already."""
        waiting = len(self._waiting)
        if waiting >= MAX_WAITING:
            self.dropped += 1
            return
        self._waiting.append(item)
        if waiting == BATCH:
            self._filled.set()

    def start(self) -> None:
        """Begin to export. A thread does not survive a fork, so this is called after it."""
        self._thread.start()

    def stop(self) -> int:
        """Export what waits, for STOP_SECONDS at most; how many are lost then, not yet reported."""
        self._end = monotonic() + STOP_SECONDS
        self._stopping.set()
        self._filled.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        lost = len(self._waiting) + (self._sending if self._thread.is_alive() else 0)
        self.dropped += lost
        return lost

    def _run(self) -> None:
        with new_client() as client:
            while not self._stopping.is_set():
                self._filled.wait(self._delay)
                self._filled.clear()
                self._flush(client)
            self._flush(client)

    def _flush(self, client: httpx2.Client) -> None:
        while self._waiting and monotonic() < self._end:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._sending = len(batch)
            self._send(client, batch)
            self._sending = 0

    def _send(self, client: httpx2.Client, batch: Sequence[T]) -> None:
        """Send a batch; what the collector does not take is counted as lost."""
        lost = len(batch)
        try:
            body = gzip.compress(self._encode(batch), compresslevel=1)
            lost, problem = self._post(client, body, lost)
        except Exception as error:  # noqa: BLE001 a bug, or a collector that no client understands
            problem = type(error).__name__
        self.exported += len(batch) - lost
        self.dropped += lost
        if lost:
            self._complain(problem)

    def _post(self, client: httpx2.Client, body: bytes, count: int) -> tuple[int, str]:
        """How many of `count` items are lost, and why."""
        end = min(monotonic() + self.retry, self._end)
        pause = PAUSE_SECONDS
        while True:
            timeout = max(0.1, min(TIMEOUT_SECONDS, end - monotonic()))
            reply = post(client, self.url, body, self._headers, timeout)
            if not reply.problem:
                return min(count, self._count_rejected(reply.body)), "it refused a part"
            if reply.status not in REPEATABLE and reply.problem not in _WITHOUT_RESPONSE:
                return count, reply.problem
            pause = min(max(pause, reply.wait), end - monotonic())
            if self._stopping.wait(max(0.0, pause)) or monotonic() >= end:
                return count, reply.problem
            pause *= 2 * random.uniform(0.8, 1.2)  # noqa: S311 so that workers do not try all at once

    def _complain(self, problem: str) -> None:
        """Say what is lost, once in REPORT_SECONDS; neither URL nor headers, which may have secrets."""
        if monotonic() - self._reported_at >= REPORT_SECONDS:
            self._reported_at = monotonic()
            self._report(f"{self.dropped} traces were lost; of the collector: {problem}")
