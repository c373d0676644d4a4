"""The configurations of other programs that the tests import, and what each import gave."""

import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from engine.cli.imports import IMPORTERS
from engine.config.load import Loaded, load
from engine.config.source.any_yaml import ForeignDocument, read_foreign
from engine.importers.draft import ImportContext
from engine.importers.notes import SettingStatus
from engine.importers.result import ImportResult
from tests.servers import parse_yaml

HERE = Path(__file__).parent
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
SOURCES = sorted(path for program in IMPORTERS for path in (HERE / program).glob("*.*"))
NAMES = [f"{path.parent.name}-{path.stem}" for path in SOURCES]


@cache
def imported(path: Path) -> ImportResult:
    return import_text(path.parent.name, path.name, path.read_bytes())


def import_text(
    program: str, name: str, raw: bytes, environ: Mapping[str, str] = NO_VARIABLES
) -> ImportResult:
    return IMPORTERS[program]([read_foreign(name, raw)], ImportContext(environ, "2026-11-27"))


def loaded(outcome: ImportResult, folder: Path) -> Loaded:
    """The files of an import as `engine check` reads them, with no variable set."""
    overrides = {
        name: text.encode() for name, text in outcome.files.items() if name.endswith(".yaml")
    }
    return load(folder, {}, time.time(), overrides=overrides)


def share(outcome: ImportResult) -> float:
    """The share of its settings that an import carries."""
    kept = [r for r in outcome.rows if r.status in (SettingStatus.CARRIED, SettingStatus.OTHERWISE)]
    return len(kept) / len(outcome.rows)


def leaves(data: Any) -> Iterator[Any]:
    """Every scalar, and every empty mapping or list, counted without the importer's own reader."""
    if isinstance(data, dict | list) and data:
        for inner in data.values() if isinstance(data, dict) else data:
            yield from leaves(inner)
    else:
        yield data


def count_of(raw: bytes) -> int:
    read = yaml.safe_load if b"\\u" in raw else parse_yaml  # libyaml refuses halves of pairs
    return sum(1 for _ in leaves(read(raw)))


def document(text: str) -> ForeignDocument:
    return read_foreign("config.yaml", text.encode())
