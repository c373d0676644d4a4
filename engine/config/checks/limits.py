"""Limits of callers that cannot work as they are written."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from engine.config.checks.prices import MODEL_SECTIONS, sent_names
from engine.config.checks.registry import KEYS, PRICES, PROVIDERS, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.source.document import Path
from engine.plan.limits import CallerLimits
from engine.plan.suggest import nearest


@check("X294")
def limits_that_cannot_work(context: CheckContext) -> Iterator[Diagnostic]:
    for file, at, limits in _declared(context):
        seen = set()
        for index, budget in enumerate(limits.budgets):
            here = (*at, "budgets", index)
            if (budget.per, budget.is_usd) in seen:
                message = f"two budgets have the period `{budget.per}`"
                yield context.at("X294", message, file, (*here, "per"), EntryPart.VALUE)
            seen.add((budget.per, budget.is_usd))
            if budget.is_usd and budget.unpriced is None and PRICES not in context.documents:
                message = "a budget in US dollars refuses every request, as there is no prices.yaml"
                yield context.at("X294", message, file, (*here, "usd"), EntryPart.VALUE)
            if not _is_zone(budget.zone):
                message = f"there is no time zone `{budget.zone}`"
                yield context.at("X294", message, file, (*here, "zone"), EntryPart.VALUE)


@check("X295")
def limits_of_models_that_never_apply(context: CheckContext) -> Iterator[Diagnostic]:
    names = _names(context)
    for file, at, limits in _declared(context):
        before: list[str] = []
        for pattern, _ in limits.models:
            wider = next((each for each in before if _matches_all(each, pattern)), None)
            before.append(pattern)
            if wider is not None:
                message = f"the limit of `{pattern}` never applies: `{wider}` before it matches the same models"
                help_text = f"write it before `{wider}`"
            elif names and not any(may_match(pattern.lower(), *name) for name in names):
                message = f"no model rule has a model that `{pattern}` matches"
                help_text = ""
            else:
                continue
            shown = [f"{name}*" if is_prefix else name for name, is_prefix in names]
            hint = nearest(pattern, shown) if wider is None else None
            path = (*at, "models", pattern)
            yield context.at("X295", message, file, path, hint=hint, help=help_text)


def _names(context: CheckContext) -> list[tuple[str, bool]]:
    """The names that callers or targets use for models, in lower case, and whether each is the start of many."""
    if context.config.incomplete & MODEL_SECTIONS:
        return []
    rules = context.config.rules
    asked = [(rule.pattern.lower(), rule.is_prefix) for rule in rules]
    sent = [(each.name.lower(), each.is_prefix) for rule in rules for each in sent_names(rule)]
    return [*asked, *sent]


def may_match(pattern: str, name: str, is_prefix: bool) -> bool:  # noqa: FBT001 a row of `_names`
    """Whether some models with this name fit `pattern`, a whole name or a start that ends in `*`."""
    start = pattern.removesuffix("*")
    if start == pattern:
        return start.startswith(name) if is_prefix else start == name
    return name.startswith(start) or (is_prefix and start.startswith(name))


def _matches_all(wide: str, pattern: str) -> bool:
    """Whether `wide` matches each name that `pattern` does."""
    wide, pattern = wide.lower(), pattern.lower()
    return wide == pattern or (wide.endswith("*") and pattern.startswith(wide[:-1]))


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
