"""The export: what a collector that is away, slow or busy does to it, and never to a request."""

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from engine.plan.otlp_headers import headers_of, pairs_of, unusable_headers
from engine.telemetry.otel_environment import (
    TRACES,
    delay_of,
    resource_values,
    url_of,
)
from engine.telemetry.otlp import (
    BATCH,
    BROKEN,
    FLUSH_SECONDS,
    MAX_WAITING,
    RETRY_SECONDS,
    SILENT,
    STOP_SECONDS,
    OtlpQueue,
    new_client,
    post,
    retry_after,
)
from tests.certificates import issue
from tests.otlp import Collector, collecting
from tests.servers import free_port


def encode(items: Sequence[int]) -> bytes:
    return b" ".join(b"%d" % item for item in items)


class Taking(Collector):
    """Takes numbers in place of spans."""

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        time.sleep(self.delay)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.heads.append({"numbers": gzip.decompress(body).decode()})
        return status

    @property
    def numbers(self) -> list[int]:
        return [int(n) for head in self.heads for n in head["numbers"].split()]


@contextmanager
def exporting(port: int, said: list[str], rejected: int = 0) -> Iterator[OtlpQueue[int]]:
    queue = OtlpQueue(encode, lambda _: rejected, {}, said.append, delay=0.01)
    queue.url = f"http://127.0.0.1:{port}/v1/traces"
    queue.start()
    try:
        yield queue
    finally:
        started = time.monotonic()
        queue.stop()
        assert time.monotonic() - started < STOP_SECONDS + 5
    assert threading.current_thread().name != "otlp"


