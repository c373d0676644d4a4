"""Limits of callers that cannot work as they are written."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from engine.config.checks.registry import KEYS, PROVIDERS, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, Place
from engine.config.source.document import Path
from engine.plan.limits import CallerLimits


@check("X294")
def limits_that_cannot_work(context: CheckContext) -> Iterator[Diagnostic]:
    for file, at, limits in _declared(context):
        seen = set()
        for index, budget in enumerate(limits.budgets):
            here = (*at, "budgets", index)
            if (budget.per, budget.is_usd) in seen:
                message = f"two budgets are for each {budget.per}"
                yield context.at("X294", message, file, (*here, "per"), Place.VALUE)
            seen.add((budget.per, budget.is_usd))
            if budget.is_usd and budget.unpriced is None and context.config.prices is None:
                message = "a budget in US dollars refuses every request, as there is no prices.yaml"
                yield context.at("X294", message, file, (*here, "usd"), Place.VALUE)
            if not _is_zone(budget.zone):
                message = f"there is no time zone `{budget.zone}`"
                yield context.at("X294", message, file, (*here, "zone"), Place.VALUE)


def _declared(context: CheckContext) -> Iterator[tuple[str, Path, CallerLimits]]:
    """Limits where they are written: those of keys, of models in them, and of credentials."""
    for provider in context.config.providers:
        entries = [(provider.at, provider.credential_limits)]
        entries += ((each.at, each.credential_limits) for each in provider.accounts)
        for entry, own in entries:
            at: Path = (*entry, "credential_limits")
            if own is not None and at not in context.documents[PROVIDERS].inherited:
                yield PROVIDERS, at, own
    shared = False
    for key in context.config.keys or ():
        if key.limits is None:
            continue
        at = key.limits_at
        if at == ("limits",):
            if shared:
                continue
            shared = True
        yield KEYS, at, key.limits
        for pattern, limits in key.limits.models:
            yield KEYS, (*at, "models", pattern), limits


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # the last for one that is missing
        return False
    return True
