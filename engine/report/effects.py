"""What a configuration does to requests, in a form that two of them can be compared by.

Comments, layout, order, names of variables and the lines of rules have no part in it. Nothing comes
from the environment: a variable or secret is shown as `$NAME`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from engine.config.effective import fill_in
from engine.config.files import FILES
from engine.config.load import Loaded
from engine.config.model import Config, Provider
from engine.config.template import compile_template, render_now
from engine.config.units import parse_duration, parse_size
from engine.plan.plan import Plan, Rule
from engine.report.matching_requests import MatchingRequests
from engine.report.request_settings import format_value
from engine.report.rule_settings import RuleSettings

Facets = Mapping[str, str]
_BLOCK = re.compile(r"\{\{(.*?)\}\}")
_DURATION = re.compile(r"[0-9]+(\.[0-9]+)?(ms|s|m|h)")
_SIZE = re.compile(r"[0-9]+([KMG]i)?B")
_TOKEN = re.compile(r"""\"[^"]*\"|'[^']*'|[^\s"']+""")
_SIZES = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("B", 1))
_UNITS = (("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001))
# Parts of an entry that mean nothing to a request, or that are compared in another way.
_ENDPOINT_SKIPS = {"description", "timeouts"}
_PROVIDER_SKIPS = {"description", "timeouts", "base_url", "variables", "headers", "endpoints"}
_SERVED_SKIPS = {"path", "query", "grade", "enabled"}
# Represents the rest of a name: no pattern can contain it, so it never matches a longer prefix.
REST = "*"
# How the gateway's own list of models is named among the endpoints.
LISTING = "list of models"
# And which pages may call all of them from a browser.
CORS = "cors"


@dataclass(frozen=True, slots=True)
class ShownTarget:
    """One place a request may go to; `weight` only where there is a choice.

    `settings` is the rest that the rule says of it: `body.set.temperature 0.2`.
    """

    provider: str
    sent_model: str
    weight: int | None = None
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """Where one model goes at one endpoint, in turn; `refusal` is a code when it goes nowhere."""

    targets: tuple[ShownTarget, ...]
    refusal: str | None
    is_sticky: bool = False

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(target.provider for target in self.targets)


@dataclass(frozen=True, slots=True)
class Effects:
    """All that can be distinguished. `upstreams` has the providers that some model reaches.

    `conditional` has, by endpoint, model and conditions, where requests go that meet these.
    `keys` None: callers need no key. `refused` maps a path, with its methods, to the reason given.
    """

    endpoints: Mapping[str, Facets]
    providers: frozenset[str]
    keys: Mapping[str, Facets] | None
    refused: Mapping[str, str]
    routes: Mapping[tuple[str, str], ModelRoute]
    upstreams: Mapping[tuple[str, str], Facets]
    conditional: Mapping[tuple[str, str, str], ModelRoute] = field(default_factory=dict)


def probes(*configs: Config) -> tuple[str, ...]:
    """Models of which one behaves like any other, under every one of `configs`.

    Two models behave alike when the same exact rule and the same prefixes fit both, so these are
    enough: each exact name, each prefix as a whole name, and each prefix with something after it.
    """
    rules = [rule for config in configs for rule in config.rules]
    names = {rule.pattern for rule in rules if rule.pattern}
    names |= {test.model for config in configs for test in config.tests}
    names |= {e.default_model for config in configs for e in config.endpoints if e.default_model}
    return tuple(sorted(names | {rule.pattern + REST for rule in rules if rule.is_prefix} | {REST}))


def effects(
    loaded: Loaded, models: Iterable[str], asked: Sequence[MatchingRequests] = ()
) -> Effects:
    """The effects of a configuration that has a Plan, on `models`, and on requests for them that meet conditions."""
    plan = loaded.plan_before_tests
    if plan is None:
        raise ValueError("a configuration with errors has no effects")
    data = {name: fill_in(d, FILES[name]).data for name, d in loaded.documents.items()}
    endpoints = data["routes.yaml"]["endpoints"]
    entries = data["providers.yaml"]["providers"]
    said = RuleSettings(fill_in(loaded.documents["routes.yaml"], "routes"), plan)
    routes = {(e, m): _route(plan, e, m, said) for m in models for e in endpoints}
    conditional = {
        (e, m, each.label): _route_by(plan, plan.models.find(e, m, each.values.get), e, m, said)
        for e, m in routes
        for each in asked
        if each.matches(e, m)
    }
    every = [*routes.items(), *conditional.items()]
    reached = {(name, place[0]) for place, route in every for name in route.providers}
    providers = {p.name: p for p in loaded.config.providers}
    return Effects(
        endpoints={name: _endpoint(entry) for name, entry in endpoints.items()}
        | {LISTING: _flat(data["routes.yaml"].get("listing", {}))}
        | {CORS: _flat(data["routes.yaml"].get("cors", {}))},
        providers=frozenset(providers),
        keys=_keys(loaded.config),
        refused=_refused(loaded.config),
        routes=routes,
        upstreams={
            (name, endpoint): _upstream(loaded.config, providers[name], entries[name], endpoint)
            for name, endpoint in sorted(reached)
        },
        conditional=conditional,
    )


def _route(plan: Plan, endpoint: str, model: str, said: RuleSettings) -> ModelRoute:
    return _route_by(plan, plan.models.find(endpoint, model), endpoint, model, said)


def _route_by(
    plan: Plan, rule: Rule | None, endpoint: str, model: str, said: RuleSettings
) -> ModelRoute:
    decision = plan.decide_by(rule, endpoint, model)
    if decision.refusal or rule is None:
        return ModelRoute((), decision.refusal)
    leads = rule.targets or (None,)
    targets = []
    for rule_target in leads:
        at = plan.decide_target(rule, endpoint, model, rule_target)
        if at.provider is not None and not at.refusal:
            weight = rule_target.weight if rule_target else None
            settings = [f"{s.name} {format_value(s.value)}" for s in said.of(rule, rule_target)]
            targets.append(ShownTarget(at.provider.name, at.sent_model, weight, tuple(settings)))
    is_choice = len(targets) > 1
    if not is_choice:
        targets = [replace(target, weight=None) for target in targets]
    return ModelRoute(tuple(targets), None, is_sticky=is_choice and rule.is_sticky)


def _endpoint(entry: dict[str, Any]) -> Facets:
    facets = _flat(entry, _ENDPOINT_SKIPS)
    return {**facets, "timeouts.caller_idle": _canonical(entry["timeouts"]["caller_idle"])}


def _keys(config: Config) -> Mapping[str, Facets] | None:
    if config.keys is None:
        return None
    return {
        key.name: {
            "sha256": key.sha256,
            "endpoints": _listed(key.endpoints) if key.endpoints is not None else "all",
            "models": _listed(key.models) if key.models is not None else "all",
            "expires": key.expiry_text or "never",
        }
        for key in config.keys
    }


def _refused(config: Config) -> Mapping[str, str]:
    return {
        (f"{_listed(entry.methods)} {path}" if entry.methods else path): entry.reason
        for entry in config.not_exposed
        for path in entry.paths
    }


def _upstream(config: Config, provider: Provider, entry: dict[str, Any], endpoint: str) -> Facets:
    """What a request to `endpoint` at `provider` is sent with."""
    served = entry["endpoints"][endpoint]
    sources = _flat(entry, _PROVIDER_SKIPS) | {"url": _url(provider, endpoint)}
    sources |= _flat(served, _SERVED_SKIPS) if isinstance(served, dict) else {}
    sources |= {f"headers.{name}": source for name, source in provider.headers.items()}
    facets = {name: _written_out(source, provider) for name, source in sources.items()}
    used = _variables(sources.values())
    for variable in provider.variables:
        if variable.env and variable.name in used:
            default = "required" if variable.value is None else f"{variable.value} by default"
            facets[f"environment.{' or '.join(variable.env)}"] = default
        if variable.choices:
            facets[f"choices.{variable.name}"] = _listed(variable.choices)
    own = next(each.timeouts for each in config.endpoints if each.name == endpoint)
    timeouts = config.timeouts.overridden(own, provider.timeouts)
    caller_idle = config.timeouts.overridden(own).caller_idle
    for each in fields(timeouts):
        seconds = getattr(timeouts, each.name)
        if each.name != "caller_idle" or seconds != caller_idle:  # else reported for the endpoint
            facets[f"timeouts.{each.name}"] = _duration(seconds)
    return facets


def _url(provider: Provider, endpoint: str) -> str:
    served = next(each for each in provider.endpoints if each.name == endpoint)
    path = provider.base_url + served.path if served.path.startswith("/") else served.path
    query = "&".join(f"{name}={value}" for name, value in served.query.items())
    return path + (f"?{query}" if query else "")


def _written_out(source: str, provider: Provider) -> str:
    """A template in one spelling, with its variables replaced by their sources."""
    literals = {v.name: v.value for v in provider.variables if not v.env}
    symbols = {v.name: f"${v.env[0]}" for v in provider.variables if v.env}

    def block(hit: re.Match[str]) -> str:
        template, _ = compile_template(hit[0])
        roots = {name[0] for name in template.names} if template else {"?"}
        if template and roots == {"variables"}:
            return render_now(template, {"variables": literals | symbols}) or hit[0]
        return f"{{{{ {''.join(_spelled(token) for token in _TOKEN.findall(hit[1]))} }}}}"

    return _BLOCK.sub(block, source)


def _spelled(token: str) -> str:
    if token[0] == "'" and '"' not in token:
        return f'"{token[1:-1]}"'
    return token if token[0] in "\"'" else token.replace("|", " | ")


def _variables(sources: Iterable[str]) -> set[str]:
    """The variables that templates use."""
    templates = [compile_template(source)[0] for source in sources if "{{" in source]
    names = {name for template in templates if template for name in template.names}
    return {name[1] for name in names if name[0] == "variables"}


def _flat(value: Any, skips: Iterable[str] = (), prefix: str = "") -> dict[str, str]:
    """Nested entries as `limits.wait`: `10s`; the order of a list of words has no meaning here."""
    flat: dict[str, str] = {}
    for key, inner in value.items():
        if key in skips:
            continue
        if isinstance(inner, dict):
            flat |= _flat(inner, (), f"{prefix}{key}.")
        elif isinstance(inner, list) and all(isinstance(item, str) for item in inner):
            flat[prefix + key] = _listed(inner)
        elif isinstance(inner, str):
            flat[prefix + key] = _canonical(inner)
        else:
            flat[prefix + key] = json.dumps(inner, sort_keys=True)
    return flat


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _canonical(text: str) -> str:
    """One spelling for each duration and size."""
    if _DURATION.fullmatch(text):
        return _duration(parse_duration(text))
    if _SIZE.fullmatch(text):
        size = parse_size(text)
        return next(f"{size // n}{u}" for u, n in _SIZES if size % n == 0)
    return text


def _duration(seconds: float) -> str:
    unit, size = next((u, n) for u, n in _UNITS if round(seconds / n, 9) % 1 == 0 or u == "ms")
    return f"{round(seconds / size, 9):g}{unit}"
