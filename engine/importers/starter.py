"""A small configuration of chosen parts of the shipped one, for a person to own."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.importers.providers import served, without_unused
from engine.importers.tables import Kind, shipped_file, table
from engine.importers.variables import Variables
from engine.importers.writing import render

_LEFT_OUT = ("models", "caller_credentials", "caller_variables", "accounts")


def known_providers() -> Mapping[str, tuple[str, ...]]:
    """The shipped providers that serve an endpoint, each with the environment variables of its credentials."""
    entries = shipped_file("providers.yaml")["providers"].items()
    return {
        name: tuple(n for c in e.get("credentials", {}).values() for n in _names(c))
        for name, e in entries
        if served(Kind(name, e))
    }


def configured(environ: Iterable[str]) -> list[str]:
    """The shipped providers of which a credential is set."""
    present = set(environ)
    return [name for name, variables in known_providers().items() if present & set(variables)]


def known_endpoints(providers: Iterable[str]) -> list[str]:
    """The endpoints that some of the providers serve, in the order of the shipped routes.yaml."""
    entries = shipped_file("providers.yaml")["providers"]
    found = {name for provider in providers for name in served(Kind(provider, entries[provider]))}
    return [name for name in shipped_file("routes.yaml")["endpoints"] if name in found]


def starter_files(providers: Sequence[str], endpoints: Sequence[str]) -> dict[str, str]:
    """routes.yaml, providers.yaml and .env.example with these providers and endpoints alone."""
    entries = {name: _entry(name, endpoints) for name in providers}
    entries = {name: entry for name, entry in entries.items() if entry["endpoints"]}
    head = "# yaml-language-server: $schema=./schemas/{}.schema.json\n#\n"
    variables = Variables()
    sources = [s for e in entries.values() for s in _sources(e) if "default" not in s]
    for source in sources:
        for name in _names(source)[:1]:
            variables.use(name, "optional" if source.get("optional") else "")
    return {
        "routes.yaml": head.format("routes") + _routes(entries),
        "providers.yaml": head.format("providers")
        + render(
            {"version": 1, "providers": entries},
            3,
            {},
            "Keys are read from the environment, never written here.",
        ),
        ".env.example": variables.example({*variables.used}),
    }


def _sources(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Where the credentials and the variables of an entry come from."""
    found = [*entry.get("credentials", {}).values(), *entry.get("variables", {}).values()]
    return [source for source in found if isinstance(source, dict)]


def _entry(name: str, endpoints: Sequence[str]) -> dict[str, Any]:
    whole = shipped_file("providers.yaml")["providers"][name]
    chosen = {n: _plain(e) for n, e in served(Kind(name, whole)).items() if n in endpoints}
    entry = {key: value for key, value in whole.items() if key not in _LEFT_OUT}
    return without_unused({**entry, "endpoints": chosen})


def _plain(endpoint: Any) -> Any:
    """An endpoint without the source of its entry."""
    rest = {k: v for k, v in endpoint.items() if k != "grade"} if isinstance(endpoint, dict) else {}
    return rest["path"] if set(rest) == {"path"} else rest or endpoint


def _routes(entries: Mapping[str, Any]) -> str:
    shipped = shipped_file("routes.yaml")
    used = [
        name
        for name in shipped["endpoints"]
        if any(name in e["endpoints"] for e in entries.values())
    ]
    endpoints = {
        n: {k: v for k, v in shipped["endpoints"][n].items() if k != "default_model"} for n in used
    }
    rules = [rule for rule in shipped["models"] if _belongs(rule, entries, used)]
    data = {
        "version": 1,
        "defaults": shipped["defaults"],
        "endpoints": endpoints,
        "listing": shipped["listing"],
        "models": rules,
        "tests": [_test(name, entry) for name, entry in entries.items()],
    }
    return render(
        data,
        3,
        {},
        "What callers can use. Of the rules the most specific wins; order never matters.",
    )


def _belongs(rule: Mapping[str, Any], entries: Mapping[str, Any], endpoints: Sequence[str]) -> bool:
    """Whether a shipped rule is for these providers, by the name of the provider or a bare name of a model."""
    provider = rule.get("provider")
    names = rule.get("endpoint", endpoints)
    is_spelling = rule.get("strip") and rule["prefix"] != f"{provider}/"
    return (
        provider in entries
        and not is_spelling
        and (rule.get("strip") or _is_served(rule.get("model") or rule["prefix"], endpoints))
        and set([names] if isinstance(names, str) else names) <= set(endpoints)
    )


def _is_served(model: str, endpoints: Sequence[str]) -> bool:
    """Whether one of the endpoints is for what the name of a model says that it does."""
    kinds = table("kinds")
    mode = next(row["mode"] for row in kinds["models"] if re.search(row["find"], model))
    every = {name for names in kinds["modes"].values() for name in names}
    return not every & {*endpoints} or bool({*kinds["modes"][mode]} & {*endpoints})


def _test(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    endpoint = next(iter(entry["endpoints"]))
    return {
        "endpoint": endpoint,
        "model": f"{name}/a-model",
        "expect": {"provider": name, "model": "a-model"},
    }


def _names(credential: Mapping[str, Any]) -> list[str]:
    """The environment variables of a credential."""
    found = credential.get("env", [])
    return [found] if isinstance(found, str) else list(found)


def chosen(text: str, known: Sequence[str]) -> tuple[list[str], list[str]]:
    """What a person chose of `known`, separated by commas or spaces; and the names that are not among them."""
    names = [name.lower() for name in re.split(r"[,\s]+", text) if name]
    return [name for name in known if name in names], [name for name in names if name not in known]
