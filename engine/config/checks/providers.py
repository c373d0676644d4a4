"""The parts of one provider: what they refer to, and what its signer can do."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from engine.config.checks.registry import PROVIDERS, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, Place
from engine.config.model import Provider
from engine.config.schema.extending import extended_by
from engine.config.source.document import Path
from engine.plan.suggest import nearest
from engine.plan.withheld import withheld_by

_TEMPLATE = re.compile(r"\{\{.*?\}\}")


@check("X210")
def unknown_credential(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        known = {credential.name for credential in provider.credentials}
        for name, at in _credential_names(provider):
            if name not in known:
                message = f"provider `{provider.name}` has no credential `{name}`"
                hint = nearest(name, known)
                yield context.at("X210", message, PROVIDERS, at, _place(at), hint=hint)


@check("X230")
def unknown_variable(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        known = {variable.name for variable in provider.variables}
        own = ((v.name, v.at) for s in provider.accounts for v in s.variables)
        for name, at in (*_picked(provider), *own):
            if name not in known:
                message = f"provider `{provider.name}` has no variable `{name}`"
                hint = nearest(name, known)
                yield context.at("X230", message, PROVIDERS, at, _place(at), hint=hint)


def _credential_names(provider: Provider) -> Iterator[tuple[str, Path]]:
    """The credentials that callers may send and that accounts replace, with their paths."""
    fields = provider.caller_headers, provider.caller_body
    for kind, names in zip(("headers", "body"), fields, strict=True):
        for field, name in names.items():
            yield name, (*provider.at, "caller_credentials", kind, field)
    for credential_set in provider.accounts:
        yield from ((credential.name, credential.at) for credential in credential_set.credentials)


def _picked(provider: Provider) -> Iterator[tuple[str, Path]]:
    """The variables that a caller may choose, with their paths."""
    fields = provider.caller_variable_headers, provider.caller_variable_body
    for kind, picked in zip(("headers", "body"), fields, strict=True):
        for field, name in picked.items():
            yield name, (*provider.at, "caller_variables", kind, field)


@check("X284")
def inherited_secret(context: CheckContext) -> Iterator[Diagnostic]:
    """Credentials that a provider takes over, where it has a `base_url` of its own at another domain."""
    for provider in context.config.providers:
        document = context.documents[PROVIDERS]
        at: Path = (*provider.at, "base_url")
        extended = extended_by(document, provider.name)
        if extended is None or at in document.inherited:
            continue
        if _domain(provider.base_url) == _domain(str(document.value((*extended, "base_url")))):
            continue
        names = [c.name for c in provider.credentials if c.at in document.inherited]
        if names:
            sent = ", ".join(f"`{name}`" for name in names)
            message = f"provider `{provider.name}` takes over {sent} of `{extended[1]}` and sends it to another domain"
            hint = "name its own under `credentials:`, or drop it: extends: {provider: …, drop: [/credentials]}"
            yield context.at("X284", message, PROVIDERS, at, Place.VALUE, help=hint)


def _domain(url: str) -> str:
    """The last two labels of a host, whatever templates insert; all of an address."""
    host = urlsplit(_TEMPLATE.sub("x", url)).hostname or ""
    return host if host.replace(".", "").isdigit() else ".".join(host.split(".")[-2:])


def _place(at: Path) -> Place:
    """Where a name is written: as a key in an account, elsewhere as a value."""
    return Place.KEY if at[2] == "accounts" else Place.VALUE


@check("X231")
def no_choices(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        bare = {variable.name for variable in provider.variables if not variable.choices}
        for name, at in _picked(provider):
            if name in bare:
                message = (
                    f"variable `{name}` of provider `{provider.name}` has no `choices` to pick from"
                )
                yield context.at("X231", message, PROVIDERS, at, Place.VALUE)


@check("X240")
def withheld_headers(context: CheckContext) -> Iterator[Diagnostic]:
    """Entries of `forward_headers` that cover headers which the gateway never forwards."""
    providers = context.config.providers
    caller_credentials = frozenset(n.encode() for p in providers for n in p.caller_headers)
    for provider in providers:
        for index, pattern in enumerate(provider.forward_headers):
            covered = [name.decode() for name in withheld_by(pattern.encode(), caller_credentials)]
            if covered:
                more = f" and {len(covered) - 2} more" if len(covered) > 2 else ""
                names = ", ".join(f"`{name}`" for name in covered[:2]) + more
                message = f"`{pattern}` covers {names}, which the gateway never forwards"
                at: Path = (*provider.at, "forward_headers", index)
                yield context.at("X240", message, PROVIDERS, at, Place.VALUE)
