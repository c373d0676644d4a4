"""Names that one entry gives to another: of providers and endpoints."""

import re
from collections.abc import Iterator, Set
from itertools import takewhile

from engine.config.checks.registry import KEYS, PROVIDERS, ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart, Related
from engine.config.model import Config
from engine.config.source.document import Path
from engine.plan.suggest import nearest

_MAX_SHOWN = 5


@check("X201")
def unknown_provider(context: CheckContext) -> Iterator[Diagnostic]:
    known = context.config.known_providers
    entries = [(r, *item) for r in context.config.rules for item in r.providers().items()]
    for rule, path, provider in entries:
        if known and provider not in known:
            hint = nearest(provider, known)
            if hint and not _is_name(hint):  # reported by the schema as a bad name
                continue
            related: tuple[Related, ...] = ()
            if hint:
                related = (Related(context.span(PROVIDERS, ("providers", hint)), "defined here"),)
            yield context.at(
                "X201",
                f"{rule.label} names provider `{provider}`, which {PROVIDERS} does not define",
                ROUTES,
                path,
                EntryPart.VALUE,
                hint=hint,
                related=related,
                help="" if hint else _instead_of(provider, context.config),
            )


def _instead_of(name: str, config: Config) -> str:
    """Where the models go whose names begin like this, or else what providers there are, first those that begin alike."""
    known = config.known_providers
    owners = {rule.provider for rule in config.rules if rule.pattern.startswith(name)} & set(known)
    if owners:
        shown = " or ".join(f"`{owner}`" for owner in sorted(owners)[:_MAX_SHOWN])
        return f"models whose names begin with `{name}` go to {shown}"
    closest = sorted(known, key=lambda other: (-_alike(name, other), other))
    rest = f" and {len(known) - _MAX_SHOWN} more" if len(known) > _MAX_SHOWN else ""
    return f"{PROVIDERS} defines " + ", ".join(f"`{each}`" for each in closest[:_MAX_SHOWN]) + rest


def _alike(left: str, right: str) -> int:
    """How many characters at their start are the same."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
    )


@check("X202")
def unknown_endpoint(context: CheckContext) -> Iterator[Diagnostic]:
    known = context.config.known_endpoints
    if not known:
        return
    for who, name, file, path, place in _endpoint_names(context):
        if name in known:
            continue
        hint = nearest(name, known)
        if hint is None or _is_name(hint):  # else the schema has reported a bad name
            message = f"{who} names endpoint `{name}`, which {ROUTES} does not define"
            yield context.at("X202", message, file, path, place, hint=hint)


def _is_name(word: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]*", word) is not None


def _endpoint_names(context: CheckContext) -> Iterator[tuple[str, str, str, Path, EntryPart]]:
    for rule in context.config.rules:
        for index, name in enumerate(rule.endpoints or ()):
            yield rule.label, name, ROUTES, (*rule.at, "endpoint", index), EntryPart.VALUE
    for test in context.config.tests:
        yield test.label, test.endpoint, ROUTES, (*test.at, "endpoint"), EntryPart.VALUE
    for provider in context.config.providers:
        for served in (*provider.endpoints, *provider.not_enabled):
            yield f"provider `{provider.name}`", served.name, PROVIDERS, served.at, EntryPart.KEY
        if provider.ping and provider.ping.endpoint:
            at = (*provider.ping.at, "endpoint")
            yield (
                f"provider `{provider.name}`",
                provider.ping.endpoint,
                PROVIDERS,
                at,
                EntryPart.VALUE,
            )
    for key in context.config.keys or ():
        for index, name in enumerate(key.endpoints or ()):
            yield f"key `{key.name}`", name, KEYS, (*key.at, "endpoints", index), EntryPart.VALUE


@check("X205")
def unused_provider(context: CheckContext) -> Iterator[Diagnostic]:
    if "models" in context.config.incomplete or ROUTES not in context.documents:
        return
    used = {name for rule in context.config.rules for name in rule.providers().values()}
    used |= _intended(used, context.config.known_providers)
    for provider in context.config.providers:
        if provider.name not in used:
            message = f"no model rule leads to provider `{provider.name}`"
            help_text = f"add a rule such as `{{prefix: {provider.name}/, provider: {provider.name}, strip: true}}`"
            yield context.at("X205", message, PROVIDERS, provider.at, help=help_text)


@check("X206")
def endpoint_without_provider(context: CheckContext) -> Iterator[Diagnostic]:
    if not context.config.providers or "providers" in context.config.incomplete:
        return
    served = {served.name for provider in context.config.providers for served in provider.endpoints}
    served |= _intended(served, context.config.known_endpoints)
    for endpoint in context.config.endpoints:
        if endpoint.name not in served:
            message = f"no provider serves endpoint `{endpoint.name}`"
            yield context.at("X206", message, ROUTES, endpoint.at)


def _intended(names: Set[str], known: Set[str]) -> set[str]:
    """The known names that misspelt ones stand for: only the misspelling is reported."""
    return {hint for name in names - known if (hint := nearest(name, known))}
