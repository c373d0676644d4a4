"""Findings as one line each: for editors and logs, and as the annotations of GitHub Actions."""

from engine.report.view import Findings, View, view_finding

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render_concise(findings: Findings) -> str:
    """`routes.yaml:31:31: error[X201] message`, and the suggestion after it."""
    return "".join(f"{_concise(view_finding(d, findings))}\n" for d in findings.diagnostics)


def _concise(found: View) -> str:
    start = found["range"]["start"]
    place = f"{found['range']['file']}:{start['line']}:{start['column']}"
    return f"{place}: {found['severity']}[{found['code']}] {_sentence(found)}"


def _sentence(found: View) -> str:
    """The message with what the label adds to it, when that is a fix."""
    label = found["label"]
    return f"{found['message']}" + (f"; {label}" if label.startswith("did you mean") else "")


def render_github(findings: Findings) -> str:
    """Workflow commands, which GitHub shows beside the lines of a change."""
    return "".join(f"{_command(view_finding(d, findings))}\n" for d in findings.diagnostics)


def _command(found: View) -> str:
    start, end = found["range"]["start"], found["range"]["end"]
    values = {
        "title": f"{found['code']} {found['name']}",
        "file": found["range"]["file"],
        "line": start["line"],
        "endLine": end["line"],
    }
    if start["line"] == end["line"]:  # GitHub drops columns of anything longer
        values |= {"col": start["column"], "endColumn": end["column"]}
    properties = ",".join(f"{key}={_escaped_value(str(text))}" for key, text in values.items())
    body = _sentence(found) + (f"\nhelp: {found['help']}" if found["help"] else "")
    return f"::{_COMMANDS[found['severity']]} {properties}::{_escaped(body)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_value(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
