"""Rules about what is sent to a provider: credentials that never are, and names that nobody fills in."""

import re
from collections.abc import Iterator
from dataclasses import replace

from engine.config.checks.headers import header_typos
from engine.config.checks.registry import CheckContext
from engine.config.checks.values import UNEXPANDED, is_unfilled
from engine.config.diagnostics.diagnostic import Diagnostic, Fix, Place, Span
from engine.config.model import Provider
from engine.config.schema.validation import within
from engine.config.source.document import Path
from engine.config.source.secret_shapes import holds_key, holds_token, is_revealing
from engine.plan.signers import SIGNERS

_PROVIDERS = "providers.yaml"
_DOLLAR = re.compile(r"((?:Bearer|Basic|Token|Key) )?\$(?:\{([A-Z][A-Z0-9_]*)\}|([A-Z][A-Z0-9_]*))")
_NAMING = ("base_url", "headers", "variables")
_FILL = "values come from `credentials:` and `variables:` alone, as in `{{ credentials.api_key }}`"


def check_sent(context: CheckContext) -> list[Diagnostic]:
    """The findings about what each provider is sent."""
    found: list[Diagnostic] = []
    for provider in context.config.providers:
        literal = list(_unexpanded(context, provider))
        found += literal
        found += header_typos(context, provider)
        if not any("headers" in d.path for d in literal):  # that is where the credential was meant
            found += _unused(context, provider)
    return found


def _unused(context: CheckContext, provider: Provider) -> Iterator[Diagnostic]:
    paths = [(*provider.at, "headers", name) for name in provider.headers]
    if not all(path in context.templates for path in paths):
        return  # one of them is told already
    if any(
        holds_key(text) or (is_revealing(name) and holds_token(text))
        for name, text in provider.headers.items()
    ):
        return  # told as a secret in the file
    used = {n[1] for p in paths for n in context.templates[p].names if n[0] == "credentials" and len(n) > 1}  # fmt: skip
    if provider.sign is not None:
        kind = SIGNERS[provider.sign.signer]
        if not provider.sign.by_workload_identity and not set(kind.needs) <= {
            c.name for c in provider.credentials
        }:
            return  # told as a signer that lacks one
        used |= {*kind.needs, *kind.may}
    for credential in provider.credentials:
        if credential.name not in used:
            message = f"credential `{credential.name}` of provider `{provider.name}` is used nowhere, so calls go up without it"
            words = f'add `headers: {{authorization: "Bearer {{{{ credentials.{credential.name} }}}}"}}`, or what the provider wants'
            yield context.at("X270", message, _PROVIDERS, credential.at, help=words)


def _unexpanded(context: CheckContext, provider: Provider) -> Iterator[Diagnostic]:
    for path, text in _sent(provider):
        bare = text
        while "{{" in bare and "}}" in bare.partition("{{")[2]:
            start, _, rest = bare.partition("{{")
            bare = f"{start} {rest.partition('}}')[2]}"
        is_found = bool(
            UNEXPANDED.fullmatch(bare.strip())
            if "body" in path
            else UNEXPANDED.search(bare) or (path[2] in _NAMING and is_unfilled(bare))
        )
        if is_found:
            where = within(f"provider `{provider.name}`", path[2:])
            message = f"{where} holds a name or a gap that nobody fills in: it is sent as it stands"
            found = context.at("X271", message, _PROVIDERS, path, Place.VALUE, help=_FILL)
            yield replace(found, fix=_meant(provider, path, text, found.span))
        elif "body" not in path and (sign := re.search(r"[$#%](?=\{\{)", text)):
            where = within(f"provider `{provider.name}`", path[2:])
            message = f"{where} holds `{sign[0]}` in front of `{{{{`, and it is sent as it stands"
            words = f"leave `{sign[0]}` out: `{{{{ … }}}}` alone is filled in"
            yield context.at("X271", message, _PROVIDERS, path, Place.VALUE, help=words)


def _meant(provider: Provider, path: Path, text: str, span: Span) -> Fix | None:
    """A header that is no more than `$NAME`, the variable of a credential: that credential's template."""
    hit = _DOLLAR.fullmatch(text) if "headers" in path else None
    names = [c.name for c in provider.credentials if hit and (hit[2] or hit[3]) in c.env]
    if hit is None or not names:
        return None
    return Fix(span, f'"{hit[1] or ""}{{{{ credentials.{names[0]} }}}}"')


def _sent(provider: Provider) -> Iterator[tuple[Path, str]]:
    """Every text of the file that becomes a part of requests."""
    yield (*provider.at, "base_url"), provider.base_url
    for section in ("headers", "default_headers"):
        for name, text in getattr(provider, section).items():
            yield (*provider.at, section, name), text
    every = [
        *provider.variables,
        *(v for credential_set in provider.accounts for v in credential_set.variables),
    ]
    for variable in every:
        if variable.value is not None:
            yield (*variable.at, "default") if variable.env else variable.at, variable.value
    for name, text in (provider.sign.settings if provider.sign else {}).items():
        yield (*provider.at, "sign", name), text
    for served in (*provider.endpoints, *provider.not_enabled):
        yield served.path_at, served.path
        yield from (((*served.at, "query", name), text) for name, text in served.query.items())
        for kind in ("set", "default"):
            values = getattr(served.body, kind) if served.body else {}
            for name, value in values.items():
                if isinstance(value, str):
                    yield (*served.at, "body", kind, name), value
