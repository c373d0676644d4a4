"""One import of LiteLLM's configuration under way."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.config.source.any_yaml import ForeignDocument, Path
from engine.importers.draft import Deployment, Draft, ImportContext
from engine.importers.fields import Context, Result
from engine.importers.notes import ImportNotes
from engine.importers.variables import Variables

_ENV = re.compile(r"os\.environ/(\w+)|os\.environ\[[\"'](\w+)[\"']\]|\$\{(\w+)\}")


@dataclass(slots=True)
class Import:
    """One import under way: what the verbs of the table `settings` share."""

    documents: Sequence[ForeignDocument]
    notes: ImportNotes
    around: ImportContext
    draft: Draft = field(default_factory=Draft)
    variables: Variables = field(default_factory=Variables)
    pending: list[tuple[Deployment, Path, str, Any, Result]] = field(default_factory=list)

    @property
    def context(self) -> Context:
        return Context(_ENV, self.variables)


@dataclass(frozen=True, slots=True)
class Setting:
    """A leaf of the source, the row of its table, and the import under way."""

    run: Import
    file: str
    path: Path
    value: Any
    row: Mapping[str, Any]


def value_at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data
