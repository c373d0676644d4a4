"""One provider with one set of values, as the request side needs it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType

from engine.config import model
from engine.config.compile.binding import Binding
from engine.config.compile.upstream import compile_upstream
from engine.plan import plan
from engine.plan.signers import SIGNERS

_REQUEST_ROOTS = {"model", "endpoint", "request"}


def compile_provider(binding: Binding, provider: model.Provider) -> plan.Provider:
    """The provider with the values of `binding`; accounts and choices are added by `variants`."""
    headers = tuple(_headers(binding, provider, binding.values.credentials))
    forwarded = (*provider.forward_headers, *provider.default_headers)
    forward = [name.encode("ascii") for name in forwarded]
    base = binding.render(binding.templates[(*provider.at, "base_url")])
    open_sign = _open_sign(binding, provider)
    upstreams = {s.name: compile_upstream(binding, provider, s, base) for s in provider.endpoints}
    return plan.Provider(
        name=provider.name,
        upstreams=MappingProxyType(upstreams),
        headers=headers,
        caller_headers=tuple(_headers(binding, provider, None)),
        required=frozenset(c.name for c in provider.credentials if not c.optional),
        missing=binding.values.missing,
        forward=frozenset(name for name in forward if not name.endswith(b"*")),
        forward_prefixes=tuple(name[:-1] for name in forward if name.endswith(b"*")),
        caller_credentials=_caller_credentials(provider),
        limits=provider.limits,
        retry=provider.retry,
        breaker=provider.breaker,
        client=provider.client,
        default_headers=tuple(_defaults(binding, provider)),
        sign=_sign(binding, provider, open_sign, headers),
        caller_sign=_caller_sign(open_sign),
        account_sign=open_sign,
        models=provider.models,
        caller_inputs=binding.caller_inputs,
        trace=provider.trace,
        telemetry_name=provider.telemetry_name,
        ping=_ping(binding, provider, base),
        credential_limits=provider.credential_limits,
        credential_scope=_credential_scope(binding, provider),
    )


def _credential_scope(binding: Binding, provider: model.Provider) -> str:
    """The scope in which the use of its credentials counts: the same for the same ones, wherever they stand."""
    if provider.credential_limits is None:
        return ""
    parts = (f"{name}={value}" for name, value in sorted(binding.values.credentials.items()))
    return f"${provider.name}/{sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def _ping(binding: Binding, provider: model.Provider, base: str | None) -> plan.Ping | None:
    ping = provider.ping
    if ping is None:
        return None
    served = ping.as_endpoint()
    if served is not None:
        return plan.Ping(ping.cost, compile_upstream(binding, provider, served, base))
    sent = json.dumps(ping.body).encode("ascii")
    return plan.Ping(ping.cost, None, ping.endpoint, str(ping.body["model"]), sent)


def _caller_credentials(provider: model.Provider) -> plan.CallerCredentials:
    headers = {name.encode("ascii"): value for name, value in provider.caller_headers.items()}
    return plan.CallerCredentials(
        MappingProxyType(headers), MappingProxyType(dict(provider.caller_body))
    )


def _defaults(binding: Binding, provider: model.Provider) -> Iterator[tuple[bytes, bytes]]:
    for name in provider.default_headers:
        text = binding.render(binding.templates[(*provider.at, "default_headers", name)])
        if text is not None:
            yield name.encode("ascii"), text.encode("ascii")


def _sign(
    binding: Binding,
    provider: model.Provider,
    open_sign: plan.Sign | None,
    headers: Sequence[plan.Header],
) -> plan.Sign | None:
    """The signer with the operator's credentials, unless a header carries a credential already."""
    sign = provider.sign
    if sign is None or open_sign is None or any(h.name == b"authorization" for h in headers):
        return None
    kind = SIGNERS[sign.signer]
    names = () if sign.by_workload_identity else {*kind.needs, *kind.may}
    credentials = {n: v for n, v in binding.values.credentials.items() if n in names}
    return plan.Sign(sign.signer, open_sign.settings, credentials, sign.by_workload_identity)


def _caller_sign(open_sign: plan.Sign | None) -> plan.Sign | None:
    if open_sign is None or not SIGNERS[open_sign.signer].from_callers:
        return None
    return open_sign


def _open_sign(binding: Binding, provider: model.Provider) -> plan.Sign | None:
    """The signer without credentials."""
    if provider.sign is None:
        return None
    sign, templates = provider.sign, binding.templates
    settings = {name: binding.render(templates[(*sign.at, name)]) or "" for name in sign.settings}
    return plan.Sign(sign.signer, settings, {})


def _headers(
    binding: Binding, provider: model.Provider, credentials: Mapping[str, str] | None
) -> Iterator[plan.Header]:
    """The headers with `credentials` bound in; None leaves them to those of the caller."""
    for name in provider.headers:
        template = binding.templates[(*provider.at, "headers", name)]
        needs = template.uses("credentials")
        if credentials is not None and not needs <= credentials.keys():
            continue
        roots = {used[0] for used in template.names}
        value: bytes | plan.Render
        if roots & _REQUEST_ROOTS or (credentials is None and "credentials" in roots):
            value = binding.bind(template, credentials)
        else:
            value = (binding.render(template, credentials) or "").encode("ascii")
        is_of_request = bool(roots & _REQUEST_ROOTS)
        yield plan.Header(name.encode("ascii"), value, needs, "credentials" in roots, is_of_request)


def caller_inputs(config: model.Config) -> plan.CallerInputs:
    """The headers and fields in which callers may send something to any provider of `config`."""
    return plan.CallerInputs(
        frozenset(n.encode("ascii") for p in config.providers for n in p.caller_headers),
        frozenset(name for p in config.providers for name in p.caller_body),
        frozenset(name for p in config.providers for name in p.caller_variable_body),
    )
