"""Diagnostics for a person at a terminal: the line, an underline, and how to mend it."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.config.diagnostic import SECRET, Diagnostic, Severity, Span
from engine.config.document import Document

_COLOURS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.NOTE: "36"}
TAB = "    "


def render_text(
    diagnostics: Sequence[Diagnostic], documents: Mapping[str, Document], *, colour: bool
) -> str:
    """All findings with excerpts, notes folded into one line each way; "" when there are none."""
    shown = [d for d in diagnostics if d.severity is not Severity.NOTE]
    notes = [d for d in diagnostics if d.severity is Severity.NOTE]
    parts = [_finding(d, documents, colour=colour) for d in shown]
    parts += [f"{_paint('note', '36', colour)}[{d.code}]: {d.message}" for d in notes]
    return "\n".join(parts)


def summary(diagnostics: Sequence[Diagnostic], files: int) -> str:
    """The closing line of a run that found something."""
    errors = sum(d.severity is Severity.ERROR for d in diagnostics)
    warnings = sum(d.severity is Severity.WARNING for d in diagnostics)
    return (
        f"found {_count(errors, 'error')}, {_count(warnings, 'warning')} in {_count(files, 'file')}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _finding(d: Diagnostic, documents: Mapping[str, Document], *, colour: bool) -> str:
    if "credentials" in d.path and d.span.file in documents:
        documents = {**documents, d.span.file: _without_secrets(documents[d.span.file], d)}
    head = _paint(f"{d.severity}[{d.code}]", f"1;{_COLOURS[d.severity]}", colour)
    width = max(len(str(s.start.line)) for s in (d.span, *(r.span for r in d.related)))
    pad = " " * width
    lines = [f"{head}: {d.message}", f"{pad}--> {d.span}"]
    lines += _excerpt(d.span, d.label, "^", documents, width)
    for related in d.related:
        excerpt = _excerpt(related.span, related.label, "-", documents, width)
        lines.append(f"{pad}::: {related.span}" + ("" if excerpt else f" {related.label}"))
        lines += excerpt
    if d.help:
        lines.append(f"{pad} = help: {d.help}")
    return "\n".join(lines) + "\n"


def _without_secrets(document: Document, d: Diagnostic) -> Document:
    """The document with every value hidden that stands where the secret of `d` belongs."""
    root = d.path[: d.path.index("credentials") + 2]
    branches = {path[:-1] for path in document.entries if path}
    for path, entry in document.entries.items():
        if path[: len(root)] == root and path not in branches:
            line = document.lines[entry.value.start.line - 1]
            text = line[entry.value.start.column - 1 : entry.value.end.column - 1]
            if not _is_no_secret(str(path[-1]), text):
                document = _hidden(document, entry.value)
    return document


def _is_no_secret(key: str, text: str) -> bool:
    return text in ("true", "false") or (
        key == "env" and re.fullmatch(r"[A-Z_][A-Z0-9_]*", text) is not None
    )


def _hidden(document: Document, span: Span) -> Document:
    """The document with the marked text replaced: where a secret belongs, any text may be one."""
    lines = list(document.lines)
    line = lines[span.start.line - 1]
    start, end = span.start.column - 1, min(span.end.column - 1, len(line))
    if span.end.line != span.start.line:
        end = len(line)
    lines[span.start.line - 1] = line[:start] + "*" * (end - start) + line[end:]
    return replace(document, lines=tuple(lines))


def _excerpt(
    span: Span, label: str, mark: str, documents: Mapping[str, Document], width: int
) -> list[str]:
    document = documents.get(span.file)
    if document is None or span.start.line > len(document.lines):
        return []
    line = document.lines[span.start.line - 1]
    start = span.start.column - 1
    end = span.end.column - 1 if span.end.line == span.start.line else len(line)
    before, marked = line[:start], line[start : max(end, start + 1)]
    gutter = " " * width
    underline = " " * _width(before) + mark * max(1, _width(marked))
    return [
        f"{gutter} |",
        f"{span.start.line:>{width}} | {_shown(line)}",
        f"{gutter} | {underline}{' ' + label if label else ''}".rstrip(),
        f"{gutter} |",
    ]


def _shown(text: str) -> str:
    """Secrets masked, tabs widened and control characters made harmless to a terminal."""
    text = SECRET.sub(lambda match: "*" * len(match[0]), text)
    return "".join(
        TAB if c == "\t" else c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(
        len(TAB)
        if c == "\t"
        else 0
        if unicodedata.combining(c)
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def _paint(text: str, code: str, colour: bool) -> str:  # noqa: FBT001 a private shorthand
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
