"""Diagnostics for programs: a versioned shape, 1-based places, additive changes only."""

import json
from collections.abc import Sequence
from typing import Any

from engine.config.diagnostic import Diagnostic, Fix, Severity, Span

FORMAT_VERSION = "1.0"


def render_json(diagnostics: Sequence[Diagnostic]) -> str:
    """All findings as one JSON document."""
    counts = {
        f"{severity}s": sum(d.severity is severity for d in diagnostics) for severity in Severity
    }
    view = {
        "format_version": FORMAT_VERSION,
        "ok": counts["errors"] == 0,
        "summary": counts,
        "diagnostics": [_finding(d) for d in diagnostics],
    }
    return json.dumps(view, indent=2) + "\n"


def _finding(d: Diagnostic) -> dict[str, Any]:
    return {
        "code": d.code,
        "name": d.name,
        "severity": d.severity,
        "message": d.message,
        "path": _path(d.path),
        "range": _range(d.span),
        "label": d.label,
        "related": [{"range": _range(r.span), "label": r.label} for r in d.related],
        "help": d.help,
        "fix": _fix(d.fix) if d.fix else None,
    }


def _fix(fix: Fix) -> dict[str, Any]:
    return {
        "range": _range(fix.span),
        "text": fix.text,
        "applicability": fix.applicability,
    }


def _path(path: tuple[str | int, ...]) -> str:
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return steps.removeprefix(".")


def _range(span: Span) -> dict[str, Any]:
    return {
        "file": span.file,
        "start": {"line": span.start.line, "column": span.start.column},
        "end": {"line": span.end.line, "column": span.end.column},
    }
