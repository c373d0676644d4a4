"""Findings for programs: the view, a versioned format that only ever gains keys.

Excerpts are left out. Whoever reads this has the files, and a line of a file may contain a secret
that does not look like one, which logs and artifacts would keep.
"""

import json

from engine.report.view import Findings, View, view


def render_json(findings: Findings) -> str:
    """All findings as one JSON document: schemas/diagnostics.schema.json."""
    whole = view(findings)
    for group in ("diagnostics", "suppressed"):
        whole[group] = [_without_excerpts(found) for found in whole[group]]
    return json.dumps(whole, indent=2) + "\n"


def _without_excerpts(found: View) -> View:
    related = [{key: r[key] for key in r if key != "excerpt"} for r in found["related"]]
    return {key: found[key] for key in found if key != "excerpt"} | {"related": related}
