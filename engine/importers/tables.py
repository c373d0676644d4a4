"""The tables of the importers, and the shipped configuration that their outputs are made of."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from engine.config.resources import shipped
from engine.config.source.any_yaml import Path as DataPath
from engine.config.source.any_yaml import read_foreign

_HERE = Path(__file__).parent / "tables"


@dataclass(frozen=True, slots=True)
class Kind:
    """A provider as another program names it: the shipped entry it is, or an address of the usual API."""

    name: str
    entry: Mapping[str, Any]
    suffix: str = ""
    model: str = "{model}"
    endpoints: tuple[str, ...] = ()
    note: str = ""
    refuse: str = ""


@cache
def table(name: str) -> Any:
    """A table of this package, by its name without .yaml."""
    file = _HERE / f"{name}.yaml"
    return read_foreign(file.name, file.read_bytes()).data


@cache
def shipped_file(name: str) -> Any:
    """The data of the shipped routes.yaml or providers.yaml."""
    return read_foreign(name, shipped(name).read_bytes()).data


@cache
def prefixes() -> Mapping[str, str]:
    """Names that stand before a slash in a model's name, and the shipped provider of each."""
    rules = shipped_file("routes.yaml")["models"]
    return {
        rule["prefix"][:-1]: rule["provider"]
        for rule in rules
        if rule.get("strip") and rule["prefix"].endswith("/") and "endpoint" not in rule
    }


def is_kind(name: str) -> bool:
    """Whether `name` before a slash is that of a provider."""
    return name in table("kinds")["names"] or name in prefixes()


def kind_of(name: str, model: str) -> Kind:
    """The provider that another program calls `name`, for `model`."""
    for case in table("kinds")["names"].get(name, ()):
        if re.search(case["match"], model):
            return _case(name, case)
    return _shipped(prefixes()[name])


def compatible_kind() -> Kind:
    """The kind for an address without a name."""
    return _shipped(table("kinds")["compatible"])


def kind_of_model(model: str) -> Kind | None:
    """The provider of a bare model name, by the rules of the shipped routes.yaml."""
    best: tuple[int, str] | None = None
    for rule in shipped_file("routes.yaml")["models"]:
        if rule.get("strip") or "endpoint" in rule or "as" in rule or "provider" not in rule:
            continue
        if rule.get("model") == model:
            return _shipped(rule["provider"])
        prefix = rule.get("prefix")
        if prefix and model.startswith(prefix) and len(prefix) > (best or (0,))[0]:
            best = (len(prefix), rule["provider"])
    return _shipped(best[1]) if best else None


def _shipped(provider: str) -> Kind:
    return Kind(provider, shipped_file("providers.yaml")["providers"][provider])


def _case(name: str, case: Mapping[str, Any]) -> Kind:
    entry = _shipped(case["provider"]).entry if "provider" in case else _at_address(case)
    return Kind(
        case.get("provider", re.sub(r"[^a-z0-9_]", "_", name.lower())),
        entry,
        case.get("suffix", ""),
        case.get("model", "{model}"),
        tuple(case.get("endpoints", ())),
        case.get("note", ""),
        case.get("refuse", ""),
    )


def _at_address(case: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of the usual API at another address; the source names the address where the table has none."""
    model = compatible_kind().entry
    names = table("kinds")["at_addresses"]
    endpoints = {name: model["endpoints"][name] for name in names}
    entry: dict[str, Any] = {"base_url": case.get("base_url", "")}
    if "env" in case:
        entry["credentials"] = {"api_key": {"env": case["env"]}}
        entry["headers"] = {"authorization": "Bearer {{ credentials.api_key }}"}
    return {**entry, "endpoints": endpoints}


def is_listed(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of those, some of which are patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def find_row(pattern_table: Any, path: DataPath) -> Mapping[str, Any] | None:
    """The first row of a table of settings whose `at` fits the path."""
    parts = tuple(map(str, path))
    return next((row for row in pattern_table if path_matches(row["at"], parts)), None)


def path_matches(pattern: str, parts: tuple[str, ...]) -> bool:
    """Whether a path fits: `*` stands for one step or a part of it, `**` at the end for all that follows."""
    wanted = pattern.split("/")
    if wanted[-1] == "**":
        wanted, parts = wanted[:-1], parts[: len(wanted) - 1]
    return len(wanted) == len(parts) and all(map(fnmatchcase, parts, wanted))
