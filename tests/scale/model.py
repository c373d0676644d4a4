"""What becomes scarce first as a site grows: plain arithmetic with the figures of `make scale`.

python -m tests.scale.model writes the measured part of docs/scaling.md again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.report import replaced
from tests.servers import ROOT

FIGURES, PAGE = ROOT / "docs/scaling.json", ROOT / "docs/scaling.md"
PEAK = 10  # the busiest second to the average one
WORKERS = 2  # of a replica
KEY_BYTES = 600  # of a known key in the table of a worker, as `bench.accounts million` measures
USE = 0.6  # of a core may be used at the peak
MAX_CONNECTIONS = 500  # a PostgreSQL without a pooler in front
DAY = 86_400
GATEWAYS = "cores of gateways"
LIMIT, TRIES = 300, 1500  # requests that a key may send in an hour, and that are sent at once


@dataclass(frozen=True)
class Size:
    """A site: its replicas, its keys, and the requests of a day."""

    replicas: int
    keys: int
    requests: int

    @property
    def peak(self) -> float:
        """Requests in the busiest second."""
        return self.requests / DAY * PEAK


SIZES = (
    Size(3, 10_000, 1_000_000),
    Size(30, 1_000_000, 30_000_000),
    Size(1000, 10_000_000, 100_000_000),
)


def needs(size: Size, figures: dict[str, Any]) -> Iterator[tuple[str, float, str, float]]:
    """What each part has to do at the peak, its unit, and what one of that part can."""
    costs, workers = figures["costs"], size.replicas * WORKERS
    busy = min(workers, size.peak)  # a worker writes its usage once a second, if it had a request
    idle_us, busy_us = (costs[f"database us a second, {what} worker"] for what in ("idle", "busy"))
    cpu = figures["capacity"]["cpu us, three replicas"]
    yield GATEWAYS, size.peak * cpu / 1e6, "cores", size.replicas * WORKERS * USE
    yield (
        "connections of PostgreSQL",
        costs["database connections of a replica"] * size.replicas,
        "connections",
        MAX_CONNECTIONS,
    )
    database = (workers * idle_us + busy * max(0, busy_us - idle_us)) / 1e6
    yield "CPU of PostgreSQL", database, "cores", 16 * USE
    yield "CPU of Redis", size.peak * costs["redis us a request"] / 1e6, "cores", USE
    yield "memory of a worker, all keys known", size.keys * KEY_BYTES / 2**20, "MiB", 64
    yield "rows of usage a day", min(size.requests, size.keys * 24), "rows", 50_000_000


def table(figures: dict[str, Any]) -> list[str]:
    """What each size needs; what one part cannot do is bold."""
    columns = [list(needs(size, figures)) for size in SIZES]
    heads = [f"{s.replicas:,} replicas, {s.keys / 1e6:g} M keys, {s.requests / 1e6:g} M requests a day" for s in SIZES]  # fmt: skip
    lines = ["| | " + " | ".join(heads) + " | one can |", "|---|" + "---:|" * (len(SIZES) + 1)]
    for row in zip(*columns, strict=True):
        cells = [_cell(needed, unit, most) for _, needed, unit, most in row]
        name, _, unit, most = row[0]
        can = f"{WORKERS * USE:g} a replica" if name == GATEWAYS else _plain(most, unit)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {can} |")
    return lines


def page(figures: dict[str, Any]) -> str:
    """The measured part of docs/scaling.md."""
    machine, costs, capacity = figures["machine"], figures["costs"], figures["capacity"]
    revoked = figures["revocation s"]
    lines = [
        f"Measured on {figures['date']}: {machine['cpu']}, {machine['memory']}, everything on one host.",
        "",
        "| while | requests | failed | longest small request |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {row['event']} | {row['requests']:,} | {row['failed']} | {row['longest s']:.2f} s |"
        for row in figures["events"]
    ]
    lines += [
        "",
        f"- Of {TRIES:,} requests at once with a key that may send {LIMIT} an hour, {figures['admitted'][0]} were admitted; after all of the above, {figures['admitted'][1]} of another key.",
        f"- A revoked key was refused by all workers after {revoked['p50']:.2f} s (median of 20), {revoked['max']:.2f} s at most.",
        f"- A request took {capacity['cpu us, one replica']:,.0f} µs of CPU with one replica and {capacity['cpu us, three replicas']:,.0f} µs with three, each of which had callers of its own, as many as the one: their capacity is {capacity['capacity of three to one']:.2f} times that of one.",
        f"- A replica uses {costs['MiB of a replica']} MiB and {costs['database connections of a replica']:.0f} connections of the database. Redis uses {costs['redis us a request']:.0f} µs of CPU for a request with limits, PostgreSQL {costs['database us a second, idle worker']:,} µs a second for a worker without requests and {costs['database us a second, busy worker']:,} µs for a busy one.",
        "",
        "### What becomes scarce first",
        "",
        *table(figures),
    ]
    return "\n".join(lines) + "\n"


def _cell(needed: float, unit: str, most: float) -> str:
    text = _plain(needed, unit)
    return f"**{text}**" if needed > most else text


def _plain(value: float, unit: str) -> str:
    shown = f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
    return f"{shown} {unit}"


def problems(figures: dict[str, Any]) -> list[str]:
    """What the figures show that must not be."""
    found = [
        f"{row['event']}: {row['failed']} failed, {row['may fail']} may: {row['how']}"
        for row in figures["events"]
        if row["failed"] > row["may fail"]
    ]
    if figures["admitted"] != [LIMIT, LIMIT]:
        found.append(f"{figures['admitted']} requests were admitted instead of {LIMIT} each")
    if figures["revocation s"]["max"] >= 1:
        found.append("a revoked key lived for a second or more")
    if "capacity" in figures and figures["capacity"]["capacity of three to one"] < 2.7:
        found.append("three replicas have less than 2.7 times the capacity of one")
    return found


def write_page(figures: dict[str, Any]) -> None:
    """Replace the measured part of docs/scaling.md."""
    PAGE.write_text(replaced(PAGE.read_text("utf-8"), page(figures)), "utf-8")


if __name__ == "__main__":
    write_page(json.loads(FIGURES.read_text("utf-8")))
