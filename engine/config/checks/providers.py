"""The parts of one provider: what they refer to, and what its signer can do."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from engine.config.checks.registry import PROVIDERS, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.model import Provider
from engine.config.schema.extending import extended_by
from engine.config.source.document import Document, Path
from engine.plan.never_forwarded import never_forwarded_by
from engine.plan.suggest import nearest

_TEMPLATE = re.compile(r"\{\{.*?\}\}")
_SHARED = frozenset({"ac", "co", "com", "gov", "net", "org"})  # as in co.uk
_VARIABLE = re.compile(r"\{\{\s*variables\.([a-z0-9_]+).*?\}\}")


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
    """Credentials that a provider takes over, also in `accounts`, where it has a host of its own at another domain."""
    known = {provider.name: provider for provider in context.config.providers}
    for provider in known.values():
        document = context.documents[PROVIDERS]
        extended = extended_by(document, provider.name)
        base = known.get(str(extended[1])) if extended else None
        at = _host_at(provider, document)
        if base is None or at is None or _domains(provider) <= _domains(base):
            continue
        sets = (provider.credentials, *(account.credentials for account in provider.accounts))
        taken = [c for each in sets for c in each if c.at in document.inherited]
        if taken:
            sent = ", ".join(dict.fromkeys(f"`{c.name}`" for c in taken))
            message = f"provider `{provider.name}` takes over {sent} of `{base.name}` and sends it to another domain"
            places = list(dict.fromkeys(c.at[2] for c in taken))
            named = " and ".join(f"`{place}:`" for place in places)
            dropped = ", ".join(f"/{place}" for place in places)
            hint = f"name its own under {named}, or drop it: extends: {{provider: …, drop: [{dropped}]}}"
            yield context.at("X284", message, PROVIDERS, at, EntryPart.VALUE, help=hint)


def _host_at(provider: Provider, document: Document) -> Path | None:
    """Where the provider says itself which host is called: its `base_url`, or a variable in it."""
    if (*provider.at, "base_url") not in document.inherited:
        return (*provider.at, "base_url")
    sets = (provider.variables, *(account.variables for account in provider.accounts))
    own = (v.at for each in sets for v in each if v.at not in document.inherited)
    return next(own, None)


def _domains(provider: Provider) -> set[str]:
    """The domains that the provider calls, each credential set's with its own variables."""
    made = (provider, *(provider.with_credential_set(each) for each in provider.accounts))
    return {_domain(_filled(each)) for each in made}


def _filled(provider: Provider) -> str:
    """`base_url` with the values that the files give for variables."""
    values = provider.sample_variables()
    return _VARIABLE.sub(lambda hit: values.get(hit[1], "x"), provider.base_url)


def _domain(url: str) -> str:
    """The last two labels of a host, three below such as `co.uk`; all of an address."""
    host = urlsplit(_TEMPLATE.sub("x", url)).hostname or ""
    labels = host.split(".")
    is_shared = len(labels[-1]) == 2 and labels[-2:-1] and labels[-2] in _SHARED
    is_address = host.replace(".", "").isdigit()
    return host if is_address else ".".join(labels[-3 if is_shared else -2 :])


def _place(at: Path) -> EntryPart:
    """Where a name is written: as a key in an account, elsewhere as a value."""
    return EntryPart.KEY if at[2] == "accounts" else EntryPart.VALUE


@check("X231")
def no_choices(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        bare = {variable.name for variable in provider.variables if not variable.choices}
        for name, at in _picked(provider):
            if name in bare:
                message = (
                    f"variable `{name}` of provider `{provider.name}` has no `choices` to pick from"
                )
                yield context.at("X231", message, PROVIDERS, at, EntryPart.VALUE)


@check("X240")
def headers_never_forwarded(context: CheckContext) -> Iterator[Diagnostic]:
    """Entries of `forward_headers` that cover headers which the gateway never forwards."""
    providers = context.config.providers
    caller_credentials = frozenset(n.encode() for p in providers for n in p.caller_headers)
    for provider in providers:
        for index, pattern in enumerate(provider.forward_headers):
            covered = [
                name.decode() for name in never_forwarded_by(pattern.encode(), caller_credentials)
            ]
            if covered:
                more = f" and {len(covered) - 2} more" if len(covered) > 2 else ""
                names = ", ".join(f"`{name}`" for name in covered[:2]) + more
                message = f"`{pattern}` covers {names}, which the gateway never forwards"
                at: Path = (*provider.at, "forward_headers", index)
                yield context.at("X240", message, PROVIDERS, at, EntryPart.VALUE)
