"""The whole of routing: which provider serves which endpoint, and all model rules."""

import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from engine.config.effective import fill_in
from engine.config.model import Config
from engine.config.source.document import Document
from engine.plan.conditions import describe
from engine.plan.plan import Plan, Rule, RuleTarget
from engine.report.request_settings import declared_settings, line_of

FORMAT_VERSION = "1.2"
_ACROSS = 15  # endpoints beside each other in a table
View = dict[str, Any]


def view_routes(
    plan: Plan,
    documents: Mapping[str, Document],
    endpoint: str | None = None,
    provider: str | None = None,
) -> View:
    """Endpoints, providers and rules, narrowed to one endpoint or provider, as plain data."""
    routes, files = documents["routes.yaml"], fill_in(documents["providers.yaml"], "providers")
    endpoints = [e for e in plan.every_endpoint() if endpoint in (None, e.name)]
    names = {e.name for e in endpoints}
    providers = [
        p for p in plan.providers.values()
        if provider in (None, p.name) and (endpoint is None or endpoint in p.upstreams)
    ]  # fmt: skip
    chosen = {p.name for p in providers}
    return {
        "format_version": FORMAT_VERSION,
        "endpoints": [
            {
                "name": e.name,
                "method": e.method,
                "path": e.path.decode(),
                "where": line_of(routes, ("endpoints", e.name)),
            }
            for e in endpoints
        ],
        "providers": [
            {
                "name": p.name,
                "endpoints": [name for name in p.upstreams if name in names],
                "unset": [n for n, upstream in p.upstreams.items() if n in names and not upstream],
                "where": line_of(documents["providers.yaml"], ("providers", p.name)),
                "settings": declared_settings(files, p, names),
            }
            for p in providers
        ],
        "rules": [
            {
                "pattern": rule.pattern,
                "kind": "prefix" if rule.is_prefix else "model",
                "endpoints": list(rule.endpoints) if rule.endpoints is not None else None,
                "targets": [
                    {
                        "provider": w.provider,
                        "as": f"{w.stem}*" if w.stem else w.rename,
                        "strip": w.strip,
                        "weight": w.weight,
                        "where": w.where,
                    }
                    for w in _rule_targets(rule)
                ],
                "sticky": rule.is_sticky,
                "when": describe(rule.when) or None,
                "where": rule.where,
            }
            for rule in plan.rules
            if any(rule_target.provider in chosen for rule_target in _rule_targets(rule))
            and not (rule.endpoints and names.isdisjoint(rule.endpoints))
        ],
    }


def view_catalogue(config: Config) -> View:
    """Every provider with the evidence for each of its entries, as plain data."""
    return {
        "format_version": FORMAT_VERSION,
        "endpoints": [endpoint.name for endpoint in config.endpoints],
        "providers": [
            {
                "name": provider.name,
                "description": provider.description,
                "grades": {e.name: e.grade for e in provider.endpoints},
                "not_enabled": {e.name: e.grade for e in provider.not_enabled},
            }
            for provider in config.providers
        ],
    }


def render_catalogue(view: View) -> str:
    """Providers as rows under the numbers of endpoints, and how many entries there are by grade."""
    numbers = [str(number) for number in range(1, len(view["endpoints"]) + 1)]
    rows = [
        (p["name"], *(_grade(p, name) for name in view["endpoints"])) for p in view["providers"]
    ]
    tables = [
        _table(("", "endpoint"), list(zip(numbers, view["endpoints"], strict=True))),
        _table(("provider", *numbers), rows),
        "x is served and has no grade; off is known and not enabled",
        catalogue_summary(view),
    ]
    return "\n\n".join(tables) + "\n"


def _grade(provider: View, endpoint: str) -> str:
    if endpoint in provider["not_enabled"]:
        return "off"
    if endpoint in provider["grades"]:
        return provider["grades"][endpoint] or "x"
    return "."


def catalogue_summary(view: View) -> str:
    """How many providers and entries there are: "2 providers, 5 entries: 4 sdk, 1 docs; 1 off"."""
    served = [grade or "x" for p in view["providers"] for grade in p["grades"].values()]
    off = [grade or "x" for p in view["providers"] for grade in p["not_enabled"].values()]
    several = "provider" if len(view["providers"]) == 1 else "providers"
    entries = "entry" if len(served) == 1 else "entries"
    words = f"{len(view['providers'])} {several}, {len(served)} {entries}: {_by_grade(served)}"
    return words + (f"; {len(off)} not enabled: {_by_grade(off)}" if off else "")


