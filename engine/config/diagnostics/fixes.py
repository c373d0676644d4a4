"""Applies the fixes of findings: texts and findings in, texts out.

Nothing but the marked text changes: line ends, comments, tabs and a byte order mark stay as they
are. Fixes that overlap are never applied together, and none is kept that leaves a file with more errors,
unless the file could not be read before: what is wrong in it was hidden.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.config.diagnostics.codes import FINDING_KINDS
from engine.config.diagnostics.diagnostic import (
    LINE_END,
    Applicability,
    Diagnostic,
    Fix,
    Position,
    Severity,
    Span,
)

# A fix may reveal the next finding, so there are several rounds; this many are a bug.
MAX_ROUNDS = 20
_MARK = "\ufeff"
_UNREADABLE = "Y001"

Texts = Mapping[str, str]
Check = Callable[[Texts], Sequence[Diagnostic]]


@dataclass(frozen=True, slots=True)
class Fixed:
    """The texts after all fixes, the findings that were fixed, and those that are left.

    `refused` are those left whose fix was tried, and would leave more errors.
    """

    texts: Texts
    applied: tuple[Diagnostic, ...]
    left: tuple[Diagnostic, ...]
    refused: tuple[Diagnostic, ...]


def fix_all(
    texts: Texts, check: Check, *, unsafe: bool, codes: Container[str] = FINDING_KINDS
) -> Fixed:
    """Fix what `check` finds of `codes` in `texts` (by file name) until no fix is left.

    Without `unsafe` only fixes that cannot change a meaning are applied.
    """
    found = tuple(check(texts))
    applied: list[Diagnostic] = []
    chosen: list[Diagnostic] = []
    for _ in range(MAX_ROUNDS):
        chosen = choose([d for d in found if d.code in codes], texts, unsafe=unsafe)
        readable = [d for d in chosen if d.code == _UNREADABLE]
        for attempt in (*filter(None, [readable]), chosen, *([d] for d in chosen)):
            made = apply_fixes(texts, attempt)
            left = tuple(check(made)) if made != texts else found
            if made != texts and not _is_worse(found, left):
                break
        else:
            break
        texts, found = made, left
        applied += attempt
    left = tuple(d for d in found if d.code in codes)
    return Fixed(texts, tuple(applied), left, tuple(d for d in chosen if d in left))


def choose(found: Iterable[Diagnostic], files: Container[str], *, unsafe: bool) -> list[Diagnostic]:
    """The findings whose fixes in `files` can be applied at once; of two that overlap, the first."""
    offered = [
        (fix.span, d.code, fix.text, d)
        for d in found
        if (fix := d.fix) is not None
        and fix.span.file in files
        and (unsafe or fix.applicability is Applicability.SAFE)
    ]
    chosen: list[Diagnostic] = []
    last: Span | None = None
    for span, _, _, d in sorted(offered, key=lambda item: item[:3]):
        meets = last and last.file == span.file and (span.start < last.end or span == last)
        if not meets:
            chosen.append(d)
            last = span
    return chosen


def apply_fixes(texts: Texts, chosen: Iterable[Diagnostic]) -> Texts:
    """`texts` with the fixes of `chosen` applied; they may not overlap."""
    by_file: dict[str, list[Fix]] = {}
    for d in chosen:
        if d.fix is not None:
            by_file.setdefault(d.fix.span.file, []).append(d.fix)
    return {name: _edited(text, by_file.get(name, [])) for name, text in texts.items()}


def _edited(text: str, fixes: Sequence[Fix]) -> str:
    mark = _MARK if text.startswith(_MARK) else ""
    text = text.removeprefix(mark)
    starts = [0, *(hit.end() for hit in LINE_END.finditer(text))]
    for fix in sorted(fixes, key=lambda fix: fix.span, reverse=True):
        start, end = _offset(starts, fix.span.start), _offset(starts, fix.span.end)
        text = text[:start] + fix.text + text[end:]
    return mark + text


def _offset(starts: Sequence[int], at: Position) -> int:
    return starts[at.line - 1] + at.column - 1


def _is_worse(before: Sequence[Diagnostic], after: Sequence[Diagnostic]) -> bool:
    """Whether a file has more errors than before, and none can be read that could not."""
    unread = [{d.span.file for d in found if d.code == _UNREADABLE} for found in (before, after)]
    if unread[1] < unread[0]:
        return (
            False  # one syntax error hides all others, also those of files that refer to this one
        )
    counts = [
        Counter(d.span.file for d in found if d.severity is Severity.ERROR)
        for found in (before, after)
    ]
    return any(counts[1][file] > counts[0][file] for file in counts[1])
