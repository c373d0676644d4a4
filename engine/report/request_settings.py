"""The settings that apply to a request at one provider, beside its URL, each with its line.

For `engine route`, which shows all of it for one request, and `engine routes`, which shows what
was written.
"""

import json
from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from typing import Any

from engine.config.effective import DEFAULT, Effective, EffectiveSetting, settings_at
from engine.config.source.document import Document, Path
from engine.plan.plan import Names, Provider
from engine.report.mask import masked

View = dict[str, Any]
MAX_VALUES = 5
SECTIONS = ("retry", "breaker", "sign", "tls", "proxy", "caller_credentials")


def line_of(document: Document, path: Path) -> str:
    """The file and the line of an entry, as `routes.yaml:41`."""
    return f"{document.file}:{document.entry(path).head.start.line}"


def sections(files: Effective, provider: str) -> dict[str, list[View]]:
    """The settings in force of each section of a provider."""
    at: Path = ("providers", provider)
    return {name: mask_all(settings_at(files, (*at, name))) for name in SECTIONS}


def section(settings: Iterable[EffectiveSetting], name: str) -> list[View]:
    """Those of `settings` that are below the key `name`, named by the keys that follow."""
    below = (replace(s, name=s.name.removeprefix(f"{name}.")) for s in settings if s.name.startswith(f"{name}."))  # fmt: skip
    return mask_all(below)


def override(
    changes: Iterable[EffectiveSetting], name: str, settings: Iterable[EffectiveSetting]
) -> list[View]:
    """`settings`, with those of a rule below the key `name` in place of theirs."""
    own = {each["name"]: each for each in section(changes, name)}
    return [own.get(each["name"], each) for each in mask_all(settings)]


def mask_all(settings: Iterable[EffectiveSetting]) -> list[View]:
    """Settings as data, without what may be a secret."""
    return [
        {
            "name": s.name,
            "value": masked(_revealing(s.name), s.value) if isinstance(s.value, str) else s.value,
            "where": s.where,
        }
        for s in settings
    ]


def _revealing(name: str) -> str:
    """The part of a name that may say that its value is a secret; the value of a rename is the name of a field."""
    return "" if "rename" in name.split(".")[:-1] else name


def accounts(provider: Provider, sent_model: str, caller: str | None) -> list[View]:
    """Every account, and whether it serves the request; None where the key decides."""
    written_rows: list[View] = []
    is_open = True
    for account in provider.accounts:
        fits = account.models is None or sent_model in account.models
        serves: bool | None = is_open and fits
        if serves and account.callers is not None:
            serves = None if caller is None else caller in account.callers
        is_open = is_open and serves is not True
        written_rows.append(
            {
                "where": list(account.where),
                "weights": [account.rotation.count(i) for i in range(len(account.providers))]
                if account.rotation
                else None,
                "callers": _patterns(account.callers),
                "models": _patterns(account.models),
                "serves": serves,
                "missing": list(account.providers[0].missing),
            }
        )
    return written_rows


def _patterns(names: Names | None) -> list[str] | None:
    if names is None:
        return None
    return [*sorted(names.exact), *(f"{start}*" for start in names.prefixes)]


def choices(files: Effective, provider: Provider) -> list[View]:
    """What a caller may choose by header or body field, and the value where it chooses nothing."""
    if provider.choices is None:
        return []
    return [
        {
            "by": picked.name,
            "variable": str(picked.value),
            "value": provider.choices.own[str(picked.value)],
            "choices": list(provider.choices.allowed[str(picked.value)]),
            "where": picked.where,
        }
        for picked in settings_at(files, ("providers", provider.name, "caller_variables"))
    ]


def declared_settings(files: Effective, provider: Provider, endpoints: Set[str]) -> list[View]:
    """What the entry of a provider says about how it is called, a line each: section, text, place."""
    at: Path = ("providers", provider.name)
    places = {name: (*at, name) for name in ("timeouts", "limits", *SECTIONS[:-1])}
    places |= {
        f"{e}.body": (*at, "endpoints", e, "body") for e in provider.upstreams if e in endpoints
    }
    rows = [(name, mask_all(settings_at(files, place))) for name, place in places.items()]
    written_rows = [
        _row(name, [s for s in settings if s["where"] != DEFAULT]) for name, settings in rows
    ]
    return [*filter(None, written_rows), *_accounts(provider), *_choices(files, provider)]


def _row(section: str, settings: list[View]) -> View | None:
    if not settings:
        return None
    words = ", ".join(f"{s['name']} {format_value(s['value'])}" for s in settings)
    return {"section": section, "words": words, "where": settings[0]["where"]}


def _accounts(provider: Provider) -> Iterator[View]:
    for account in provider.accounts:
        for where in account.where:
            words = describe_callers(_patterns(account.callers), _patterns(account.models))
            yield {"section": "accounts", "words": words, "where": where}


def describe_callers(callers: list[str] | None, models: list[str] | None) -> str:
    """Whom an account is for, in words."""
    kinds = {"keys": callers, "models": models}
    words = [f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names is not None]
    return " and ".join(words) or "in turn"


def _choices(files: Effective, provider: Provider) -> Iterator[View]:
    for choice in choices(files, provider):
        words = f"{choice['by']} picks {choice['variable']}: {shorten_list(choice['choices'])}"
        yield {"section": "caller_variables", "words": words, "where": choice["where"]}


def shorten_list(values: list[str]) -> str:
    """A few values of a list that may be long."""
    more = len(values) - MAX_VALUES
    return ", ".join(values[:MAX_VALUES]) + (f" and {more} more" if more > 0 else "")


def format_value(value: Any) -> str:
    """A value for people: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
