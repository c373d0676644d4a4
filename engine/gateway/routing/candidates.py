"""Which targets of a rule may serve a request, in the order in which they are tried."""

import random
from collections.abc import Callable, Mapping, Sequence, Set
from types import MappingProxyType

from engine.gateway.hooks import CredentialSource
from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.routing.match import Target, find_targets
from engine.gateway.routing.variants import sample_variant
from engine.plan.plan import CredentialSet, Origin, Plan, Provider, Rule

Credentials = Mapping[str, CredentialSet]  # by provider
_Taken = tuple[Origin, Set[bytes | str]]
NONE: Credentials = MappingProxyType({})


def candidate_targets(  # noqa: PLR0913, PLR0917 called once a request
    plan: Plan,
    head: CallerHead,
    first: Target,
    body: RequestBody,
    account_credentials: Mapping[str, CredentialSet],
    in_flight: Callable[[str], int],
) -> Sequence[Target]:
    """The targets to try, without those that have no credential or no URL for this request.

    A request with a caller's own credential goes to providers that take it, and never to one by the
    operator's credential; each credential goes to one origin alone, see `_owners`. `account_credentials` are the credentials of a CredentialSource by provider,
    `in_flight` the requests under way to each in this worker.
    When no target can be called, `first` alone is returned: its refusal says what is missing.
    """
    if not first.rule.targets:
        return (first,)
    every = find_targets(plan, head.endpoint, first, head.caller.name, random.random, in_flight)
    is_own = has_credentials(head, body, first.provider)
    usable: list[Target] = []
    taken: dict[str, _Taken] = {}
    for target in every:
        variant = sample_variant(target, head, body, account_credentials.get(target.provider.name))
        upstream = variant.upstreams[head.endpoint.name]
        if is_own:
            inputs = _accepted(variant, head.fields.keys(), body)
            if upstream is not None and inputs:
                taken[target.provider.name] = upstream.origin, inputs
                usable.append(target)
        elif not variant.missing:
            usable.append(target)
    if is_own:
        owners = _owners(first.rule, taken)
        usable = [target for target in usable if target.provider.name in owners]
    return usable or (first,)


def _owners(rule: Rule, taken: Mapping[str, _Taken]) -> Set[str]:
    """The providers that may get what a caller sent, which is for one company: the first to take it.

    Most providers take the same header, so a second one would get a secret of the first. The order
    is that of the file, since the one of a request may be drawn. Providers of one origin share it.
    """
    owners: set[str] = set()
    origins: dict[bytes | str, Origin] = {}
    for name in (target.provider for target in rule.targets if target.provider in taken):
        origin, inputs = taken[name]
        if all(origins.get(one, origin) == origin for one in inputs):
            origins.update(dict.fromkeys(inputs, origin))
            owners.add(name)
    return owners


def find_credentials(
    source: CredentialSource, plan: Plan, head: CallerHead, first: Target, body: RequestBody
) -> Credentials:
    """What `source` has for this caller, by provider; nothing for who sends own credentials.

    Raises:
        GatewayError: as `find` of the source.
    """
    if has_credentials(head, body, first.provider):
        return NONE
    if not first.rule.targets:
        one = source.find(head.caller, first.provider)
        return {} if one is None else {first.provider.name: one}
    names = {target.provider for target in first.rule.targets}
    found = {name: source.find(head.caller, plan.providers[name]) for name in names}
    return {name: credentials for name, credentials in found.items() if credentials is not None}


def has_credentials(head: CallerHead, body: RequestBody, provider: Provider) -> bool:
    """Whether the request carries a credential for any provider."""
    inputs = provider.caller_inputs  # the same for all providers
    return body.has_any(inputs.fields) or not inputs.headers.isdisjoint(head.fields)


def _accepted(provider: Provider, received: Set[bytes], body: RequestBody) -> Set[bytes | str]:
    """The headers and fields of the caller's credential; none if `provider` requires others."""
    accepted = provider.caller_credentials
    headers = received & accepted.headers.keys()
    fields = {name for name in accepted.body if body.text(name) is not None}
    sent = {accepted.headers[name] for name in headers} | {accepted.body[name] for name in fields}
    return headers | fields if provider.required <= sent else set()
