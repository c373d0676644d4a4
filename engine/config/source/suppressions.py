"""Comments that suppress a finding: `# engine: ignore[X205] reason`, on its line or alone above it.

Only findings that leave a usable Plan can be suppressed, and only with a reason. A comment that
cannot be read or suppresses nothing is a finding itself.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from operator import attrgetter

from engine.config.diagnostics.codes import FINDING_KINDS
from engine.config.diagnostics.diagnostic import Applicability, Diagnostic, Fix, Position, Span
from engine.config.source.document import Document
from engine.config.source.tokens import opaque_spans
from engine.plan.suggest import nearest

_OPENING = re.compile(r"(?<!\S)#\s*engine:\s*")
_FORM = re.compile(r"ignore\[(?P<codes>[^\]]*)\]\s*(?P<reason>.*)")
_WORDS = ("ignore", "ignores", "disable", "suppress", "noqa")
_HELP = "write `# engine: ignore[CODE] reason`"


@dataclass(frozen=True, slots=True)
class Suppression:
    """A comment that suppresses `codes` (each with its place) on line `line` of its file."""

    span: Span
    line: int
    codes: Mapping[str, Span]
    reason: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that a comment suppresses, and the reason given there."""

    found: Diagnostic
    reason: str


def read_suppressions(
    documents: Mapping[str, Document],
) -> tuple[list[Suppression], list[Diagnostic]]:
    """Every such comment of the files, and a finding for each that has no effect."""
    comments: list[Suppression] = []
    problems: list[Diagnostic] = []
    for document in documents.values():
        marked = list(_marked(document))
        below = _lines_below(document.lines) if marked else []
        for span, body in marked:
            read = _read(document, below, span, body)
            problems += [item for item in read if isinstance(item, Diagnostic)]
            comments += [item for item in read if isinstance(item, Suppression)]
    return comments, problems


def suppress(
    found: Sequence[Diagnostic], comments: Sequence[Suppression]
) -> tuple[list[Diagnostic], list[Suppressed]]:
    """The findings that remain, and those that a comment silences."""
    reasons = {
        (comment.span.file, comment.line, code): comment.reason
        for comment in comments
        for code in comment.codes
    }
    kept: list[Diagnostic] = []
    silenced: list[Suppressed] = []
    for d in found:
        reason = reasons.get((d.span.file, d.span.start.line, d.code))
        if reason is None:
            kept.append(d)
        else:
            silenced.append(Suppressed(d, reason))
    return kept, silenced


def unused(
    comments: Sequence[Suppression], silenced: Sequence[Suppressed], undecided: str
) -> Iterator[Diagnostic]:
    """A finding for each code that silences nothing.

    `undecided` are the letters of the phases that did not run or depend on the environment.
    """
    used = {(s.found.span.file, s.found.span.start.line, s.found.code) for s in silenced}
    for comment in comments:
        idle = {
            code
            for code in comment.codes
            if (comment.span.file, comment.line, code) not in used and code[0] not in undecided
        }
        for code in sorted(idle):
            yield Diagnostic(
                "X292",
                f"`{code}` is suppressed here, but nothing here reports it",
                comment.codes[code],
                help="remove it",
                fix=_without(comment, idle),
            )


def _without(comment: Suppression, idle: Set[str]) -> Fix:
    left = [code for code in comment.codes if code not in idle]
    text = f"# engine: ignore[{', '.join(left)}] {comment.reason}" if left else ""
    return Fix(comment.span, text, Applicability.SAFE)


def _marked(document: Document) -> Iterator[tuple[Span, str]]:
    """Each comment for the engine: its place, and its text after `engine:`."""
    lines = {n: line for n, line in enumerate(document.lines, 1) if _OPENING.search(line)}
    texts = opaque_spans(document.file, document.lines) if lines else []
    for number, line in lines.items():
        for match in _OPENING.finditer(line):
            start = Position(number, match.start() + 1)
            before = bisect_right(texts, start, key=attrgetter("start")) - 1
            if before < 0 or start >= texts[before].end:
                body = line[match.end() :].rstrip()
                end = Position(number, match.end() + len(body) + 1)
                yield Span(document.file, start, end), body
                break


def _read(
    document: Document, below: Sequence[int], span: Span, body: str
) -> list[Suppression | Diagnostic]:
    match = _FORM.fullmatch(body)
    if match is None:
        word = re.match(r"[A-Za-z-]*", body)
        is_meant = word is not None and bool(word[0]) and nearest(word[0], _WORDS) is not None
        message = "this comment is not a suppression that can be read"
        return [Diagnostic("X291", message, span, help=_HELP)] if is_meant else []
    if not match["reason"]:
        message = "this suppression gives no reason"
        return [Diagnostic("X291", message, span, help="say why after the bracket")]
    codes: dict[str, Span] = {}
    problems: list[Suppression | Diagnostic] = []
    begin = span.end.column - len(body) + match.start("codes")
    for item in re.finditer(r"[^,\s]+", match["codes"]):
        line = span.start.line
        place = Span(
            span.file, Position(line, begin + item.start()), Position(line, begin + item.end())
        )
        problem = _refused(item[0], place)
        if problem:
            problems.append(problem)
        else:
            codes[item[0]] = place
    if not codes and not problems:
        return [Diagnostic("X291", "this suppression names no code", span, help=_HELP)]
    comment = Suppression(span, _target(document, below, span), codes, match["reason"])
    return [comment, *problems] if codes else problems


def _refused(code: str, place: Span) -> Diagnostic | None:
    """Why `code` cannot be silenced."""
    if code not in FINDING_KINDS:
        names = {kind.name: kind.code for kind in FINDING_KINDS.values()}
        known = [c for c, kind in FINDING_KINDS.items() if kind.ignorable]
        hint = names.get(code.lower()) or nearest(code, known)
        return Diagnostic(
            "X291",
            f"`{code}` is not a code of a finding",
            place,
            label=f"did you mean `{hint}`?" if hint else "",
            help="" if hint else "`engine explain --list` has all codes",
            fix=Fix(place, hint) if hint else None,
        )
    if FINDING_KINDS[code].ignorable:
        return None
    message = f"`{code}` cannot be suppressed"
    return Diagnostic("X291", message, place, help="fix the finding, then remove it here")


def _target(document: Document, below: Sequence[int], span: Span) -> int:
    """The line a comment is about: its own, or the next that is no comment when it stands alone."""
    line = span.start.line
    if document.lines[line - 1][: span.start.column - 1].strip():
        return line
    return below[line]


def _lines_below(lines: Sequence[str]) -> list[int]:
    """For each line, from 0, the first from it on that is no comment, from 1."""
    below = [len(lines) + 1] * (len(lines) + 1)
    for at in range(len(lines) - 1, -1, -1):
        below[at] = below[at + 1] if lines[at].lstrip().startswith("#") else at + 1
    return below
