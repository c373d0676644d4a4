"""Findings as SARIF 2.1.0 (OASIS), which GitHub and other code scanning services read."""

import json
from urllib.parse import quote

from engine import __version__
from engine.config.diagnostics.codes import FINDING_KINDS
from engine.report.view import Findings, View, view

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def render_sarif(findings: Findings) -> str:
    """One run with all findings; what a comment suppresses is marked as suppressed in the source."""
    whole = view(findings)
    reported = whole["diagnostics"] + whole["suppressed"]
    codes = sorted({found["code"] for found in reported})
    driver = {"name": "engine", "version": __version__, "rules": [_rule(code) for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True}],
        "results": [_result(found, codes) for found in reported],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(code: str) -> View:
    kind = FINDING_KINDS[code]
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in kind.name.split("-")),
        "shortDescription": {"text": kind.summary},
        "fullDescription": {"text": kind.explanation},
        "help": {"text": f"{kind.explanation} `engine explain {code}` shows an example."},
        "defaultConfiguration": {"level": kind.severity.value},
    }


def _result(found: View, codes: list[str]) -> View:
    parts = [found["message"], found["label"], found["help"] and f"help: {found['help']}"]
    result = {
        "ruleId": found["code"],
        "ruleIndex": codes.index(found["code"]),
        "level": found["severity"],
        "message": {"text": "\n".join(part for part in parts if part)},
        "locations": [_location(found["range"], found["path"])],
        # All results carry it or none does (SARIF 2.1.0, 3.27.23).
        "suppressions": (
            [{"kind": "inSource", "justification": found["reason"]}] if "reason" in found else []
        ),
    }
    if found["related"]:
        result["relatedLocations"] = [
            {**_location(other["range"], ""), "message": {"text": other["label"]}}
            for other in found["related"]
        ]
    if found["fix"]:
        result["fixes"] = [_fix(found["fix"])]
    return result


def _location(span: View, path: str) -> View:
    physical = {"artifactLocation": _artifact(span), "region": _region(span)}
    logical = {"logicalLocations": [{"fullyQualifiedName": path}]} if path else {}
    return {"physicalLocation": physical, **logical}


def _artifact(span: View) -> View:
    return {"uri": quote(span["file"]), "uriBaseId": "%SRCROOT%"}


def _region(span: View) -> View:
    start, end = span["start"], span["end"]
    return {
        "startLine": start["line"],
        "startColumn": start["column"],
        "endLine": end["line"],
        "endColumn": end["column"],
    }


def _fix(fix: View) -> View:
    change = {"deletedRegion": _region(fix["range"]), "insertedContent": {"text": fix["text"]}}
    artifact = {"artifactLocation": _artifact(fix["range"]), "replacements": [change]}
    return {
        "description": {"text": f"{fix['applicability']} fix"},
        "artifactChanges": [artifact],
    }
