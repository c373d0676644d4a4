"""The pure compilation Config -> Plan: match tables, header bytes, prepared templates.

Runs only on a Config without errors, so it has nothing to report and nothing to refuse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

from engine import plan
from engine.config import model
from engine.config.document import Path
from engine.config.template import Template, render_now

Templates = Mapping[Path, Template]
_REQUEST_ROOTS = {"model", "endpoint", "request"}
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, repr=False)
class Values:
    """What the environment gave one provider: secrets, variables, and what is not set."""

    credentials: Mapping[str, str]
    variables: Mapping[str, str]
    missing: tuple[str, ...]


def compile_plan(
    config: model.Config,
    templates: Templates,
    values: Mapping[str, Values],
    lines: Mapping[Path, str],
    fingerprint: str,
) -> plan.Plan:
    """The Plan of `config`. `lines` has the place of each model rule, such as `routes.yaml:41`."""
    providers = {
        provider.name: _Compiler(config, templates, values[provider.name]).provider(provider)
        for provider in config.providers
    }
    rules = tuple(_rule(rule, lines[rule.at]) for rule in config.rules)
    return plan.Plan(
        endpoints=_endpoints(config),
        refusals=tuple(_refusals(config)),
        models=_model_table(rules),
        rules=rules,
        providers=MappingProxyType(providers),
        callers=_callers(config),
        caller_fields=frozenset(name for p in config.providers for name in p.caller_body),
        fingerprint=fingerprint,
    )


def _endpoints(config: model.Config) -> Mapping[bytes, Mapping[str, plan.Endpoint]]:
    table: dict[bytes, dict[str, plan.Endpoint]] = {}
    for endpoint in config.endpoints:
        path = endpoint.path.encode("ascii")
        timeouts = model.merge_timeouts(config.timeouts, endpoint.timeouts)
        table.setdefault(path, {})[endpoint.method] = plan.Endpoint(
            name=endpoint.name,
            path=path,
            method=endpoint.method,
            bodies=frozenset(endpoint.bodies),
            default_model=endpoint.default_model,
            dialect=endpoint.dialect,
            max_body=endpoint.max_body,
            caller_idle=timeouts.caller_idle,
        )
    return MappingProxyType({path: MappingProxyType(methods) for path, methods in table.items()})


def _refusals(config: model.Config) -> Sequence[plan.Refusal]:
    """Longest path first, so that the most specific reason is given."""
    refusals = [
        plan.Refusal(
            path=path.removesuffix("*").encode("ascii"),
            is_prefix=path.endswith("/*"),
            methods=entry.methods,
            reason=entry.reason,
        )
        for entry in config.not_exposed
        for path in entry.paths
    ]
    return sorted(refusals, key=lambda refusal: len(refusal.path), reverse=True)


def _rule(rule: model.ModelRule, where: str) -> plan.Rule:
    return plan.Rule(
        pattern=rule.pattern,
        is_prefix=rule.is_prefix,
        provider=rule.provider,
        endpoints=rule.endpoints,
        rename=rule.rename,
        strip=rule.strip,
        where=where,
    )


def _model_table(rules: Sequence[plan.Rule]) -> plan.ModelTable:
    exact = _slots(rule for rule in rules if not rule.is_prefix)
    prefixes = _slots(rule for rule in rules if rule.is_prefix)
    lengths = sorted({len(prefix) for prefix in prefixes}, reverse=True)
    return plan.ModelTable(exact, prefixes, tuple(lengths))


def _slots(rules: Any) -> Mapping[str, plan.Slot]:
    by_pattern: dict[str, list[plan.Rule]] = {}
    for rule in rules:
        by_pattern.setdefault(rule.pattern, []).append(rule)
    return MappingProxyType({pattern: _slot(group) for pattern, group in by_pattern.items()})


def _slot(rules: Sequence[plan.Rule]) -> plan.Slot:
    narrowed = {name: rule for rule in rules for name in rule.endpoints or ()}
    anywhere = next((rule for rule in rules if rule.endpoints is None), None)
    return plan.Slot(MappingProxyType(narrowed), anywhere)


def _callers(config: model.Config) -> Mapping[bytes, plan.Caller] | None:
    if config.keys is None:
        return None
    return MappingProxyType({bytes.fromhex(key.sha256): _caller(key) for key in config.keys})


def _caller(key: model.Key) -> plan.Caller:
    models = key.models or ()
    return plan.Caller(
        name=key.name,
        endpoints=None if key.endpoints is None else frozenset(key.endpoints),
        models=None if key.models is None else frozenset(m for m in models if m[-1:] != "*"),
        model_prefixes=tuple(m[:-1] for m in models if m[-1:] == "*"),
        expires=key.expires,
    )


class _Compiler:
    """Compiles one provider with its values bound into every template."""

    def __init__(self, config: model.Config, templates: Templates, values: Values) -> None:
        self._config = config
        self._templates = templates
        self._values = values

    def provider(self, provider: model.Provider) -> plan.Provider:
        required = frozenset(c.name for c in provider.credentials if not c.optional)
        forward = [name.encode("ascii") for name in provider.forward_headers]
        return plan.Provider(
            name=provider.name,
            upstreams=MappingProxyType(
                {served.name: self._upstream(provider, served) for served in provider.endpoints}
            ),
            headers=tuple(self._headers(provider, self._values.credentials)),
            caller_headers=tuple(self._headers(provider, None)),
            required=required,
            missing=self._values.missing,
            forward=frozenset(name for name in forward if not name.endswith(b"*")),
            forward_prefixes=tuple(name[:-1] for name in forward if name.endswith(b"*")),
            caller_credentials=plan.CallerCredentials(
                MappingProxyType(
                    {k.encode("ascii"): v for k, v in provider.caller_headers.items()}
                ),
                MappingProxyType(dict(provider.caller_body)),
            ),
            limits=provider.limits,
            client=provider.client,
        )

    def _headers(
        self, provider: model.Provider, credentials: Mapping[str, str] | None
    ) -> list[plan.Header]:
        """The headers with `credentials` bound in; None leaves them to the caller's."""
        headers = []
        for name in provider.headers:
            template = self._templates[(*provider.at, "headers", name)]
            needs = template.uses("credentials")
            if credentials is not None and not needs <= credentials.keys():
                continue
            roots = {used[0] for used in template.names}
            value: bytes | plan.Render
            if roots & _REQUEST_ROOTS or (credentials is None and "credentials" in roots):
                value = self._bind(template, credentials)
            else:
                value = (self._render(template, credentials) or "").encode("ascii")
            is_secret = "credentials" in roots
            headers.append(plan.Header(name.encode("ascii"), value, needs, is_secret))
        return headers

    def _upstream(
        self, provider: model.Provider, served: model.ProviderEndpoint
    ) -> plan.Upstream | None:
        base = self._templates[(*provider.at, "base_url")]
        path = self._templates[served.path_at]
        relative = path.source.startswith("/")
        root = self._render(base) if relative else ""
        sample = self._render(path, model="m")
        query = self._query(served)
        if root is None or sample is None or query is None:
            return None
        parts = urlsplit(root + sample)
        origin = plan.Origin(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])
        served_endpoint = next((e for e in self._config.endpoints if e.name == served.name), None)
        return plan.Upstream(
            origin=origin,
            path=self._path(path, root, sample),
            query="&".join(f"{n}={v}" for n, v in query).encode("ascii"),
            query_names=frozenset(name.encode("ascii") for name, _ in query),
            timeouts=model.merge_timeouts(
                self._config.timeouts,
                served_endpoint.timeouts if served_endpoint else {},
                provider.timeouts,
            ),
        )

    def _path(self, path: Template, root: str, sample: str) -> bytes | plan.Render:
        if ("model",) not in path.names:
            return path_of(root + sample).encode("ascii")
        bound = self._bind(path, None)

        def render(context: plan.Context) -> str | None:
            text = bound(context)
            return None if text is None else path_of(root + text)

        return render

    def _query(self, served: model.ProviderEndpoint) -> list[tuple[str, str]] | None:
        pairs = []
        for name in served.query:
            value = self._render(self._templates[(*served.at, "query", name)])
            if value is None:
                return None
            pairs.append((quote(name, safe=""), quote(value, safe="-._~:,@")))
        return pairs

    def _bind(self, template: Template, credentials: Mapping[str, str] | None) -> plan.Render:
        bound: dict[str, Any] = {"variables": self._values.variables}
        if credentials is not None:
            bound["credentials"] = credentials
        return lambda context: render_now(template, {**context, **bound})

    def _render(
        self, template: Template, credentials: Mapping[str, str] | None = None, **more: str
    ) -> str | None:
        try:
            return self._bind(template, credentials)(more)
        except plan.UnusableValueError:  # told by `load`, which counts the provider as incomplete
            return None


def path_of(url: str) -> str:
    """The path of an absolute URL as it stands, without any normalising."""
    rest = url.partition("://")[2]
    start = rest.find("/")
    return rest[start:] if start >= 0 else "/"
