"""Metrics read back from their text, and what `engine top` makes of them."""

from collections.abc import Iterator
from math import inf

import pytest

from engine.report.traffic import (
    TrafficRow,
    render_server,
    render_traffic,
    server_values,
    traffic_rows,
)
from engine.telemetry.exposition import Exposition
from engine.telemetry.families import (
    KEYS,
    LIMITS,
    PROVIDERS,
    REQUESTS,
    RETRIES,
    SERVER,
    TRAFFIC,
    WORKERS,
)
from engine.telemetry.memory import CounterMemory, ProcessCounters
from engine.telemetry.readings import Readings, parse_readings, quantile
from engine.telemetry.totals import TotalsReader
from tests.tables import each

ODD = 'a"b\\c\nd\u2028e\x85f\rg'


class Stand:
    def __init__(self, memory: CounterMemory) -> None:
        self.part, self.reader = ProcessCounters(memory, 1), TotalsReader(memory)

    def serve(self, provider: str, *, status: str = "200", count: int = 1) -> None:
        words, block = self.part.words, self.part.block
        words[block(REQUESTS, "chat", provider, "m*", status, "ok")] += count
        at = block(TRAFFIC, "chat", provider, "m*")
        words[at + 6] += count  # 0.25 to 0.5 s
        words[at + TRAFFIC.places["orqen_output_tokens_total"]] += 10 * count
        words[block(KEYS, "k")] += count

    def readings(self) -> Readings:
        processes = [("worker_1", [1.0, 2.0, 3.0, 4.0])]
        return parse_readings(Exposition("1").text(self.reader.read(), processes).decode())


@pytest.fixture
def stand() -> Iterator[Stand]:
    memory = CounterMemory(2)
    yield Stand(memory)
    memory.close()


def test_labels_survive_the_text(stand: Stand) -> None:
    stand.serve(ODD, count=3)
    assert [row.name for row in traffic_rows(stand.readings(), "provider")] == [ODD]
    with pytest.raises(ValueError, match="no text of metrics"):
        parse_readings("<html>")


def test_rows_are_sums_over_the_other_labels_the_busiest_first(stand: Stand) -> None:
    stand.serve("a")
    stand.serve("a", status="500")
    stand.serve("b", count=3)
    one, two = traffic_rows(stand.readings(), "provider")
    assert (one.name, one.requests, one.errors, one.output_tokens) == ("b", 3, 0, 30)
    assert (two.name, two.requests, two.errors, two.output_tokens) == ("a", 2, 1, 20)
    assert one.times() == [pytest.approx(0.375), pytest.approx(0.4875), None]
    table = render_traffic([one, two], "provider", None).splitlines()
    assert table[0].split()[:3] == ["provider", "requests", "errors"]
    assert table[2].split() == [
        "a",
        "2",
        "50.0%",
        "0",
        "20",
        "-",
        "375",
        "ms",
        "488",
        "ms",
        "-",
        "-",
    ]
    assert table[0].endswith("retries")
    [key] = traffic_rows(stand.readings(), "key")
    assert (key.name, key.requests) == ("k", 5)


def test_a_provider_that_only_fails_over_has_a_line(stand: Stand) -> None:
    words, block = stand.part.words, stand.part.block
    stand.serve("a", count=7)
    for result in ("429", "503"):
        words[block(RETRIES, "down", result)] += 2
    rows = traffic_rows(stand.readings(), "provider")
    assert [(row.name, row.requests, row.retries) for row in rows] == [("a", 7, 0), ("down", 0, 4)]
    lines = render_traffic(rows, "provider", None).splitlines()
    assert lines[2].split() == ["down", "0", "-", "0", "0", "-", "-", "-", "-", "4"]
    assert render_traffic(rows, "provider", 2.0).splitlines()[2].split()[-1] == "2.0"


def test_an_interval_is_the_difference_of_two_readings(stand: Stand) -> None:
    stand.serve("a", count=5)
    stand.serve("b", count=5)
    before = stand.readings()
    stand.serve("a", count=2)
    [row] = traffic_rows(stand.readings().since(before), "provider")
    assert (row.name, row.requests) == ("a", 2)
    assert render_traffic([row], "provider", 2.0).splitlines()[1].split()[1] == "1.0"
    [first] = traffic_rows(before.since(stand.readings()), "provider")
    assert first.requests == 5  # the server was started again meanwhile