def comes(check: Callable[[], bool]) -> bool:
    """Whether `check` holds within a minute."""
    end = time.monotonic() + 60
    while not (found := check()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


@pytest.fixture
def taking() -> Iterator[Taking]:
    with collecting(kind=Taking) as collector:
        assert isinstance(collector, Taking)
        yield collector


def test_everything_arrives_once_and_in_batches(taking: Taking) -> None:
    said: list[str] = []
    with exporting(taking.port, said) as queue:
        for number in range(3 * BATCH):
            queue.put(number)
    assert sorted(taking.numbers) == list(range(3 * BATCH))
    assert max(len(head["numbers"].split()) for head in taking.heads) <= BATCH
    assert (queue.exported, queue.dropped, said) == (3 * BATCH, 0, [])


def test_a_busy_collector_gets_it_again(taking: Taking) -> None:
    taking.statuses = [503]
    said: list[str] = []
    with exporting(taking.port, said) as queue:
        queue.put(7)
        end = time.monotonic() + 60
        while not taking.numbers and time.monotonic() < end:
            time.sleep(0.01)
    assert (taking.numbers, queue.exported, queue.dropped, said) == ([7], 1, 0, [])


@pytest.mark.parametrize("status", [400, 401, 413, 500])
def test_what_a_collector_refuses_is_lost_and_counted(taking: Taking, status: int) -> None:
    taking.statuses = [status]
    said: list[str] = []
    with exporting(taking.port, said) as queue:
        queue.put(7)
    assert (taking.numbers, queue.exported, queue.dropped) == ([], 0, 1)
    assert said == [f"1 traces were lost; of the collector: it responded {status}"]


def test_losses_are_said_once_a_minute_and_all_are_counted(taking: Taking) -> None:
    taking.statuses = [400] * 3
    said: list[str] = []
    with exporting(taking.port, said) as queue:
        for number in range(1, 4):
            queue.put(number)
            assert comes(lambda: queue.dropped == number)  # noqa: B023 called at once
    assert said == ["1 traces were lost; of the collector: it responded 400"]


def test_many_traces_are_exported_before_their_time(taking: Taking) -> None:
    queue = OtlpQueue(encode, lambda _: 0, {}, lambda _: None, delay=3600)
    queue.url = f"http://127.0.0.1:{taking.port}/v1/traces"
    queue.start()
    for number in range(BATCH + 1):
        queue.put(number)
    assert comes(lambda: queue.exported == BATCH + 1)
    queue.stop()


def test_a_part_that_it_rejects_is_counted(taking: Taking) -> None:
    said: list[str] = []
    with exporting(taking.port, said, rejected=1) as queue:
        queue.put(1)
        queue.put(2)
    assert (queue.exported + queue.dropped, bool(queue.dropped)) == (2, True)


def test_a_collector_that_is_away_holds_up_nobody() -> None:
    said: list[str] = []
    with exporting(free_port(), said) as queue:
        started = time.monotonic()
        for number in range(MAX_WAITING + 2 * BATCH):
            queue.put(number)
        assert time.monotonic() - started < 60
        assert queue.dropped > 0
    assert queue.exported == 0
    assert queue.dropped == MAX_WAITING + 2 * BATCH
    assert said[0].endswith("it cannot be reached")
    assert "127.0.0.1" not in said[0]


def test_a_slow_collector_delays_the_end_only_so_long(taking: Taking) -> None:
    taking.delay = STOP_SECONDS + 1
    said: list[str] = []
    with exporting(taking.port, said) as queue:
        queue.put(1)
        time.sleep(0.05)
        queue.put(2)
        started = time.monotonic()
    assert time.monotonic() - started < STOP_SECONDS + 1


def test_a_bug_of_the_encoding_ends_nothing(taking: Taking) -> None:
    said: list[str] = []

    def wrong(items: Sequence[int]) -> bytes:
        if 13 in items:
            raise ValueError("a secret")
        return encode(items)

    queue = OtlpQueue(wrong, lambda _: 0, {}, said.append, delay=0.01)
    queue.url = f"http://127.0.0.1:{taking.port}/v1/traces"
    queue.start()
    queue.put(13)
    end = time.monotonic() + 60
    while not queue.dropped and time.monotonic() < end:
        time.sleep(0.01)
    queue.put(14)
    queue.stop()
    assert (taking.numbers, queue.dropped) == ([14], 1)
    assert said == ["1 traces were lost; of the collector: ValueError"]


def test_the_variables_of_opentelemetry() -> None:
    assert pairs_of("a=b, c=d%20e,,no,=x") == {"a": "b", "c": "d e"}
    assert resource_values({}, "1", "i")["service.name"] == "orqen"
    given = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,service.instance.id=x,zone=z"}
    assert resource_values(given, "1", "i")["service.name"] == "a"
    assert resource_values(given, "1", "i")["service.instance.id"] == "i", "workers must differ"
    assert url_of(TRACES, None, {}) == "http://localhost:4318/v1/traces"
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1/"}
    assert url_of(TRACES, None, environ) == "http://c:1/v1/traces"
    assert url_of(TRACES, "http://d:2/otlp", environ) == "http://d:2/otlp/v1/traces"
    environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://e:3/x"
    assert url_of(TRACES, None, environ) == "http://e:3/x"
    assert delay_of({"OTEL_BSP_SCHEDULE_DELAY": "20"}, 1.0) == 0.02
    assert [delay_of({"OTEL_BSP_SCHEDULE_DELAY": t}, FLUSH_SECONDS) for t in ("", "0", "x")] == [
        FLUSH_SECONDS
    ] * 3


def test_headers_that_cannot_be_sent_are_left_out_and_named() -> None:
    text = "a=b,c=T%C3%B6ken,content-length=5,Content-Type=x,d=e%0Af,bad name=1,secret,x=y"
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": text}
    assert headers_of(environ) == {"a": "b", "x": "y"}
    named = ["`c`", "`content-length`", "`Content-Type`", "`d`", "part 6", "part 7"]
    assert unusable_headers(environ) == named
    assert unusable_headers({}) == []


@contextmanager
def responding(*parts: bytes, pause: float = 0.0) -> Iterator[int]:
    """A collector that sends each connection the same bytes, with a pause after each part."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.recv(65536)
                        for part in parts:
                            connection.sendall(part)
                            time.sleep(pause)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (b"HTTP/1.1 503 x\r\nretry-after: \xb2\r\ncontent-length: 0\r\n\r\n", "it responded 503"),
        (b"HTTP/1.1 503 x\r\ncontent-length: -1\r\n\r\n", BROKEN),
        (b"HTTP/1.1 204 x\r\nnot a header\r\n\r\n", BROKEN),
        (b"\xff\x00", BROKEN),
        (b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nhalf", BROKEN),
        (b"", BROKEN),
    ],
)
def test_no_response_raises(head: bytes, problem: str) -> None:
    with responding(head) as port, new_client() as client:
        reply = post(client, f"http://127.0.0.1:{port}/", b"", {}, 5.0)
    assert (reply.problem, reply.wait) == (problem, 0.0)


def test_a_collector_that_is_silent_is_not_said_to_be_away() -> None:
    with responding(b"HTTP/1.1 200 OK\r\n", pause=2.0) as port, new_client() as client:
        assert post(client, f"http://127.0.0.1:{port}/", b"", {}, 0.1).problem == SILENT


@pytest.mark.parametrize("headers", [{"a": "T\xf6ken"}, {"a": "b\nc"}, {"content-length": "5"}])
def test_no_header_raises(headers: dict[str, str]) -> None:
    with responding(b"") as port, new_client() as client:
        assert post(client, f"http://127.0.0.1:{port}/", b"", headers, 5.0).problem


def test_a_slow_body_ends_with_the_time_of_the_export() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    with responding(head, *[b"x"] * 20, pause=0.1) as port, new_client() as client:
        started = time.monotonic()
        assert post(client, f"http://127.0.0.1:{port}/", b"", {}, 0.3).problem == ""
        assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3), ("90", RETRY_SECONDS), ("9" * 5000, RETRY_SECONDS), ("\xb2", 0), ("-1", 0), ("", 0)],
)
def test_a_wait_is_bounded(text: str, seconds: float) -> None:
    assert retry_after(text) == seconds


def test_a_batch_is_not_kept_waiting_longer_than_it_is_tried() -> None:
    head = b"HTTP/1.1 429 x\r\nretry-after: 90\r\ncontent-length: 0\r\n\r\n"
    said: list[str] = []
    with responding(head) as port:
        queue = OtlpQueue(encode, lambda _: 0, {}, said.append, delay=0.01)
        queue.retry = 0.2
        queue.url = f"http://127.0.0.1:{port}/v1/traces"
        queue.start()
        queue.put(7)
        end = time.monotonic() + 60
        while not queue.dropped and time.monotonic() < end:
            time.sleep(0.01)
        assert (queue.dropped, said) == (
            1,
            ["1 traces were lost; of the collector: it responded 429"],
        )
        queue.stop()


def test_the_environment_names_the_certificates_of_a_collector(tmp_path: Path) -> None:
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issue().write(*files)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    with collecting(Taking, context) as collector:
        url = f"https://127.0.0.1:{collector.port}/v1/traces"
        trusting = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(files[0])}
        missing = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "none.pem")}
        bad = "its certificate is not trusted"
        for environ, problem in ((trusting, ""), ({}, bad), (missing, bad)):
            with new_client(environ) as client:
                assert post(client, url, gzip.compress(b"1"), {}, 5.0).problem == problem


def test_what_a_stop_loses_is_counted(taking: Taking) -> None:
    taking.delay = STOP_SECONDS + 1
    queue = OtlpQueue(encode, lambda _: 0, {}, lambda _: None, delay=0.01)
    queue.url = f"http://127.0.0.1:{taking.port}/v1/traces"
    queue.start()
    queue.put(1)
    time.sleep(0.3)
    queue.put(2)
    assert queue.stop() == queue.dropped == 2
