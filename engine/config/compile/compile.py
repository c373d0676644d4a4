"""The pure compilation Config -> Plan: match tables, header bytes, prepared templates.

Runs only on a Config without errors, so it reports nothing and refuses nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from engine.config import model
from engine.config.compile.binding import Binding, Templates
from engine.config.compile.body import edited_names
from engine.config.compile.prices import compile_prices
from engine.config.compile.provider import caller_inputs, compile_provider
from engine.config.compile.rules import compile_rule
from engine.config.compile.values import ProviderValues
from engine.config.compile.variants import compile_variants
from engine.config.server import accounts_of
from engine.config.source.document import Path
from engine.plan import plan
from engine.plan.conditions import conditions_of


def compile_plan(
    config: model.Config,
    templates: Templates,
    values: Mapping[str, ProviderValues],
    lines: Mapping[Path, str],
    fingerprint: str,
) -> plan.Plan:
    """The Plan of `config`.

    `lines` has the place of each rule, target, provider, account and price, such as `routes.yaml:41`.
    """
    providers = _providers(config, templates, values, lines)
    rules = tuple(compile_rule(config, rule, lines) for rule in config.rules)
    caller_fields = caller_inputs(config).every_field
    endpoints = _endpoints(config, _edited_fields(config, providers.values(), rules), caller_fields)
    made = plan.Plan(
        endpoints=endpoints,
        refusals=tuple(_refusals(config)),
        models=_model_table(rules),
        rules=rules,
        providers=providers,
        callers=_callers(config),
        caller_fields=caller_fields,
        listing=_listing(config),
        cors=_cors(config.cors),
        caller_idle=config.timeouts.caller_idle,
        fingerprint=fingerprint,
        model_depths=_model_depths(endpoints),
        prices=compile_prices(config.prices, lines),
        tracing=config.tracing,
    )
    return replace(made, listed=_listed(made))


def for_tests(
    made: plan.Plan,
    config: model.Config,
    templates: Templates,
    values: Mapping[str, ProviderValues],
    declared: Mapping[str, ProviderValues],
) -> plan.Plan:
    """`made`, the Plan of `config` with `values`, as tests of routing see it: with the URLs that `declared` gives.

    They depend on the variables alone, and no test picks a variant, so most providers are those of `made`.
    """
    inputs = caller_inputs(config)
    changed = {
        p.name: compile_provider(Binding(config, templates, declared[p.name], inputs), p)
        for p in config.providers
        if declared[p.name].variables != values[p.name].variables
    }
    return replace(made, providers=MappingProxyType({**made.providers, **changed}))


def _providers(
    config: model.Config,
    templates: Templates,
    values: Mapping[str, ProviderValues],
    lines: Mapping[Path, str],
) -> Mapping[str, plan.Provider]:
    inputs = caller_inputs(config)
    bound = {p.name: Binding(config, templates, values[p.name], inputs) for p in config.providers}
    compiled = {p.name: compile_variants(bound[p.name], p, lines) for p in config.providers}
    return MappingProxyType(compiled)


def _endpoints(
    config: model.Config, edited: Mapping[str, frozenset[str]], caller_fields: frozenset[str]
) -> Mapping[bytes, Mapping[str, plan.Endpoint]]:
    table: dict[bytes, dict[str, plan.Endpoint]] = {}
    exact = [rule.pattern for rule in config.rules if not rule.is_prefix]
    odd = frozenset(name for name in exact if not name.isascii() or " " in name)
    for endpoint in config.endpoints:
        timeouts = config.timeouts.overridden(endpoint.timeouts)
        own = edited.get(endpoint.name, frozenset())
        compiled = plan.Endpoint(
            name=endpoint.name,
            path=endpoint.path.encode("ascii"),
            method=endpoint.method,
            bodies=frozenset(endpoint.bodies),
            default_model=endpoint.default_model,
            dialect=endpoint.dialect,
            max_body=endpoint.max_body,
            caller_idle=timeouts.caller_idle,
            total=timeouts.total,
            edited_fields=own,
            routing_fields=plan.ROUTING_FIELDS | caller_fields | own,
            odd_models=odd,
            drop_query=frozenset(name.lower().encode("ascii") for name in endpoint.drop_query),
            last_events=tuple(event.encode("ascii") for event in endpoint.last_events),
            usage=endpoint.usage,
            is_free=endpoint.is_free,
            operation=endpoint.operation,
        )
        for path in (endpoint.path, *endpoint.also):
            table.setdefault(path.encode("ascii"), {})[endpoint.method] = compiled
    return MappingProxyType({path: MappingProxyType(methods) for path, methods in table.items()})


def _listed(made: plan.Plan) -> tuple[tuple[str, str], ...]:
    """Name and provider of every model that the configuration can name, in order."""
    exact = sorted((r for r in made.rules if not r.is_prefix), key=lambda r: not r.when)
    named = {rule.pattern: rule.provider for rule in exact}  # rather of those without conditions
    for provider in made.providers.values():
        for name in made.public_names(provider).values():
            if name is not None:
                named.setdefault(name, provider.name)
    return tuple(sorted(named.items()))


def _model_depths(paths: Iterable[bytes]) -> tuple[int, ...]:
    """The positions of `{model}` among the segments of paths, each once."""
    split = (path.split(b"/") for path in paths if b"{model}" in path)
    return tuple(sorted({parts.index(b"{model}") for parts in split}))


def _refusals(config: model.Config) -> Sequence[plan.RefusedPath]:
    """Longest path first, so that the most specific reason is given."""
    refusals = [
        plan.RefusedPath(
            path=path.removesuffix("*").encode("ascii"),
            is_prefix=path.endswith("/*"),
            methods=entry.methods,
            reason=entry.reason,
        )
        for entry in config.not_exposed
        for path in entry.paths
    ]
    return sorted(refusals, key=lambda refusal: len(refusal.path), reverse=True)


def _model_table(rules: Sequence[plan.Rule]) -> plan.ModelTable:
    exact = _by_pattern(rule for rule in rules if not rule.is_prefix)
    prefixes = _by_pattern(rule for rule in rules if rule.is_prefix)
    lengths = sorted({len(prefix) for prefix in prefixes}, reverse=True)
    asked = [dimension for rule in rules for dimension in rule.when]
    headers = frozenset(d.name.encode("ascii") for d in asked if d.kind == "header")
    return plan.ModelTable(exact, prefixes, tuple(lengths), bool(asked), headers)


def _by_pattern(rules: Any) -> Mapping[str, plan.PatternRules]:
    by_pattern: dict[str, list[plan.Rule]] = {}
    for rule in rules:
        by_pattern.setdefault(rule.pattern, []).append(rule)
    return MappingProxyType(
        {pattern: _rules_of_pattern(group) for pattern, group in by_pattern.items()}
    )


def _rules_of_pattern(rules: Sequence[plan.Rule]) -> plan.PatternRules:
    by_scope: dict[str | None, list[plan.Rule]] = {}
    for rule in rules:
        for name in rule.endpoints or (None,):
            by_scope.setdefault(name, []).append(rule)
    plain = {scope: rule for scope, group in by_scope.items() for rule in group if not rule.when}
    general = plain.pop(None, None)
    found = {scope: conditions_of((r.when, r) for r in g) for scope, g in by_scope.items()}
    conditional = {scope: each for scope, each in found.items() if each is not None}
    by_endpoint = {scope: rule for scope, rule in plain.items() if scope is not None}
    return plan.PatternRules(MappingProxyType(by_endpoint), general, conditional or None)


def _callers(config: model.Config) -> Mapping[bytes, plan.Caller] | None:
    if config.keys is None and accounts_of(config.server) is None:
        return None
    keys = config.keys or ()
    return MappingProxyType({bytes.fromhex(key.sha256): _caller(key) for key in keys})


def _listing(config: model.Config) -> plan.Listing | None:
    declared = config.listing
    if declared is None:
        return None
    return plan.Listing(
        paths=tuple(path.encode("ascii") for path in declared.paths),
        shape=declared.shape,
        shape_by_header=tuple(
            (name.encode("ascii"), shape) for name, shape in declared.shape_by_header.items()
        ),
    )


def _cors(declared: model.Cors | None) -> plan.Cors | None:
    if declared is None:
        return None
    origins = frozenset(origin.encode("ascii") for origin in declared.origins)
    return plan.Cors(origins, int(declared.max_age))


def _edited_fields(
    config: model.Config, providers: Iterable[plan.Provider], rules: Iterable[plan.Rule]
) -> Mapping[str, frozenset[str]]:
    """By endpoint, the fields that any provider or rule changes there."""
    edits: dict[str, list[plan.BodyEdits]] = {e.name: [] for e in config.endpoints}
    for variant in (variant for provider in providers for variant in provider.variants()):
        for endpoint, upstream in variant.upstreams.items():
            if upstream is not None and upstream.edits is not None and endpoint in edits:
                edits[endpoint].append(upstream.edits)
    for rule in rules:
        every = [*rule.edits, *(each for target in rule.targets for each in target.edits)]
        for endpoint in (rule.endpoints or edits) if every else ():
            edits[endpoint] += every
    return {endpoint: edited_names(every) for endpoint, every in edits.items()}


def _caller(key: model.Key) -> plan.Caller:
    models = key.models or ()
    return plan.Caller(
        name=key.name,
        endpoints=None if key.endpoints is None else frozenset(key.endpoints),
        models=None if key.models is None else frozenset(m for m in models if m[-1:] != "*"),
        model_prefixes=tuple(m[:-1] for m in models if m[-1:] == "*"),
        expires=key.expires,
        limits=key.limits,
    )
