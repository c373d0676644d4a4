"""Findings as plain data, from which every output format is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from engine.config.diagnostics.codes import FINDING_KINDS
from engine.config.diagnostics.diagnostic import Diagnostic, Fix, Related, Severity, Span
from engine.config.schema.places import describe
from engine.config.source.document import Document
from engine.config.source.suppressions import Suppressed
from engine.report.excerpt import Excerpts

FORMAT_VERSION = "1.0"
_LISTED = ("endpoints", "providers", "models", "keys", "tests", "not_exposed")

View = dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """What a run reports. `folder` is put before file names, as `deploy/`."""

    diagnostics: Sequence[Diagnostic]
    documents: Mapping[str, Document]
    suppressed: Sequence[Suppressed] = ()
    folder: str = ""

    @cached_property
    def excerpts(self) -> Excerpts:
        return Excerpts(self.documents)


def view(findings: Findings) -> View:
    """The whole report."""
    counts = count_by_severity(findings.diagnostics)
    return {
        "format_version": FORMAT_VERSION,
        "ok": counts["errors"] == 0,
        "summary": {**counts, "suppressed": len(findings.suppressed)},
        "files": [findings.folder + file for file in findings.documents],
        "diagnostics": [view_finding(d, findings) for d in findings.diagnostics],
        "suppressed": [
            {**view_finding(s.found, findings), "reason": s.reason} for s in findings.suppressed
        ],
    }


def count_by_severity(diagnostics: Sequence[Diagnostic]) -> dict[str, int]:
    """How many findings of each severity: `errors`, `warnings`, `notes`."""
    return {
        f"{severity}s": sum(d.severity is severity for d in diagnostics) for severity in Severity
    }


def view_finding(d: Diagnostic, findings: Findings) -> View:
    """One finding."""
    return {
        "code": d.code,
        "name": d.name,
        "severity": d.severity.value,
        "message": d.message,
        "path": _path(d.path),
        "context": _context(d, findings.documents),
        "range": _range(d.span, findings.folder),
        "excerpt": findings.excerpts.at(d.span),
        "label": d.label,
        "related": [_related(r, findings) for r in d.related],
        "help": d.help,
        "fix": _fix(d.fix, findings.folder) if d.fix else None,
        "url": FINDING_KINDS[d.code].url,
    }


def _related(related: Related, findings: Findings) -> View:
    return {
        "range": _range(related.span, findings.folder),
        "excerpt": findings.excerpts.at(related.span),
        "label": related.label,
    }


def _fix(fix: Fix, folder: str) -> View:
    applicability = fix.applicability.value
    return {"range": _range(fix.span, folder), "text": fix.text, "applicability": applicability}


def _path(path: tuple[str | int, ...]) -> str:
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return steps.removeprefix(".")


def _context(d: Diagnostic, documents: Mapping[str, Document]) -> str:
    """The entry that the finding is in: "endpoint `search`", "model rule `gpt-`"."""
    document = documents.get(d.span.file)
    if document is None or not d.path:
        return ""
    return describe(document.data, d.path[: 2 if d.path[0] in _LISTED else 1])


def _range(span: Span, folder: str) -> View:
    return {
        "file": folder + span.file,
        "start": {"line": span.start.line, "column": span.start.column},
        "end": {"line": span.end.line, "column": span.end.column},
    }
