"""Rules about the parts of one provider: what they name, and what its signer can do."""

from collections.abc import Iterator

from engine.config.checks.registry import CheckContext
from engine.config.diagnostics.diagnostic import Diagnostic, Place
from engine.config.model import Provider
from engine.config.source.document import Path
from engine.plan.signers import SIGNERS
from engine.plan.suggest import nearest
from engine.plan.withheld import withheld_by

_PROVIDERS = "providers.yaml"


def check_providers(context: CheckContext) -> list[Diagnostic]:
    """Every finding about what a provider says of itself."""
    return [
        found
        for provider in context.config.providers
        for check in (
            _credential_names,
            _variable_names,
            _no_choices,
            _signer,
            _withheld,
            _changed_model,
        )
        for found in check(context, provider)
    ]


def _credential_names(context: CheckContext, provider: Provider) -> Iterator[Diagnostic]:
    known = {credential.name for credential in provider.credentials}
    caller_credentials = provider.caller_headers, provider.caller_body
    for kind, fields in zip(("headers", "body"), caller_credentials, strict=True):
        for field, name in fields.items():
            if name not in known:
                at: Path = (*provider.at, "caller_credentials", kind, field)
                yield _unknown(context, provider, "credential", name, at)
    for credential_set in provider.accounts:
        for credential in credential_set.credentials:
            if credential.name not in known:
                yield _unknown(context, provider, "credential", credential.name, credential.at)


def _variable_names(context: CheckContext, provider: Provider) -> Iterator[Diagnostic]:
    known = {variable.name for variable in provider.variables}
    for name, at in _picked(provider):
        if name not in known:
            yield _unknown(context, provider, "variable", name, at)
    for credential_set in provider.accounts:
        for variable in credential_set.variables:
            if variable.name not in known:
                yield _unknown(context, provider, "variable", variable.name, variable.at)


def _picked(provider: Provider) -> Iterator[tuple[str, Path]]:
    """The variables that a caller may pick, with their places."""
    fields = provider.caller_variable_headers, provider.caller_variable_body
    for kind, picked in zip(("headers", "body"), fields, strict=True):
        for field, name in picked.items():
            yield name, (*provider.at, "caller_variables", kind, field)


def _unknown(
    context: CheckContext, provider: Provider, kind: str, name: str, at: Path
) -> Diagnostic:
    """A name of the provider's that it does not define; an account's stands as a key."""
    names = provider.credentials if kind == "credential" else provider.variables
    place = Place.KEY if at[2] == "accounts" else Place.VALUE
    message = f"provider `{provider.name}` has no {kind} `{name}`"
    code = "X210" if kind == "credential" else "X230"
    hint = nearest(name, {known.name for known in names})
    return context.at(code, message, _PROVIDERS, at, place, hint=hint)


def _no_choices(context: CheckContext, provider: Provider) -> Iterator[Diagnostic]:
    bare = {variable.name: variable for variable in provider.variables if not variable.choices}
    for name, at in _picked(provider):
        if name in bare:
            message = (
                f"variable `{name}` of provider `{provider.name}` has no `choices` to pick from"
            )
            yield context.at("X231", message, _PROVIDERS, at, Place.VALUE)


def _signer(context: CheckContext, provider: Provider) -> Iterator[Diagnostic]:
    sign = provider.sign
    if sign is None:
        return
    kind = SIGNERS[sign.signer]
    known = {credential.name for credential in provider.credentials}
    for name in () if sign.by_workload_identity else kind.needs:
        if name not in known:
            message = (
                f"signer `{sign.signer}` of provider `{provider.name}` needs a credential `{name}`"
            )
            yield context.at("X232", message, _PROVIDERS, (*sign.at, "with"), Place.VALUE)
    for name in kind.settings:
        if name not in sign.settings:
            message = f"signer `{sign.signer}` of provider `{provider.name}` needs `{name}`"
            yield context.at("X232", message, _PROVIDERS, (*sign.at, "with"), Place.VALUE)
    caller_credentials = [*provider.caller_headers.values(), *provider.caller_body.values()]
    for name in kind.needs:
        if name in caller_credentials and not kind.from_callers:
            message = f"callers of provider `{provider.name}` may not bring `{name}`, which names a file of this machine"
            yield context.at("X232", message, _PROVIDERS, (*provider.at, "caller_credentials"))
    forms = {endpoint.name for endpoint in context.config.endpoints if endpoint.bodies == ("form",)}
    for served in provider.endpoints:
        if kind.whole_body and served.name in forms:
            message = f"signer `{sign.signer}` cannot sign the forms of endpoint `{served.name}`"
            yield context.at("X232", message, _PROVIDERS, served.at)


def _withheld(context: CheckContext, provider: Provider) -> Iterator[Diagnostic]:
    """Entries of `forward_headers` that cover what the gateway never forwards."""
    caller_credentials = frozenset(
        n.encode() for p in context.config.providers for n in p.caller_headers
    )
    for index, pattern in enumerate(provider.forward_headers):
        covered = [name.decode() for name in withheld_by(pattern.encode(), caller_credentials)]
        if covered:
            more = f" and {len(covered) - 2} more" if len(covered) > 2 else ""
            names = ", ".join(f"`{name}`" for name in covered[:2]) + more
            message = f"`{pattern}` covers {names}, which the gateway never forwards"
            at: Path = (*provider.at, "forward_headers", index)
            yield context.at("X240", message, _PROVIDERS, at, Place.VALUE)


def _changed_model(context: CheckContext, provider: Provider) -> Iterator[Diagnostic]:
    """Changes to a body that put another model in the place of the one that was routed."""
    for served in provider.endpoints:
        edits = served.body
        if edits is None:
            continue
        names = {"model", edits.rename.get("model", "model")}
        moved = {name: new for name, new in edits.rename.items() if name != "model"}
        changes = [("set", name, name) for name in edits.set]
        changes += [("default", name, name) for name in edits.default]
        changes += [("rename", name, new) for name, new in moved.items()]
        for kind, name, field in changes:
            if field.lower() in names:
                message = f"`{kind}` changes the model of endpoint `{served.name}` behind the rule that chose it"
                at: Path = (*served.at, "body", kind, name)
                yield context.at("X245", message, _PROVIDERS, at, Place.KEY)
