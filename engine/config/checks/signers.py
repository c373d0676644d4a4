"""Signers: what each needs, and what it cannot do."""

from collections.abc import Iterator

from engine.config.checks.registry import PROVIDERS, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.plan.signers import SIGNERS


@check("X232")
def missing_parts(context: CheckContext) -> Iterator[Diagnostic]:
    """Credentials and settings that a signer needs and its provider does not define."""
    for provider in context.config.providers:
        sign = provider.sign
        if sign is None:
            continue
        kind = SIGNERS[sign.signer]
        known = {credential.name for credential in provider.credentials}
        needs = () if sign.by_workload_identity else kind.needs
        missing = [f"a credential `{name}`" for name in needs if name not in known]
        missing += [f"`{name}`" for name in kind.settings if name not in sign.settings]
        for what in missing:
            message = f"signer `{sign.signer}` of provider `{provider.name}` needs {what}"
            yield context.at("X232", message, PROVIDERS, (*sign.at, "with"), EntryPart.VALUE)


@check("X232")
def from_callers(context: CheckContext) -> Iterator[Diagnostic]:
    """Credentials that name a local file, and that callers could choose."""
    for provider in context.config.providers:
        kind = SIGNERS[provider.sign.signer] if provider.sign else None
        if kind is None or kind.from_callers:
            continue
        theirs = {*provider.caller_headers.values(), *provider.caller_body.values()}
        for name in (name for name in kind.needs if name in theirs):
            message = f"callers of provider `{provider.name}` may not send `{name}`, which names a local file"
            yield context.at("X232", message, PROVIDERS, (*provider.at, "caller_credentials"))


@check("X232")
def unsigned_forms(context: CheckContext) -> Iterator[Diagnostic]:
    """Endpoints with form bodies, at a provider whose signer needs the whole body."""
    forms = {endpoint.name for endpoint in context.config.endpoints if endpoint.bodies == ("form",)}
    for provider in context.config.providers:
        if provider.sign is None or not SIGNERS[provider.sign.signer].whole_body:
            continue
        for served in (s for s in provider.endpoints if s.name in forms):
            message = (
                f"signer `{provider.sign.signer}` cannot sign the forms of endpoint `{served.name}`"
            )
            yield context.at("X232", message, PROVIDERS, served.at)
