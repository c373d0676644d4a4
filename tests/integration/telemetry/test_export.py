"""The export: what a collector that is away, slow or busy does to it, and never to a request."""

import gzip
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from engine.telemetry.otel_environment import TRACES, delay_of, pairs_of, resource_values, url_of
from engine.telemetry.otlp import BATCH, FLUSH_SECONDS, MAX_WAITING, STOP_SECONDS, OtlpQueue
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
        end = time.monotonic() + 10
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
        assert time.monotonic() - started < 5
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
    end = time.monotonic() + 10
    while not queue.dropped and time.monotonic() < end:
        time.sleep(0.01)
    queue.put(14)
    queue.stop()
    assert (taking.numbers, queue.dropped) == ([14], 1)
    assert said == ["1 traces were lost; of the collector: ValueError"]


def test_the_variables_of_opentelemetry() -> None:
    assert pairs_of("a=b, c=d%20e,,no,=x") == {"a": "b", "c": "d e"}
    assert resource_values({}, "1")["service.name"] == "orqen"
    given = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,service.instance.id=x,zone=z"}
    assert resource_values(given, "1")["service.name"] == "a"
    assert resource_values(given, "1")["service.instance.id"] != "x", "workers must differ"
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
