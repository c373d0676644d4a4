"""The registry: every function that reports findings, with the codes it can report.

    @check("X205")
    def provider_without_rule(context: CheckContext) -> Iterator[Diagnostic]: ...

`load` runs what is registered for a stage; the modules of this package are imported in its
`__init__`, and no other place lists checks. A check changes nothing, sees only entries that the
schema left intact, and does not depend on other checks having run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from typing import Any, TypeVar

from engine.config.diagnostics.diagnostic import (
    MAX_FOUND,
    Diagnostic,
    EntryPart,
    Fix,
    Related,
    Span,
)
from engine.config.model import Config
from engine.config.source.document import Document, Path
from engine.config.template import Template
from engine.plan.plan import Plan

ROUTES, PROVIDERS, KEYS = "routes.yaml", "providers.yaml", "keys.yaml"
SERVER, PRICES = "server.yaml", "prices.yaml"


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What checks read. `templates` are by the path of their source; `now` is POSIX time in seconds."""

    config: Config
    documents: Mapping[str, Document]
    templates: Mapping[Path, Template]
    now: float

    def span(self, file: str, path: Path, place: EntryPart = EntryPart.KEY) -> Span:
        """Where the entry at `path` is in `file`."""
        entry = self.documents[file].entry(path)
        return entry.head if place is EntryPart.KEY else entry.value

    def at(  # noqa: PLR0913 the parts of a finding
        self,
        code: str,
        message: str,
        file: str,
        path: Path,
        place: EntryPart = EntryPart.KEY,
        *,
        hint: str | None = None,
        related: tuple[Related, ...] = (),
        help: str = "",  # noqa: A002 the field's name
    ) -> Diagnostic:
        """A finding at an entry; `hint` is a known word to offer instead."""
        span = self.span(file, path, place)
        return Diagnostic(
            code,
            message,
            span,
            label=f"did you mean `{hint}`?" if hint else "",
            help=help,
            path=path,
            related=related,
            fix=Fix(span, hint) if hint else None,
        )


@dataclass(frozen=True, slots=True)
class PlanContext(CheckContext):
    """What checks of a compiled configuration read.

    `declared` returns the Plan of tests, by the files alone, whatever the environment holds.
    """

    plan: Plan
    declared: Callable[[], Plan]


class Stage(Enum):
    """When a function runs, and what it is given."""

    CONFIG = auto()  # always, with a CheckContext
    AUDIT = auto()  # with `--audit` only, with a CheckContext
    PLAN = auto()  # when there is no error, with a PlanContext
    STEP = auto()  # a step of `load`, which calls it: it returns a value beside its findings


@dataclass(frozen=True, slots=True)
class Check:
    """A registered function and the codes of all findings that it can return."""

    codes: tuple[str, ...]
    stage: Stage
    function: Callable[..., Any]


Function = TypeVar("Function", bound=Callable[..., object])
REGISTRY: list[Check] = []


def check(*codes: str, stage: Stage = Stage.CONFIG) -> Callable[[Function], Function]:
    """Register the decorated function, which can report `codes`."""

    def register(function: Function) -> Function:
        REGISTRY.append(Check(codes, stage, function))
        return function

    return register


def run(stage: Stage, context: CheckContext) -> list[Diagnostic]:
    """The findings of every check of a stage, at most MAX_FOUND of each check."""
    return [
        found
        for registered in REGISTRY
        if registered.stage is stage
        for found in islice(registered.function(context), MAX_FOUND)
    ]
