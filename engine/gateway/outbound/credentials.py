"""Whose credentials a request goes upstream with, and how it is signed.

A caller's own come first. Whoever sends one credential of a provider has to send all that the
provider requires: an operator's credential is never mixed with a caller's.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.payload import RequestBody
from engine.plan.plan import Header, Provider, Sign
from engine.plan.signers import SIGNERS

_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,4096}")

CallerValues = Mapping[str, str]  # by name of the credential


def caller_credentials(caller: CallerHead, provider: Provider, body: RequestBody) -> CallerValues:
    """The credentials of `provider` that the caller sent; all that it requires, or none.

    Raises:
        GatewayError: `invalid_request` or `provider_key_missing`.
    """
    accepted = provider.caller_credentials
    found: dict[str, str] = {}
    for name, credential in accepted.body.items():
        value = body.text(name)
        if value is not None:
            found[credential] = value
    for header, credential in accepted.headers.items():
        if header not in caller.fields:
            continue
        if [name for name, _ in caller.headers].count(header) > 1:
            message = f"the header `{header.decode()}` is sent twice"
            raise GatewayError("invalid_request", message)
        found[credential] = caller.fields[header].decode("latin-1")
    if found:
        _check_credentials(provider, found)
    return found


def _check_credentials(provider: Provider, found: CallerValues) -> None:
    if not all(_CREDENTIAL.fullmatch(value) for value in found.values()):
        message = "a provider credential must be 1 to 4096 visible ASCII characters"
        raise GatewayError("invalid_request", message)
    absent = provider.required - found.keys()
    if absent:
        message = f"a caller who sends credentials for provider `{provider.name}`"
        message += " must send all it requires; missing: " + ", ".join(sorted(absent))
        raise GatewayError("provider_key_missing", message)


def own_headers(
    provider: Provider, caller: CallerValues, *, needs_caller_credentials: bool
) -> tuple[Header, ...]:
    """The provider's own headers, filled in with the caller's credentials or the operator's.

    Raises:
        GatewayError: `provider_key_missing`.
    """
    if needs_caller_credentials and not caller:
        message = f"provider `{provider.name}` does not take the credential sent with the request"
        raise GatewayError("provider_key_missing", message)
    if not caller:
        if provider.missing:
            raise not_configured(provider)
        return provider.headers
    return tuple(h for h in provider.caller_headers if h.credentials <= caller.keys())


def signing(provider: Provider, caller: CallerValues, own: tuple[Header, ...]) -> Sign | None:
    """How a request is signed: with the caller's credentials or the operator's; None: it is not.

    Raises:
        GatewayError: `provider_key_missing` when the caller sent too little to sign with.
    """
    if not caller or (provider.sign is None and provider.caller_sign is None):
        return provider.sign
    if any(header.name == b"authorization" for header in own):
        return None
    sign = provider.caller_sign
    absent = set(SIGNERS[sign.signer].needs) - caller.keys() if sign else {"authorization"}
    if sign is None or absent:
        message = f"these credentials do not sign in to provider `{provider.name}`"
        raise GatewayError("provider_key_missing", f"{message}; missing: {', '.join(absent)}")
    return replace(sign, credentials=dict(caller))


def not_configured(provider: Provider) -> GatewayError:
    """The refusal of a request that only the operator's missing credentials could serve."""
    message = f"provider `{provider.name}` has no credential on this gateway"
    rest = "ask the operator"
    if provider.is_of_account:
        message = f"this account has no usable key for provider `{provider.name}`"
        rest = "save one in the dashboard"
    if provider.caller_credentials.headers:
        names = ", ".join(f"`{n.decode()}`" for n in provider.caller_credentials.headers)
        message += f"; send your own in the header {names}, or {rest}"
    elif provider.is_of_account:
        message += f"; {rest}"
    return GatewayError("provider_key_missing", message)


def no_url(provider: Provider) -> GatewayError:
    """The refusal of a request to a provider whose URL is not known, whatever the caller sends."""
    message = f"provider `{provider.name}` cannot be called: a variable in its URL is not set"
    return GatewayError("provider_key_missing", f"{message}; ask the operator")
