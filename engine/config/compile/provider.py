"""One provider as the request side needs it: its values bound into headers, URLs and edits.

An account, or a pick of a caller, is the same provider compiled with other values.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

from engine.config import model
from engine.config.source.document import Path
from engine.config.template import Template, render_now
from engine.plan import plan
from engine.plan.signers import SIGNERS

Templates = Mapping[Path, Template]
_REQUEST_ROOTS = {"model", "endpoint", "request"}
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, repr=False)
class Values:
    """What the machine gave one provider: secrets, variables, what is not set, and whom to trust.

    `ca` is PEM; empty when the file that the provider names cannot be used, None when it names none.
    """

    credentials: Mapping[str, str]
    variables: Mapping[str, str]
    missing: tuple[str, ...]
    accounts: tuple["Values", ...] = ()
    ca: str | None = None


def compile_provider(
    config: model.Config,
    templates: Templates,
    values: Values,
    provider: model.Provider,
    lines: Mapping[Path, str],
) -> plan.Provider:
    """The provider with its other forms: one for each account, and for each pick of a caller."""
    own = _Compiler(config, templates, values).with_choices(provider)
    groups: dict[tuple[object, object], list[tuple[plan.Provider, str]]] = {}
    if any(
        credential_set.callers is credential_set.models is None
        for credential_set in provider.accounts
    ):
        groups[None, None] = [(own, lines[provider.at])]
    for credential_set, its_values in zip(provider.accounts, values.accounts, strict=True):
        compiler = _Compiler(config, templates, its_values)
        variant = compiler.with_choices(provider.with_credential_set(credential_set))
        groups.setdefault((credential_set.callers, credential_set.models), []).append(
            (variant, lines[credential_set.at])
        )
    accounts = [
        plan.CredentialSet(
            _names(callers),
            _names(models),
            tuple(variant for variant, _ in _usable(variants)),
            tuple(line for _, line in _usable(variants)),
        )
        for (callers, models), variants in groups.items()
    ]
    accounts.sort(
        key=lambda credential_set: (credential_set.callers is None, credential_set.models is None)
    )
    return replace(own, accounts=tuple(accounts))


def _usable(variants: Sequence[tuple[plan.Provider, str]]) -> Sequence[tuple[plan.Provider, str]]:
    """The forms that can be called, with their lines; the first alone when none can."""
    return [(variant, line) for variant, line in variants if not variant.missing] or variants[:1]


def _names(patterns: Any) -> plan.Names | None:
    if patterns is None:
        return None
    return plan.Names(
        frozenset(name for name in patterns if name[-1:] != "*"),
        tuple(name[:-1] for name in patterns if name[-1:] == "*"),
    )


class _Compiler:
    """Compiles one provider with its values bound into every template."""

    def __init__(self, config: model.Config, templates: Templates, values: Values) -> None:
        self._config = config
        self._templates = templates
        self._values = values

    def with_choices(self, provider: model.Provider) -> plan.Provider:
        """The provider, and one for each combination of values that a caller may pick."""
        own = self.provider(provider)
        headers, body = provider.caller_variable_headers, provider.caller_variable_body
        picked = [v for v in provider.variables if v.name in {*headers.values(), *body.values()}]
        if not picked:
            return own
        names = [variable.name for variable in picked]
        variants = {
            frozenset(zip(names, values, strict=True)): self._picking(picked, values, provider)
            for values in product(*(variable.choices for variable in picked))
        }
        choices = plan.Choices(
            MappingProxyType({name.encode("ascii"): v for name, v in headers.items()}),
            MappingProxyType(dict(body)),
            MappingProxyType({variable.name: variable.choices for variable in picked}),
            MappingProxyType(
                {v.name: self._values.variables.get(v.name, v.choices[0]) for v in picked}
            ),
            MappingProxyType(variants),
        )
        return replace(own, choices=choices)

    def _picking(
        self, picked: Sequence[model.Variable], values: Sequence[str], provider: model.Provider
    ) -> plan.Provider:
        chosen = {variable.name: value for variable, value in zip(picked, values, strict=True)}
        unset = {name for variable in picked for name in variable.env[:1]}
        bound = replace(
            self._values,
            variables={**self._values.variables, **chosen},
            missing=tuple(name for name in self._values.missing if name not in unset),
        )
        return _Compiler(self._config, self._templates, bound).provider(provider)

    def provider(self, provider: model.Provider) -> plan.Provider:
        """The provider with one set of values."""
        headers = tuple(self._headers(provider, self._values.credentials))
        required = frozenset(c.name for c in provider.credentials if not c.optional)
        forwarded = (*provider.forward_headers, *provider.default_headers)
        forward = [name.encode("ascii") for name in forwarded]
        return plan.Provider(
            name=provider.name,
            upstreams=MappingProxyType(
                {served.name: self._upstream(provider, served) for served in provider.endpoints}
            ),
            headers=headers,
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
            retry=provider.retry,
            breaker=provider.breaker,
            client=provider.client,
            default_headers=tuple(self._defaults(provider)),
            sign=self._sign(provider, headers),
            caller_sign=self._caller_sign(provider),
            models=provider.models,
            caller_inputs=caller_inputs(self._config),
        )

    def _defaults(self, provider: model.Provider) -> Iterator[tuple[bytes, bytes]]:
        for name in provider.default_headers:
            text = self._render(self._templates[(*provider.at, "default_headers", name)])
            if text is not None:
                yield name.encode("ascii"), text.encode("ascii")

    def _sign(self, provider: model.Provider, headers: Sequence[plan.Header]) -> plan.Sign | None:
        """The signer with the operator's credentials, unless a header signs in already."""
        if provider.sign is None or any(header.name == b"authorization" for header in headers):
            return None
        kind, by_workload_identity = (
            SIGNERS[provider.sign.signer],
            provider.sign.by_workload_identity,
        )
        names = () if by_workload_identity else {*kind.needs, *kind.may}
        credentials = {n: v for n, v in self._values.credentials.items() if n in names}
        settings = self._settings(provider.sign)
        return plan.Sign(provider.sign.signer, settings, credentials, by_workload_identity)

    def _caller_sign(self, provider: model.Provider) -> plan.Sign | None:
        if provider.sign is None or not SIGNERS[provider.sign.signer].from_callers:
            return None
        return plan.Sign(provider.sign.signer, self._settings(provider.sign), {})

    def _settings(self, sign: model.Sign) -> dict[str, str]:
        return {
            name: self._render(self._templates[(*sign.at, name)]) or "" for name in sign.settings
        }

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
        stream = self._templates[(*served.at, "stream_path")] if served.stream_path else None
        streamed = self._render(stream, model="m") if stream else None
        if root is None or sample is None or query is None:
            return None
        parts = urlsplit(root + sample)
        port = parts.port or _PORTS[parts.scheme]
        ca = self._values.ca if parts.scheme == "https" else None
        origin = plan.Origin(parts.scheme, parts.hostname or "", port, ca, provider.proxy)
        served_endpoint = next((e for e in self._config.endpoints if e.name == served.name), None)
        return plan.Upstream(
            origin=origin,
            path=self._path(path, root, sample),
            stream_path=self._path(stream, root, streamed or "") if stream else None,
            edits=_edits(served.body) if served.body else None,
            query="&".join(f"{n}={v}" for n, v in query).encode("ascii"),
            query_names=frozenset(name.casefold().encode() for name, _ in query),
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


def caller_inputs(config: model.Config) -> plan.CallerInputs:
    """What callers may bring to any provider of `config`."""
    return plan.CallerInputs(
        frozenset(n.encode("ascii") for p in config.providers for n in p.caller_headers),
        frozenset(name for p in config.providers for name in p.caller_body),
        frozenset(name for p in config.providers for name in p.caller_variable_body),
    )


def _edits(edits: model.BodyEdits) -> plan.BodyEdits:
    return plan.BodyEdits(
        drop=edits.drop,
        rename=MappingProxyType(dict(edits.rename)),
        default=_field_values(edits.default),
        set=_field_values(edits.set),
        names=frozenset(
            {*edits.drop, *edits.rename, *edits.rename.values(), *edits.default, *edits.set}
        ),
    )


def _field_values(values: Mapping[str, Any]) -> Mapping[str, plan.FieldValue]:
    written = {name: json.dumps(value, allow_nan=False) for name, value in values.items()}
    return MappingProxyType(
        {
            name: plan.FieldValue(text.encode("ascii"), value if isinstance(value, str) else text)
            for (name, text), value in zip(written.items(), values.values(), strict=True)
        }
    )


def path_of(url: str) -> str:
    """The path of an absolute URL as it stands, without any normalising."""
    rest = url.partition("://")[2]
    start = rest.find("/")
    return rest[start:] if start >= 0 else "/"
