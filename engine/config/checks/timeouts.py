"""Timeouts that contradict each other."""

from collections.abc import Iterator, Mapping

from engine.config.checks.registry import PROVIDERS, ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, Place
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
                yield context.at("X217", message, file, place, Place.VALUE)


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
