"""What a finding means, for people and as data: schemas/output/explain.schema.json."""

import textwrap
from collections.abc import Iterable
from typing import Any

from engine.config.diagnostics.codes import RULES, FindingKind
from engine.config.examples import example
from engine.gateway.errors import CATALOGUE

FORMAT_VERSION = "1.0"
View = dict[str, Any]


def view_rule(rule: FindingKind) -> View:
    """One entry of the catalogue."""
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity.value,
        "ignorable": rule.ignorable,
        "summary": rule.summary,
        "explanation": rule.explanation,
        "url": rule.url,
    }


def view_explained(rule: FindingKind, reported: str) -> View:
    """One entry with its example; `reported` is how `engine check` reports the bad one."""
    shown = example(rule.code)
    return {
        **view_rule(rule),
        "example": {
            "file": shown.file,
            "bad": shown.bad,
            "good": shown.good,
            "beside": dict(shown.beside),
            "told": reported,
        },
    }


def request_error_hint(code: str) -> str:
    """What to say of a code that responses have, which is no finding; "" for any other."""
    known = code in CATALOGUE
    return f"`{code}` is no finding but an error of a request: docs/errors.md" if known else ""


def view_rules(rules: Iterable[View]) -> View:
    """Entries as one document."""
    return {"format_version": FORMAT_VERSION, "rules": list(rules)}


def render_list(rules: Iterable[FindingKind] = tuple(RULES.values())) -> str:
    """The catalogue as a table."""
    rows = [("code", "name", "severity", "silenced by a comment", "what it reports")]
    rows += [
        (r.code, r.name, r.severity.value, "yes" if r.ignorable else "no", r.summary) for r in rules
    ]
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    lines = ("  ".join([*map(str.ljust, row[:4], widths), row[4]]) for row in rows)
    return "\n".join(lines) + "\n"


def render_text(view: View, width: int = 100) -> str:
    """One entry with its example, for a terminal of `width` columns."""
    shown = view["example"]
    texts = f"{view['summary']}. {view['explanation']}"
    parts = [
        f"{view['code']} {view['name']} ({view['severity']})",
        textwrap.fill(texts, width, break_long_words=False, break_on_hyphens=False),
    ]
    parts += [f"With this {name}:\n\n{_indented(text)}" for name, text in shown["beside"].items()]
    if shown["bad"] is None:
        parts.append(f"Without {shown['file']}, this is reported:")
    else:
        parts.append(f"With this in {shown['file']}\n\n{_indented(shown['bad'])}")
        parts.append("this is reported:")
    parts.append(_indented(shown["told"]))
    parts.append(f"Correct:\n\n{_indented(shown['good'])}")
    if view["ignorable"]:
        parts.append(f"A comment on its line silences it: # engine: ignore[{view['code']}] reason")
    else:
        parts.append("No comment silences it.")
    return "\n\n".join(parts) + "\n"


def _indented(text: str) -> str:
    return textwrap.indent(text.rstrip("\n"), "    ")
