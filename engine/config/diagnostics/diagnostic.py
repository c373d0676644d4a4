"""The value that reports a configuration problem, and the order of such values."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from engine.config.diagnostics.codes import FINDING_KINDS, Severity

__all__ = [
    "LINE_END",
    "MAX_FOUND",
    "Applicability",
    "Diagnostic",
    "EntryPart",
    "Fix",
    "Position",
    "Related",
    "Severity",
    "Span",
    "in_order",
]


# More findings of one kind than a person reads at once; a malicious file could have millions.
MAX_FOUND = 200
# The line ends that PyYAML counts; str.splitlines() knows more and would shift every excerpt.
LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Position(NamedTuple):
    """A place in a text: line and column from 1, columns in code points."""

    line: int
    column: int


class Span(NamedTuple):
    """A range of one file; `end` is exclusive. A finding about a whole file starts at 1:1."""

    file: str
    start: Position
    end: Position

    def __str__(self) -> str:
        return f"{self.file}:{self.start.line}:{self.start.column}"


class EntryPart(StrEnum):
    """Which half of a `key: value` entry a finding points at."""

    KEY = "key"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Related:
    """A second place that explains the first, with a label."""

    span: Span
    label: str


class Applicability(StrEnum):
    """Whether a fix can be applied without review: `safe` cannot change a meaning, `unsafe` is likely right."""

    SAFE = "safe"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class Fix:
    """Text to put in place of `span`."""

    span: Span
    text: str
    applicability: Applicability = Applicability.UNSAFE


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `message` is complete by itself, as in a log: it names the object and never quotes a value.

    `label` is written beside the underline, `help` says how to fix it, `path` is the place in
    the document's data (`("endpoints", "search", "path")`).
    """

    code: str
    message: str
    span: Span
    label: str = ""
    help: str = ""
    path: tuple[str | int, ...] = ()
    related: tuple[Related, ...] = ()
    fix: Fix | None = None

    @property
    def severity(self) -> Severity:
        return FINDING_KINDS[self.code].severity

    @property
    def name(self) -> str:
        return FINDING_KINDS[self.code].name


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By file, line, column, then code: the order in which a person fixes them."""
    return tuple(sorted(diagnostics, key=lambda d: (d.span, d.code, d.message)))
