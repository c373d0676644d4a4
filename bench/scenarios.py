"""What is measured, one function for each scenario: a peer and seconds in, figures out.

CPU is that of the peer's processes alone, in microseconds; latencies are in milliseconds.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench import machine
from bench.everything import everything
from bench.load import LoadError, latencies, percentile
from bench.peers import PLAIN, ROOT, SINK, SMALL, Peer, Running, Setting
from bench.ready import Figures, ready, saturate

LARGE = b'{"model":"sink-1","messages":[{"role":"user","content":"hi"}],"user":"large"}'
VISION = b'{"model":"sink-1","messages":[{"role":"user","content":"data:image/png;base64,%b"}]}' % (
    b"iVBORw0KGgoAAAAN" * (2 * 1024 * 1024 // 16)
)
RATE, SLOW_RATE = 200, 20
STREAMS, HELD, FORMS, FORM_BYTES = 200, 2000, 12, 25 * 1024 * 1024


def fixed_rate(port: int, headers: Mapping[str, str], rate: int, seconds: int) -> Figures:
    """Latency at a fixed rate over ten connections, and of one caller who waits for each answer."""
    url = f"http://127.0.0.1:{port}/v1/embeddings"
    paced = latencies(url, SMALL, headers, rate, 10, seconds)
    alone = latencies(url, SMALL, headers, 0, 1, 2)
    return {
        "p50_ms": percentile(paced, 0.5) / 1000,
        "p99_ms": percentile(paced, 0.99) / 1000,
        "alone_p50_ms": percentile(alone, 0.5) / 1000,
    }


def small(peer: Peer, seconds: int) -> Figures:
    """A small JSON request and answer, 64 connections; then latency at a fixed rate."""
    with ready(peer) as found:
        cpu, rate = saturate(found, "/v1/embeddings", SMALL, 64, seconds)
        paced = RATE if rate > 3 * RATE else SLOW_RATE
        direct = fixed_rate(PLAIN, {}, paced, seconds)
        through = fixed_rate(found.port, found.headers, paced, seconds)
        return {
            "requests_per_second": rate,
            "cpu_us": cpu,
            "rss_mib": machine.rss_kib(found.pid) / 1024,
            "start_seconds": found.started,
            "rate": paced,
            **{f"added_{name}": through[name] - direct[name] for name in through},
        }


def answer_32k(peer: Peer, seconds: int) -> Figures:
    """A small request whose answer has 32 KB."""
    with ready(peer) as found:
        cpu, rate = saturate(found, "/v1/chat/completions", LARGE, 32, seconds)
        return {"requests_per_second": rate, "cpu_us": cpu}


def request_2m(peer: Peer, seconds: int) -> Figures:
    """A chat request with an image: 2 MB of JSON."""
    with ready(peer) as found:
        cpu, rate = saturate(found, "/v1/chat/completions", VISION, 4, seconds)
        return {
            "requests_per_second": rate,
            "cpu_us": cpu,
            "rss_mib": machine.rss_kib(found.pid) / 1024,
        }


def tls(peer: Peer, seconds: int) -> Figures:
    """The small request, with TLS to the upstream."""
    with ready(peer, Setting(is_tls=True)) as found:
        cpu, rate = saturate(found, "/v1/embeddings", SMALL, 64, seconds)
        return {"requests_per_second": rate, "cpu_us": cpu}


def streams_command(kind: str, found: Running, *numbers: int) -> list[str]:
    headers = json.dumps(dict(found.headers))
    command = [sys.executable, "-m", "bench.streams", kind, str(found.port), headers]
    return machine.pinned(machine.LOAD, [*command, *map(str, numbers)])


def result_of(command: list[str]) -> Figures:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise LoadError((done.stderr.strip().splitlines() or ["no answer"])[-1])
    figures: Figures = json.loads(done.stdout)
    return figures


def events(peer: Peer, _: int) -> Figures:
    """200 streams at once, of 50 events 20 ms apart; delays beside those of a direct call."""
    direct = result_of(streams_command("events", Running(0, SINK, {}, 0), STREAMS))
    with ready(peer) as found:
        result_of(streams_command("events", found, STREAMS))
        before = machine.cpu_seconds(found.pid)
        through = result_of(streams_command("events", found, STREAMS))
        cpu = machine.cpu_seconds(found.pid) - before
    return {
        "cpu_us": cpu * 1e6 / through["events"],
        "added_first_p50_ms": through["first_p50"] - direct["first_p50"],
        "added_delay_p50_ms": through["delay_p50"] - direct["delay_p50"],
        "added_delay_p99_ms": through["delay_p99"] - direct["delay_p99"],
        "gap_max_ms": through["gap_max"],
        "direct_gap_max_ms": direct["gap_max"],
    }


def forms(peer: Peer, _: int) -> Figures:
    """A form of 25 MB with the model behind the file, two at a time."""
    with ready(peer) as found:
        before = machine.cpu_seconds(found.pid)
        seen = result_of(streams_command("uploads", found, FORMS, FORM_BYTES))
        cpu = machine.cpu_seconds(found.pid) - before
        return {
            **seen,
            "cpu_ms": cpu * 1e3 / FORMS,
            "rss_mib": machine.rss_kib(found.pid) / 1024,
        }


def memory(peer: Peer, _: int) -> Figures:
    """Resident memory idle, and for each of 2,000 open streams."""
    with ready(peer) as found:
        time.sleep(0.5)
        idle = machine.rss_kib(found.pid)
        command = streams_command("held", found, HELD)
        held = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert held.stdin is not None
        assert held.stdout is not None
        line = held.stdout.readline()
        opened = json.loads(line or "{}").get("open", 0)
        time.sleep(0.5)
        full = machine.rss_kib(found.pid)
        held.stdin.close()
        held.wait()
        if opened < HELD:
            raise LoadError(f"only {opened} of {HELD} streams could be opened")
        return {"idle_mib": idle / 1024, "stream_kib": (full - idle) / opened}


def workers(peer: Peer, seconds: int) -> Figures:
    """One and two workers, on all cores, beside the load, with 64 connections for each.

    Capacity is workers / CPU per request.
    """
    figures: Figures = {}
    for count in (1, 2):
        with ready(peer, Setting(workers=count, core=None)) as found:
            cpu, rate = saturate(found, "/v1/embeddings", SMALL, 64 * count, seconds)
            figures |= {f"rate_{count}": rate, f"cpu_us_{count}": cpu}
    figures["capacity_ratio"] = 2 * figures["cpu_us_1"] / figures["cpu_us_2"]
    return figures


def rules(peer: Peer, seconds: int) -> Figures:
    """50 and 5,000 model rules, in turn; the lowest figure of three runs each."""
    seen: dict[int, list[float]] = {50: [], 5000: []}
    for _ in range(3):
        for count, figures in seen.items():
            with ready(peer, Setting(rules=count)) as found:
                figures.append(saturate(found, "/v1/embeddings", SMALL, 64, seconds)[0])
    return {f"cpu_us_{count}": min(figures) for count, figures in seen.items()}


@dataclass(frozen=True)
class Scenario:
    """A table of the report. `columns` are the figures shown, with their headings.

    With `rounds`, the peers are measured in turn so many times; the machine has faster and slower
    minutes.
    """

    name: str
    title: str
    measure: Callable[[Peer, int], Figures]
    peers: tuple[str, ...]
    columns: Mapping[str, str]
    rounds: int = 1


_ALL = ("nginx", "haproxy", "envoy", "engine", "ferrogw", "litellm", "portkey")
_PROXIES = ("nginx", "haproxy", "envoy", "engine")
SCENARIOS = (
    Scenario(
        "small",
        "Small JSON: 200 bytes up, 250 down, 64 connections",
        small,
        _ALL,
        {
            "requests_per_second": "requests/s",
            "cpu_us": "CPU µs",
            "added_p50_ms": "added p50 ms",
            "added_p99_ms": "added p99 ms",
            "added_alone_p50_ms": "added p50 ms, one caller",
            "rate": "at requests/s",
            "rss_mib": "memory MiB",
            "start_seconds": "start s",
        },
        rounds=2,
    ),
    Scenario(
        "everything",
        "Small JSON with more than the proxy: CPU µs a request",
        everything,
        ("engine",),
        {
            "cpu_us_bare": "one key",
            "cpu_us_usage": "usage read",
            "cpu_us_accounts": "accounts",
            "cpu_us_metrics": "metrics",
            "cpu_us_traces": "1 % traced",
            "cpu_us_memory": "two limits, memory",
            "cpu_us_redis": "two limits, Redis",
            "cpu_us": "all of it",
            "redis_us": "Redis itself",
        },
    ),
    Scenario(
        "answer_32k",
        "Response of 32 KB, 32 connections",
        answer_32k,
        _PROXIES,
        {"requests_per_second": "requests/s", "cpu_us": "CPU µs"},
        rounds=3,
    ),
    Scenario(
        "request_2m",
        "Request of 2 MB (a chat with an image), 4 connections",
        request_2m,
        _PROXIES,
        {"requests_per_second": "requests/s", "cpu_us": "CPU µs", "rss_mib": "memory MiB"},
        rounds=3,
    ),
    Scenario(
        "events",
        "Streams: 200 at once, 50 events each, 20 ms apart",
        events,
        _PROXIES,
        {
            "cpu_us": "CPU µs an event",
            "added_first_p50_ms": "added to first event, p50 ms",
            "added_delay_p50_ms": "added delay p50 ms",
            "added_delay_p99_ms": "added delay p99 ms",
            "gap_max_ms": "worst gap ms",
            "direct_gap_max_ms": "worst gap direct ms",
        },
        rounds=3,
    ),
    Scenario(
        "forms",
        "Form of 25 MB with the model behind the file, 2 at a time",
        forms,
        _PROXIES,
        {"megabytes_per_second": "MB/s", "cpu_ms": "CPU ms a form", "rss_mib": "memory MiB after"},
    ),
    Scenario(
        "tls",
        "Small JSON, TLS to the upstream",
        tls,
        _PROXIES,
        {"requests_per_second": "requests/s", "cpu_us": "CPU µs"},
        rounds=3,
    ),
    Scenario(
        "workers",
        "One and two workers, not pinned, beside the load",
        workers,
        ("engine",),
        {
            "rate_1": "requests/s, 1 worker",
            "rate_2": "requests/s, 2 workers",
            "cpu_us_1": "CPU µs, 1 worker",
            "cpu_us_2": "CPU µs, 2 workers",
            "capacity_ratio": "capacity, 2 workers to 1",
        },
    ),
    Scenario(
        "rules",
        "Model rules: 50 and 5,000",
        rules,
        ("engine",),
        {"cpu_us_50": "CPU µs, 50 rules", "cpu_us_5000": "CPU µs, 5,000 rules"},
    ),
    Scenario(
        "memory",
        "Memory: idle, and for each of 2,000 open streams",
        memory,
        _PROXIES,
        {"idle_mib": "idle MiB", "stream_kib": "KiB a stream"},
    ),
)
