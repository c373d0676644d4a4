"""What a finding means, for people and as data: schemas/output/explain.schema.json."""

import textwrap
from collections.abc import Iterable
from typing import Any

from engine.config.diagnostics.codes import FINDING_KINDS, FindingKind
from engine.config.examples import example
from engine.gateway.errors import CATALOGUE

FORMAT_VERSION = "1.0"
View = dict[str, Any]


def view_kind(kind: FindingKind) -> View:
    """One entry of the catalogue."""
    return {
        "code": kind.code,
        "name": kind.name,
        "severity": kind.severity.value,
        "ignorable": kind.ignorable,
        "summary": kind.summary,
        "explanation": kind.explanation,
        "url": kind.url,
    }


def view_explained(kind: FindingKind, reported: str) -> View:
    """One entry with its example; `reported` is how `engine check` reports the bad one."""
    shown = example(kind.code)
    return {
        **view_kind(kind),
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


def view_kinds(kinds: Iterable[View]) -> View:
    """Entries as one document."""
    return {"format_version": FORMAT_VERSION, "rules": list(kinds)}


def render_list(kinds: Iterable[FindingKind] = tuple(FINDING_KINDS.values())) -> str:
    """The catalogue as a table."""
    rows = [("code", "name", "severity", "silenced by a comment", "what it reports")]
    rows += [
        (r.code, r.name, r.severity.value, "yes" if r.ignorable else "no", r.summary) for r in kinds
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
