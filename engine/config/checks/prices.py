"""Prices that cannot be right, and how they fit the model rules."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.config.checks.registry import PRICES, ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.prices import UNITS, PriceEntry, price_problems
from engine.config.rules import ModelRule, ModelTarget
from engine.plan.suggest import nearest
from engine.plan.usage import UNITS as BILLED_UNITS
from engine.plan.usage import UsagePlaces

MAX_NAMES = 5  # of models, in one message
_TIERS = (
    "write them without the tier, or remove it from `standard` in `service_tier` of an endpoint"
)
_UNCOUNTED = "name its place in `usage` of the endpoint, or its size in `bytes_each` there"
MODEL_SECTIONS = {"models", "providers"}  # what decides which models are sent where


@check("X296")
def price_that_cannot_be_right(context: CheckContext) -> Iterator[Diagnostic]:
    declared = context.config.prices
    for entry in declared.entries if declared else ():
        for at, usd in entry.every:
            for key, problem, meant in price_problems(usd):
                message = f"`{key}` in {entry.label} {problem}"
                yield context.at("X296", message, PRICES, (*at, key), EntryPart.VALUE, hint=meant)


@check("X297")
def price_that_is_not_used(context: CheckContext) -> Iterator[Diagnostic]:
    declared, config = context.config.prices, context.config
    if declared is None or config.incomplete & MODEL_SECTIONS:
        return
    sent = [each for rule in config.rules for each in sent_names(rule)]
    unknown = set()
    for entry in declared.entries:
        if entry.provider is not None and entry.provider not in config.known_providers:
            if entry.provider not in unknown:
                unknown.add(entry.provider)
                yield _no_provider(context, entry)
        elif not any(each.may_use(entry) for each in sent):
            message = f"{entry.label} is not used: no model rule sends such a model there"
            yield context.at("X297", message, PRICES, entry.at)


def _no_provider(context: CheckContext, entry: PriceEntry) -> Diagnostic:
    name = entry.provider or ""
    message = f"these prices are not used: there is no provider `{name}`"
    hint = nearest(name, sorted(context.config.known_providers))
    return context.at("X297", message, PRICES, entry.at[:-1], hint=hint)


@check("X297")
def tier_that_is_not_read(context: CheckContext) -> Iterator[Diagnostic]:
    """Prices of a service tier that every endpoint which reads tiers takes for an ordinary one."""
    declared, config = context.config.prices, context.config
    if declared is None or "endpoints" in config.incomplete:
        return
    read = [e.usage.tier for e in config.endpoints if e.usage and e.usage.tier]
    for name in dict.fromkeys(entry.tier for entry in declared.entries if entry.tier is not None):
        if read and all(name in tier.standard for tier in read):
            message = f"the prices of service tier `{name}` are not used: every endpoint takes it for an ordinary one"
            at = ("service_tiers", name)
            yield context.at("X297", message, PRICES, at, help=_TIERS)


@check("X287")
def unit_that_is_not_counted(context: CheckContext) -> Iterator[Diagnostic]:
    """Prices by a unit that no endpoint of the providers which get the model counts or estimates."""
    declared, config = context.config.prices, context.config
    if declared is None or config.incomplete & {*MODEL_SECTIONS, "endpoints"}:
        return
    served = {p.name: {e.name for e in p.endpoints} for p in config.providers}
    sent = [each for rule in config.rules for each in sent_names(rule)]
    for entry in declared.entries:
        providers = {each.target.provider for each in sent if each.may_use(entry)}
        names = {name for provider in providers for name in served.get(provider, ())}
        counted = {unit for e in config.endpoints if e.name in names for unit in _counted(e.usage)}
        for key in entry.usd if names else ():
            unit = UNITS[key][0]
            if unit in BILLED_UNITS and unit not in counted:
                message = f"`{key}` in {entry.label}: no endpoint that gets it counts {unit.replace('_', ' ')}"
                yield context.at("X287", message, PRICES, (*entry.at, key), help=_UNCOUNTED)


def _counted(usage: UsagePlaces | None) -> Iterator[str]:
    """The units of responses that are counted, or estimated by the request."""
    if usage is None:
        return
    yield from (field.count for field in usage.fields)
    yield from (unit for unit, _ in usage.bytes_each)
    if usage.output_limit is not None and usage.output_limit.times:
        yield "images"


@check("X298")
def model_without_price(context: CheckContext) -> Iterator[Diagnostic]:
    """A finding for each provider, at its first model without a price; one for all that have no price at all."""
    declared, config = context.config.prices, context.config
    if declared is None or config.incomplete & MODEL_SECTIONS:
        return
    unpriced: dict[str, list[SentNames]] = {}
    known = set()
    for each in (each for rule in config.rules for each in sent_names(rule)):
        if any(each.may_use(entry) for entry in declared.entries if entry.tier is None):
            known.add(each.target.provider)
        else:
            unpriced.setdefault(each.target.provider, []).append(each)
    for provider in unpriced.keys() & known:
        message = f"no price is known of {_listed(unpriced[provider])}, sent to `{provider}`"
        yield context.at("X298", message, ROUTES, unpriced[provider][0].target.at)
    if nothing := [f"`{provider}`" for provider in unpriced if provider not in known]:
        message = f"no model has a known price at {', '.join(nothing)}"
        yield context.at("X298", message, PRICES, ("source",))


def _listed(sent: Sequence["SentNames"]) -> str:
    """The names of models, of many the first few."""
    names = list(dict.fromkeys(each.label for each in sent))
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class SentNames:
    """The names under which one target of a rule sends models: one name, or all with a start."""

    target: ModelTarget
    name: str
    is_prefix: bool

    @property
    def label(self) -> str:
        """What messages call them."""
        if not self.is_prefix:
            return f"`{self.name}`"
        return f"`{self.name}*`" if self.name else "other models"

    def may_use(self, entry: PriceEntry) -> bool:
        """Whether some of these names have the price."""
        if entry.provider not in (None, self.target.provider):
            return False
        pattern = entry.pattern.removesuffix("*")
        if entry.pattern.endswith("*"):
            return self.name.startswith(pattern) or (
                self.is_prefix and pattern.startswith(self.name)
            )
        return pattern.startswith(self.name) if self.is_prefix else pattern == self.name


def sent_names(rule: ModelRule) -> Iterator[SentNames]:
    """What each target of a rule sends."""
    own = ModelTarget(rule.at, rule.provider, rule.rename, rule.strip, None, stem=rule.stem)
    for target in rule.targets or (own,):
        if target.rename is not None:
            yield SentNames(target, target.rename, is_prefix=False)
        elif rule.is_prefix:
            yield SentNames(target, target.stem if target.strip else rule.pattern, is_prefix=True)
        else:
            yield SentNames(target, rule.pattern, is_prefix=False)
