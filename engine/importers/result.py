"""A draft -> the texts of the files to write, and the report."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.config.source.any_yaml import Path
from engine.importers.draft import Draft
from engine.importers.notes import ImportNotes, ImportRow
from engine.importers.providers import Providers
from engine.importers.rules import Rules
from engine.importers.tables import shipped_file
from engine.importers.variables import Variables
from engine.importers.writing import render


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The files by name, and a row for every setting of the source. No secret is in either."""

    program: str
    files: dict[str, str]
    rows: tuple[ImportRow, ...]


Notes = Callable[[], None]


def write_all(  # noqa: PLR0913, PLR0917 all that an import has gathered
    program: str,
    draft: Draft,
    notes: ImportNotes,
    variables: Variables,
    today: str,
    finish: Notes,
) -> ImportResult:
    """Build rules and providers and write them down. `finish` completes the report, when all names are known."""
    providers = Providers(variables, draft.settings)
    rules = Rules(draft, notes, providers)
    rules.build()
    finish()
    if not rules.rules:
        return ImportResult(program, {}, notes.rows())
    head = f"Imported from {program} by `engine import {program}`."
    files = {
        "routes.yaml": _routes(draft, rules, head),
        "providers.yaml": render(
            {
                "version": 1,
                "providers": {name: providers.entries[name] for name in sorted(providers.entries)},
            },
            3,
            {},
            f"{head} Keys are read from the environment: .env.example names the variables.",
        ),
    }
    if rules.prices:
        prices: dict[str, Any] = {
            "version": 1,
            "source": f"the configuration of {program}",
            "date": today,
        }
        prices["providers"] = {n: p for n, p in rules.prices.items() if n in providers.entries}
        files["prices.yaml"] = render(prices, 3, {}, head)
    if draft.settings.metrics:
        files["server.yaml"] = render({"version": 1, "metrics": {}}, 2, {}, head)
    if draft.keys:
        files["keys.yaml"] = render(
            {"version": 1, "keys": draft.keys}, 2, {}, f"{head} Only the hash of each key."
        )
    files[".env.example"] = variables.example(_needed(providers.entries))
    return ImportResult(program, files, notes.rows())


def _routes(draft: Draft, rules: Rules, head: str) -> str:
    shipped = shipped_file("routes.yaml")
    names = [name for name in shipped["endpoints"] if name in rules.endpoints]
    endpoints = {
        name: {k: v for k, v in shipped["endpoints"][name].items() if k != "default_model"}
        for name in names
    }
    defaults: dict[str, Any] = {}
    if draft.settings.max_body:
        defaults["max_body"] = draft.settings.max_body
        endpoints = {
            name: {k: v for k, v in e.items() if k != "max_body"} for name, e in endpoints.items()
        }
    if draft.settings.timeouts:
        defaults["timeouts"] = draft.settings.timeouts
    data = {
        "version": 1,
        **({"defaults": defaults} if defaults else {}),
        "endpoints": endpoints,
        "listing": shipped["listing"],
        **({"tracing": {"sample": "100%"}} if draft.settings.tracing else {}),
        "models": rules.rules,
    }
    comments: dict[Path, str] = {
        ("models", number): words for number, words in rules.comments.items()
    }
    return render(data, 3, comments, f"{head} The most specific rule wins; order never matters.")


def _needed(entries: dict[str, Any]) -> set[str]:
    """The environment variables that the entries name."""
    found: set[str] = set()
    for entry in entries.values():
        sets = [entry, *entry.get("accounts", ())]
        for source in [
            *entry.get("variables", {}).values(),
            *(source for each in sets for source in each.get("credentials", {}).values()),
        ]:
            names = source.get("env", []) if isinstance(source, dict) else []
            found |= (
                {names[0]} if isinstance(names, list) and names else {names} if names else set()
            )
    return {name for name in found if re.fullmatch(r"[A-Z_][A-Z0-9_]*", name)}