def _by_grade(grades: list[str]) -> str:
    return ", ".join(f"{count} {grade}" for grade, count in Counter(grades).most_common())


def _rule_targets(rule: Rule) -> tuple[RuleTarget, ...]:
    return rule.targets or (
        RuleTarget(rule.provider, rule.rename, rule.strip, None, rule.where, stem=rule.stem),
    )


def render_text(view: View, width: int | None = None) -> str:
    """Endpoints with a number each, providers as rows under those numbers, then the rules."""
    numbers = [str(number) for number in range(1, len(view["endpoints"]) + 1)]
    endpoints = [
        (number, e["name"], e["method"], e["path"])
        for number, e in zip(numbers, view["endpoints"], strict=True)
    ]
    rules = sorted(
        view["rules"], key=lambda rule: (rule["targets"][0]["provider"], rule["pattern"])
    )
    tables = [
        _table(("", "endpoint", "method", "path"), endpoints),
        *_matrices(view, numbers),
        _table(
            ("model", "endpoint", "provider", "sent", "line"),
            [_rule(rule) for rule in rules],
            width,
        ),
    ]
    settings = [
        (p["name"], s["section"], s["where"], s["words"])
        for p in view["providers"]
        for s in p["settings"]
    ]
    if settings:
        tables.append(_table(("provider", "key", "line", "what is set"), settings, width))
    return "\n\n".join(tables)


def _matrices(view: View, numbers: Sequence[str]) -> Iterator[str]:
    """Providers under the numbers of endpoints, a few at a time so that rows fit a terminal."""
    for start in range(0, len(numbers), _ACROSS):
        some = view["endpoints"][start : start + _ACROSS]
        rows = [(p["name"], *(_mark(p, e["name"]) for e in some)) for p in view["providers"]]
        serving = [row for row in rows if set(row[1:]) != {"."}]
        yield _table(("provider", *numbers[start : start + _ACROSS]), serving if start else rows)


def _mark(provider: View, endpoint: str) -> str:
    if endpoint in provider["unset"]:
        return "?"
    return "x" if endpoint in provider["endpoints"] else "."


def _rule(rule: View) -> tuple[str, ...]:
    return (
        rule["pattern"]
        + ("*" if rule["kind"] == "prefix" else "")
        + (f" when {rule['when']}" if rule["when"] else ""),
        ", ".join(rule["endpoints"]) if rule["endpoints"] else "any",
        ", ".join(_weighed(target) for target in rule["targets"])
        + (" by key" if rule["sticky"] else ""),
        ", ".join(dict.fromkeys(_sent(target) for target in rule["targets"])),
        rule["where"],
    )


def _weighed(target: View) -> str:
    weight = target["weight"]
    return f"{target['provider']} x{weight}" if weight is not None else str(target["provider"])


def _sent(target: View) -> str:
    return target["as"] or ("without the prefix" if target["strip"] else "as it is")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Rows under a header; with `width`, a row that is wider continues on the next line."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return "\n".join(
        line
        for row in (header, *rows)
        for line in _within([f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)], width)
    )


def _within(cells: Sequence[str], width: int | None) -> list[str]:
    """The cells of a row as lines of at most `width` columns."""
    lines = [""]
    for cell in cells:
        joined = f"{lines[-1]}  {cell}" if lines[-1] else cell
        if width is None or not lines[-1].strip() or len(joined.rstrip()) <= width:
            lines[-1] = joined
        else:
            lines.append(f"    {cell.rstrip()}")
    every = [line.rstrip() for line in lines]
    if width is None:
        return every
    return [part for line in every for part in _wrapped(line, width)]


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(
        line, max(width, 20), subsequent_indent="    ", drop_whitespace=False,
        break_long_words=False, break_on_hyphens=False,
    ) if len(line) > width else [line]  # fmt: skip


def configured_only(view: View, missing: Collection[str]) -> View:
    """What works with the credentials and variables that are set here; `missing` lacks some."""
    providers = [p for p in view["providers"] if p["name"] not in missing]
    names = {p["name"] for p in providers}
    served = {e for p in providers for e in p["endpoints"] if e not in p["unset"]}
    return view | {
        "providers": providers,
        "endpoints": [e for e in view["endpoints"] if e["name"] in served],
        "rules": [
            r for r in view["rules"] if any(target["provider"] in names for target in r["targets"])
        ],
    }
