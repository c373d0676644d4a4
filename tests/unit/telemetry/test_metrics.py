"""What processes count in shared memory, added up and written as text for Prometheus."""

import os
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from engine.telemetry.exposition import Exposition
from engine.telemetry.families import GROUPS, KEYS, OTHER, REQUESTS, TRAFFIC, WORKERS, Group
from engine.telemetry.memory import MAX_LABEL, CounterMemory, ProcessCounters
from engine.telemetry.processes import process_values
from engine.telemetry.server_counts import ServerCounts
from engine.telemetry.totals import Totals, TotalsReader

OF_WORKER = ("chat", "p", "gpt-*")


@pytest.fixture
def memory() -> Iterator[CounterMemory]:
    made = CounterMemory(4)
    yield made
    made.close()


def total(totals: Totals, group: Group, *labels: str) -> list[int]:
    return totals[GROUPS.index(group)][labels]


def exposed(memory: CounterMemory) -> dict[str, Metric]:
    text = Exposition("1").text(TotalsReader(memory).read(), [("parent", [1.5, 2, 3, 4])])
    return {metric.name: metric for metric in text_string_to_metric_families(text.decode())}


def test_parts_are_added_up(memory: CounterMemory) -> None:
    reader = TotalsReader(memory)
    for number in (1, 2):
        part = ProcessCounters(memory, number)
        part.words[part.block(KEYS, "k")] += number
        part.words[part.block(KEYS, f"k{number}")] += 1
    totals = reader.read()
    assert total(totals, KEYS, "k")[0] == 3
    assert total(totals, KEYS, "k1")[0] == total(totals, KEYS, "k2")[0] == 1
    part.words[part.block(KEYS, "later")] += 7  # the reader goes on where it was
    assert total(reader.read(), KEYS, "later")[0] == 7


def test_who_takes_the_part_of_a_dead_process_counts_on(memory: CounterMemory) -> None:
    first = ProcessCounters(memory, 1)
    first.words[first.block(KEYS, "k")] += 5
    first.words[first.block(WORKERS)] = 9  # a gauge: what it had under way is not under way now
    second = ProcessCounters(memory, 1)
    assert second.block(KEYS, "k") == first.block(KEYS, "k")
    second.words[second.block(KEYS, "k")] += 1
    second.words[second.block(KEYS, "new")] += 1
    totals = TotalsReader(memory).read()
    assert total(totals, KEYS, "k")[0] == 6
    assert total(totals, KEYS, "new")[0] == 1
    assert total(totals, WORKERS)[0] == 0


def test_what_a_dead_process_has_used_of_the_room_is_not_there_again(memory: CounterMemory) -> None:
    first = ProcessCounters(memory, 1)
    for number in range(KEYS.max_combinations):
        first.block(KEYS, f"{number}")
    second = ProcessCounters(memory, 1)
    assert second.block(KEYS, "0") != second.other(KEYS)
    assert second.block(KEYS, "more") == second.other(KEYS)


def test_series_are_bounded_and_the_rest_is_counted_as_other(memory: CounterMemory) -> None:
    part = ProcessCounters(memory, 1)
    for number in range(KEYS.max_combinations + 500):
        part.words[part.block(KEYS, f"{number} " + "é" * 300)] += 1
    blocks = TotalsReader(memory).read()[GROUPS.index(KEYS)]
    assert len(blocks) == KEYS.max_combinations + 1
    assert blocks[OTHER,][0] == 500
    assert max(len(label) for (label,) in blocks) == MAX_LABEL
    overflow = exposed(memory)["orqen_series_overflow"].samples[0]
    assert overflow.value == 500
    for group in GROUPS:  # and there is room for all of each
        for number in range(group.max_combinations + 1):
            words = part.block(group, *[f"{number}"] * len(group.labels))
            part.words[words + group.width - 1] += 1


def test_the_text_is_what_a_parser_of_prometheus_reads(memory: CounterMemory) -> None:
    part = ProcessCounters(memory, 1)
    odd = 'a"b\\c\n%d é'
    at = part.block(TRAFFIC, "chat", odd, "gpt-*")
    part.words[at + 7] += 2  # up to 1 s
    part.words[at + 17] += 1  # more than 600 s
    part.words[at + 18] += 900_250_000  # microseconds
    part.words[part.block(REQUESTS, "chat", odd, "gpt-*", "200", "ok")] += 3
    ProcessCounters(memory, 2).block(TRAFFIC, "chat", odd, "gpt-*")
    found = exposed(memory)
    labels = {"endpoint": "chat", "provider": odd, "model": "gpt-*"}
    assert found["orqen_requests"].samples[0].labels == labels | {"status": "200", "outcome": "ok"}
    assert found["orqen_requests"].samples[0].value == 3
    samples = found["orqen_request_duration_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
    assert (buckets["0.5"], buckets["1.0"], buckets["600.0"], buckets["+Inf"]) == (0, 2, 2, 3)
    assert {s.name.rpartition("_")[2]: s.value for s in samples[-2:]} == {"sum": 900.25, "count": 3}
    assert found["orqen_first_event_seconds"].samples == []  # 0 everywhere
    assert found["process_cpu_seconds"].samples[0].value == 1.5


def test_the_text_is_open_metrics_for_who_asks(memory: CounterMemory) -> None:
    part = ProcessCounters(memory, 1)
    part.words[part.block(TRAFFIC, *OF_WORKER)] += 1
    ServerCounts(ProcessCounters(memory, 0)).count_reload()
    text = Exposition("1").text(TotalsReader(memory).read(), [], as_openmetrics=True).decode()
    found = {metric.name: metric for metric in open_metrics.text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]  # it has no types
    assert found["orqen_config_reloads"].samples[0].value == 1
    assert found["orqen_request_duration_seconds"].type == "histogram"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_kernel_says_what_a_process_takes() -> None:
    cpu, resident, files, start = process_values(os.getpid()) or [0.0] * 4
    assert cpu > 0.1
    assert resident > 10_000_000
    assert files >= 3
    assert 1_700_000_000 < start < 4_000_000_000
    assert process_values(2**22 + 1) is None
