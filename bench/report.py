"""From figures to tables: what people read, and what was aimed at."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.scenarios import SCENARIOS, Scenario

Rows = Mapping[str, Mapping[str, Mapping[str, float]]]  # scenario -> peer -> figure


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table, its columns aligned so that it can be read as it is."""
    widths = [max(len(row[i]) for row in (headings, *rows)) for i in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        shown = [cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))]  # fmt: skip
        return "| " + " | ".join(shown) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"  # fmt: skip
    return "\n".join([line(headings), rule, *(line(row) for row in rows)])


def number(value: float | None) -> str:
    """Three significant figures, thousands with commas."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def scenario_table(scenario: Scenario, rows: Rows, missing: Mapping[str, str]) -> str:
    """The table of one scenario; peers that could not be measured are told below it."""
    seen = rows.get(scenario.name, {})
    body = [[p, *(number(seen[p].get(c)) for c in scenario.columns)] for p in scenario.peers if p in seen]  # fmt: skip
    text = table(["", *scenario.columns.values()], body) if body else "Not measured."
    notes = [f"\n{p}: {missing[f'{scenario.name}/{p}']}" for p in scenario.peers if f"{scenario.name}/{p}" in missing]  # fmt: skip
    return text + "".join(f"\n{note}" for note in notes)


Figure = Callable[[Rows], float]
OURS = "engine"


def _ratio(scenario: str, figure: str, other: str, of: str = "") -> Figure:
    """To that of another, in the scenario `of` if it was measured there."""
    return lambda rows: rows[scenario][OURS][figure] / rows[of or scenario][other][figure]


def _plain(scenario: str, figure: str, other: str | None = None) -> Figure:
    def found(rows: Rows) -> float:
        seen = rows[scenario][OURS]
        return seen[figure] / (seen[other] if other else 1)

    return found


# What is aimed at: words, the figure, and whether it may be at most or must be at least the bound.
TARGETS: tuple[tuple[str, Figure, str, float], ...] = (
    ("small JSON: CPU to Envoy's", _ratio("small", "cpu_us", "envoy"), "≤", 1.5),
    ("small JSON: CPU to ferrogw's", _ratio("small", "cpu_us", "ferrogw"), "≤", 0.5),
    ("small JSON: CPU to LiteLLM's", _ratio("small", "cpu_us", "litellm"), "≤", 0.01),
    ("everything on: CPU to Envoy's without", _ratio("everything", "cpu_us", "envoy", "small"), "≤", 1.6),
    ("TLS upstream: CPU to Envoy's", _ratio("tls", "cpu_us", "envoy"), "≤", 1.75),
    ("one caller: added p50 to Envoy's", _ratio("small", "added_alone_p50_ms", "envoy"), "≤", 1.3),
    ("streams: CPU an event to nginx's", _ratio("events", "cpu_us", "nginx"), "≤", 1.5),
    ("streams: added delay p99, ms", _plain("events", "added_delay_p99_ms"), "≤", 5),
    ("2 MB request: CPU to Envoy's", _ratio("request_2m", "cpu_us", "envoy"), "≤", 2),
    ("25 MB form: throughput to nginx's", _ratio("forms", "megabytes_per_second", "nginx"), "≥", 0.7),
    ("5,000 rules: CPU to that with 50", _plain("rules", "cpu_us_5000", "cpu_us_50"), "≤", 1.03),
    ("two workers: capacity to one's", _plain("workers", "capacity_ratio"), "≥", 1.8),
    ("start-up, s", _plain("small", "start_seconds"), "≤", 0.5),
    ("KiB an open stream", _plain("memory", "stream_kib"), "≤", 40),
)  # fmt: skip


def targets_table(rows: Rows) -> str:
    """What was aimed at, beside what was measured."""
    body = [
        [words, f"{sign} {bound:g}", *_judged(rows, figure, sign, bound)]
        for words, figure, sign, bound in TARGETS
    ]
    return table(["", "aim", "measured", "reached"], body)


def _judged(rows: Rows, figure: Figure, sign: str, bound: float) -> tuple[str, str]:
    try:
        value = figure(rows)
    except KeyError:
        return "-", "not measured"
    is_met = value <= bound if sign == "≤" else value >= bound
    return f"{value:.4f}" if bound < 0.1 else number(value), "yes" if is_met else "no"


def render(result: Mapping[str, Any]) -> str:
    """Every table of one run."""
    machine = ", ".join(result["machine"].values())
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    parts = [f"Measured on {result['date']}: {machine}.\n{versions}."]
    parts += [f"### Aims\n\n{targets_table(result['rows'])}"]
    for scenario in SCENARIOS:
        shown = scenario_table(scenario, result["rows"], result["missing"])
        parts.append(f"### {scenario.title}\n\n{shown}")
    return "\n\n".join(parts) + "\n"


def write_page(result: Mapping[str, Any], page: Path) -> None:
    """Put the tables between the marks of `page`."""
    page.write_text(replaced(page.read_text("utf-8"), render(result)), "utf-8")


BEGIN, END = "<!-- measured -->\n", "<!-- end -->\n"


def replaced(text: str, tables: str) -> str:
    """`text` with `tables` between its marks."""
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + "\n" + tables + "\n" + END + rest.partition(END)[2]
