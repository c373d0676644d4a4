"""The model rules that fit a request, as data: which won, why the others lost, and how they are written."""

from collections.abc import Mapping
from typing import Any

from engine.config.source.document import Document
from engine.config.source.secret_shapes import SECRET
from engine.gateway.routing.match import Candidate
from engine.plan.conditions import describe

_EXCERPT_LINES = 8


def view_rule(candidate: Candidate, documents: Mapping[str, Document]) -> dict[str, Any]:
    """An entry of `rules` in `schemas/output/route.schema.json`."""
    rule = candidate.rule
    return {
        "where": rule.where,
        "kind": "prefix" if rule.is_prefix else "model",
        "pattern": rule.pattern,
        "provider": rule.provider,
        "providers": [rule_target.provider for rule_target in rule.targets] or [rule.provider],
        "endpoints": list(rule.endpoints) if rule.endpoints is not None else None,
        "when": describe(rule.when) or None,
        "won": candidate.reason is None,
        "reason": candidate.reason,
        "lines": _source(rule.where, documents),
    }


def _source(where: str, documents: Mapping[str, Document]) -> list[str]:
    """The lines of the rule at `where`, as far as they are one entry."""
    file, _, number = where.rpartition(":")
    document = documents[file]
    first = int(number)
    entries = document.entries.items()
    index = next((p[1] for p, e in entries if p[:1] == ("models",) and len(p) == 2 and e.value.start.line == first), None)  # fmt: skip
    last = max((e.value.end.line for p, e in entries if p[:2] == ("models", index)), default=first)
    lines = document.lines[first - 1 : min(last, first + _EXCERPT_LINES - 1)]
    return [SECRET.sub(lambda hit: "*" * len(hit[0]), line) for line in lines]