def test_the_state_of_a_server(stand: Stand) -> None:
    words, block = stand.part.words, stand.part.block
    words[block(PROVIDERS, "a") + PROVIDERS.places["orqen_breaker_open"]] = 2
    words[block(SERVER) + SERVER.places["orqen_config_generation"]] = 3
    words[block(LIMITS, "refused")] = 4
    values = server_values(stand.readings())
    assert values["breakers"] == {"a": 2}
    assert (values["workers"], values["generation"], values["limits"]) == (1, 3, {"refused": 4})
    assert render_server(stand.readings()).splitlines() == [
        "1 worker, 0 requests under way, config generation 3",
        "breakers open: a (2 workers)",
    ]


def test_what_is_wrong_with_a_server_is_said(stand: Stand) -> None:
    words, block = stand.part.words, stand.part.block
    for group, name, value in (
        (WORKERS, "orqen_log_lines_lost_total", 1200),
        (WORKERS, "orqen_traces_lost_total", 1),
        (WORKERS, "orqen_in_flight_requests", 1),
        (SERVER, "orqen_worker_deaths_total", 2),
        (SERVER, "orqen_config_refused", 1),
        (SERVER, "orqen_tls_refused", 1),
        (SERVER, "orqen_tls_certificate_expiry_timestamp_seconds", 1_800_000_000),
    ):
        words[block(group) + group.places[name]] = value
    values = server_values(stand.readings())
    lost = values["log_lines_lost"], values["traces_lost"]
    assert (lost, values["is_refused"]) == ((1200, 1), True)
    assert render_server(stand.readings()).splitlines() == [
        "1 worker, 1 request under way, config generation 0",
        "what is on disk was refused: engine check says why",
        "TLS files on disk were refused, the previous ones stay in use: the log says why",
        "TLS certificate expires 2027-01-15 08:00 UTC",
        "lost since the start: 1,200 lines of the log, 1 trace, 2 workers that died",
    ]


def test_what_costs_less_than_a_cent_is_not_shown_as_nothing(stand: Stand) -> None:
    cost = stand.part.block(KEYS, "k") + KEYS.places["orqen_key_cost_usd_total"]
    shown = []
    for nano in (360_000, 12_500_000_000):
        stand.serve("a")
        stand.part.words[cost] = nano
        rows = traffic_rows(stand.readings(), "key")
        shown.append(render_traffic(rows, "key", None).split()[-1])
    assert shown == ["0.0004", "12.50"]


def test_a_cost_that_is_not_known_is_not_shown_as_none(stand: Stand) -> None:
    at = stand.part.block(TRAFFIC, "chat", "a", "m*")
    stand.serve("a")
    stand.part.words[at + TRAFFIC.places["orqen_unpriced_requests_total"]] = 1
    rows = traffic_rows(stand.readings(), "model")
    assert render_traffic(rows, "model", None).splitlines()[1].split()[5] == "unknown"
    stand.part.words[at + TRAFFIC.places["orqen_cost_usd_total"]] = 1_200_000_000
    rows = traffic_rows(stand.readings(), "model")
    assert render_traffic(rows, "model", None).splitlines()[1].split()[5:7] == [">", "1.20"]


def test_times_in_the_first_and_the_last_bucket_are_shown_by_their_bound() -> None:
    row = TrafficRow(
        "a",
        durations={0.005: 6, 1.0: 6, 600.0: 6, inf: 10},
        first_events={0.005: 0, 1.0: 4, inf: 4},
    )
    line = render_traffic([row], "provider", None).splitlines()[1]
    assert line.split()[6:-1] == ["<", "5", "ms", ">", "600.0", "s", "502", "ms"]


@each(
    ("buckets", "share", "value"),
    [
        ({}, 0.5, None),
        ({1.0: 0, float("inf"): 0}, 0.5, None),
        ({1.0: 4, 2.0: 8, float("inf"): 8}, 0.5, 1.0),
        ({1.0: 4, 2.0: 8, float("inf"): 8}, 0.75, 1.5),
        (
            {1.0: 0, float("inf"): 8},
            0.5,
            1.0,
        ),  # more than the last bound: that is all that is known
    ],
)
def test_quantiles_are_those_of_prometheus(
    buckets: dict[float, float], share: float, value: float | None
) -> None:
    assert quantile(buckets, share) == value
