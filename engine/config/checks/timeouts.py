"""Timeouts that contradict each other."""

from collections.abc import Iterator, Mapping

from engine.config.checks.registry import PROVIDERS, ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.source.document import Path

_TIMEOUTS = ("connect", "first_byte", "idle")


@check("X217")
def longer_than_total(context: CheckContext) -> Iterator[Diagnostic]:
    for file, at, who, own in _declared(context):
        timeouts = context.config.timeouts.overridden(own)
        for name in _TIMEOUTS:
            place: Path = (*at, "timeouts", name)
            is_own = name in own and place in context.documents[file].entries
            if is_own and own[name] > timeouts.total:
                message = f"`{name}` of {who} is longer than `total`, which ends the exchange first"
                yield context.at("X217", message, file, place, EntryPart.VALUE)


@check("X217")
def longer_than_total_of_a_target(context: CheckContext) -> Iterator[Diagnostic]:
    """A timeout of a rule, and a shorter `total` of one of its targets."""
    for rule in context.config.rules:
        for target in (t for t in rule.targets if "total" in t.timeouts):
            inherited = rule.timeouts.keys() - target.timeouts.keys()
            for name in (n for n in _TIMEOUTS if n in inherited):
                if rule.timeouts[name] > target.timeouts["total"]:
                    message = f"`{name}` of {rule.label} is longer than `total` of its target `{target.provider}`, which ends the exchange first"
                    place: Path = (*target.at, "timeouts", "total")
                    yield context.at("X217", message, ROUTES, place, EntryPart.VALUE)


def _declared(context: CheckContext) -> Iterator[tuple[str, Path, str, Mapping[str, float]]]:
    """Every entry that sets timeouts: file, path, what it is called in a message, and what it sets."""
    for endpoint in context.config.endpoints:
        yield ROUTES, endpoint.at, f"endpoint `{endpoint.name}`", endpoint.timeouts
    for provider in context.config.providers:
        yield PROVIDERS, provider.at, f"provider `{provider.name}`", provider.timeouts
    for rule in context.config.rules:
        yield ROUTES, rule.at, rule.label, rule.timeouts
        for target in rule.targets:
            who = f"target `{target.provider}` of {rule.label}"
            yield ROUTES, target.at, who, {**rule.timeouts, **target.timeouts}
    entries = context.documents[ROUTES].entries if ROUTES in context.documents else {}
    defaults = {
        name: getattr(context.config.timeouts, name)
        for name in _TIMEOUTS
        if ("defaults", "timeouts", name) in entries
    }
    yield ROUTES, ("defaults",), "`defaults`", defaults
