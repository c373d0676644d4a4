"""What the bench makes of the words of its tools, and of its own figures."""

import json
from pathlib import Path

import pytest

from bench import machine
from bench.compare import each_start, summary
from bench.load import LoadError, percentile, read_h2load, read_wrk
from bench.peers import PEERS
from bench.report import TARGETS, number, render, replaced, table, targets_table
from bench.scenarios import SCENARIOS
from bench.streams import request
from tests.servers import ROOT
from tests.tables import each

WRK = """Running 4s test @ http://127.0.0.1:9101/v1/embeddings
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.38ms  715.12us  15.94ms   83.00%
    Req/Sec    46.39k     2.70k   47.00k    70.00%
  Latency Distribution
     50%  778.00us
     75%    1.90ms
     90%    2.40ms
     99%    5.40ms
  186000 requests in 4.02s, 84.80MB read
Requests/sec:  46389.00
"""


def test_wrk_is_read() -> None:
    seen = read_wrk(WRK)
    assert (seen.requests, seen.seconds, seen.p50, seen.p99) == (186000, 4.02, 0.778, 5.4)
    assert round(seen.rate) == 46269


@each(
    "text",
    ["", WRK + "  Non-2xx or 3xx responses: 7\n", WRK + "  Socket errors: connect 0, read 3\n"],
)
def test_a_run_with_errors_gives_no_figure(text: str) -> None:
    with pytest.raises(LoadError):
        read_wrk(text)


def test_h2load_is_read() -> None:
    assert read_h2load("1764\t200\t812\n1765\t200\t799\n") == [812, 799]
    for bad in ("", "1764\t502\t812\n", "1764\t-1\t812\n"):
        with pytest.raises(LoadError):
            read_h2load(bad)


def test_percentiles() -> None:
    assert [percentile(list(range(100)), share) for share in (0.5, 0.99, 1.0)] == [50, 99, 99]


def test_cpu_time_is_read_whatever_the_process_is_called() -> None:
    fields = ["S", *["0"] * 10, "250", "50", *["0"] * 30]
    assert machine.cpu_of_stat(f"7 (a) b (c) {' '.join(fields)}") == 300 / machine.TICKS


def test_a_request_is_framed() -> None:
    raw = request("/x", {"a": "b"}, "text/plain", b"body")
    assert raw.endswith(b"a: b\r\ncontent-length: 4\r\n\r\nbody")


def test_a_table_is_aligned() -> None:
    assert table(["", "CPU"], [["nginx", "1.00"], ["x", "10"]]).splitlines() == [
        "|       |  CPU |",
        "|-------|-----:|",
        "| nginx | 1.00 |",
        "| x     |   10 |",
    ]


def test_numbers_have_three_figures() -> None:
    shown = [number(v) for v in (12345.6, 123.4, 12.34, 1.234, None)]
    assert shown == ["12,346", "123", "12.3", "1.23", "-"]


def test_a_target_without_figures_is_not_measured() -> None:
    assert targets_table({}).count("not measured") == len(TARGETS)


def test_scenarios_name_known_peers() -> None:
    known = {peer.name for peer in PEERS}
    assert all(set(scenario.peers) <= known for scenario in SCENARIOS)


def test_what_cannot_be_measured_is_told() -> None:
    shown = render(
        {
            "date": "2026-01-01",
            "machine": {"cpu": "x"},
            "versions": {"engine": "1"},
            "rows": {"tls": {"engine": {"requests_per_second": 1.0, "cpu_us": 2.0}}},
            "missing": {"small/portkey": "answers 500"},
        }
    )
    assert "portkey: answers 500" in shown
    assert "| engine |       1.00 |   2.00 |" in shown


def test_the_page_is_that_of_the_figures() -> None:
    """docs/performance.md shows docs/performance.json, and nothing by hand between its marks."""
    page = (ROOT / "docs/performance.md").read_text("utf-8")
    result = json.loads(Path(ROOT / "docs/performance.json").read_text("utf-8"))
    assert page == replaced(page, render(result))


def test_starts_of_a_comparison_are_summed_up() -> None:
    assert summary("small", [1.02, 1.0, 1.01]) == (
        "small: +1.0 % CPU, standard error 0.6 % (+2.0 +0.0 +1.0)\n"
    )
    assert "standard error nan %" in summary("small", [0.98])


def test_a_comparison_shows_each_start_when_it_has_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ratios(start: int) -> list[float]:
        if start == 2:
            raise LoadError("h2load was killed")
        return [1.5, 1.02 - start / 100, 0.5]

    with pytest.raises(LoadError):
        each_start("small", 3, ratios)
    assert capsys.readouterr().err == "small: start 1 of 3: +2.0 %\nsmall: start 2 of 3: +1.0 %\n"
    assert each_start("small", 2, ratios) == [1.02, 1.01]
