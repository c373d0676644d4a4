"""The configuration, for those who run the gateway: what runs, what is on disk, why it was refused."""

import http.client
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.responses import Response

from engine.admin.formats import moment
from engine.admin.gateway import connect
from engine.admin.rendering import page
from engine.admin.request import Access, Page, PageRequest
from engine.config.diagnostics.diagnostic import Severity
from engine.config.load import Loaded
from engine.report.text import render_finding
from engine.report.view import Findings, count_by_severity, view_finding

READY_SECONDS = 2.0
MAX_FINDINGS = 50
_KINDS = {Severity.ERROR: "bad", Severity.WARNING: "warn", Severity.NOTE: ""}
_ORDER = {severity: place for place, severity in enumerate(Severity)}
_HOLDS = {
    "routes.yaml": "endpoints, and which model goes to which provider",
    "providers.yaml": "providers: their URLs, headers and limits",
    "keys.yaml": "gateway keys of the operator",
    "server.yaml": "the store of accounts and this dashboard",
}


def configuration_page(request: PageRequest) -> Response:
    loaded = request.server.catalogue().loaded
    running = read_readiness(request.context.gateway_url)
    found = sorted(loaded.diagnostics, key=lambda d: _ORDER[d.severity])
    findings = Findings(found, loaded.documents)
    serious = [d for d in found if d.severity is not Severity.NOTE]
    notes = [d for d in found if d.severity is Severity.NOTE]
    left = max(0, len(serious) - MAX_FINDINGS)
    return page(
        request,
        "configuration.html",
        state=_state(running, loaded),
        running=_running(running, request.context.gateway_url),
        disk=_disk(loaded, str(request.context.folder)),
        refused=_refused(running["refused"]) if running and running["refused"] else None,
        counts=_counts(loaded),
        findings=[_finding(view_finding(d, findings)) for d in serious[:MAX_FINDINGS]],
        notes=[_finding(view_finding(d, findings)) for d in notes[:MAX_FINDINGS]],
        more_findings=f"{left} more: run engine check" if left else "",
        files=[
            {"name": name, "holds": _HOLDS.get(name, ""), "lines": len(document.lines)}
            for name, document in loaded.documents.items()
        ],
    )


def read_readiness(url: str) -> Mapping[str, Any] | None:
    """What `/readyz` of the gateway reports; None when it does not respond."""
    connection = connect(url, READY_SECONDS)
    try:
        connection.request("GET", "/readyz")
        reported = json.loads(connection.getresponse().read(64 * 1024))
        needed = {name: reported[name] for name in ("status", "config", "loaded", "refused")}
        more = {"restart": reported.get("restart", []), "tls": reported.get("tls")}
        return {**more, **needed}
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def _state(running: Mapping[str, Any] | None, loaded: Loaded) -> dict[str, str]:
    """The first of these that is so."""
    if running is None:
        return _silence(loaded)
    fingerprint = loaded.plan.fingerprint if loaded.plan else None
    states = (
        (running["refused"], "warn", "The files on disk were refused. The previous configuration stays active."),
        (not fingerprint, "bad", "The files on disk have errors, so a restart would fail."),
        (fingerprint != running["config"], "warn", "The files on disk have changed and are not active yet."),
        (running["tls"], "warn", "Renewed TLS files were refused; the previous ones stay in use. The log says why."),
        (running["restart"], "warn", "server.yaml has changed: it takes effect when the server is started again."),
        (True, "good", "The running configuration matches the files."),
    )  # fmt: skip
    return next({"kind": kind, "text": text} for is_so, kind, text in states if is_so)


def _silence(loaded: Loaded) -> dict[str, str]:
    """Why nothing was read of what runs."""
    tls = loaded.server.tls if loaded.server else None
    if tls and tls.client_ca:
        text = "The gateway requires client certificates, so this page cannot query it."
        return {"kind": "warn", "text": text}
    return {"kind": "bad", "text": "The gateway does not respond."}


def _running(running: Mapping[str, Any] | None, url: str) -> dict[str, Any]:
    if running is None:
        return {"state": "no response", "kind": "bad", "facts": [("Address", url, True)]}
    facts = [
        ("Address", url, True),
        ("Fingerprint", running["config"], True),
        ("Since", _moment(running["loaded"]), False),
    ]
    kind = "good" if running["status"] == "ready" else "warn"
    return {"state": running["status"], "kind": kind, "facts": facts}


def _refused(refused: Mapping[str, Any]) -> dict[str, Any]:
    return {"at": _moment(refused["at"]), "reasons": refused["reasons"]}


def _moment(text: str) -> str:
    """A time of RFC 3339 as people read it; any other text as it is."""
    try:
        return f"{moment(datetime.fromisoformat(text).timestamp())} UTC"
    except ValueError:
        return text


def _disk(loaded: Loaded, folder: str) -> dict[str, Any]:
    facts = [("Folder", folder, True)]
    if loaded.plan is None:
        return {"state": "has errors", "kind": "bad", "facts": facts}
    plan = loaded.plan
    facts += [
        ("Fingerprint", plan.fingerprint, True),
        ("Providers", str(len(plan.providers)), False),
        ("Model rules", str(len(plan.rules)), False),
        ("Endpoints", str(len(plan.every_endpoint())), False),
    ]
    return {"state": "valid", "kind": "good", "facts": facts}


def _counts(loaded: Loaded) -> list[tuple[str, str]]:
    counts = count_by_severity(loaded.diagnostics)
    named = (("errors", "error", "bad"), ("warnings", "warning", "warn"), ("notes", "note", ""))
    return [
        (f"{counts[key]} {word}{'' if counts[key] == 1 else 's'}", kind)
        for key, word, kind in named
        if counts[key]
    ]


def _finding(found: Mapping[str, Any]) -> dict[str, Any]:
    lines = render_finding(dict(found), colour=False).splitlines()[2:]
    place = found["range"]
    return {
        "code": found["code"],
        "kind": _KINDS[Severity(found["severity"])],
        "where": f"{place['file']}:{place['start']['line']}",
        "message": found["message"],
        "excerpt": "\n".join(line for line in lines if line.strip(" |")),
    }


CONFIGURATION_PAGES = (
    Page("GET", "/configuration", configuration_page, Access.OPERATOR, "configuration"),
)
