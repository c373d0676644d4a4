"""Which targets of a rule may serve a request, in the order in which they are tried."""

import random
from collections.abc import Callable, Mapping, Sequence, Set

from engine.gateway.hooks import CredentialSource
from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.routing.match import Target, find_targets
from engine.gateway.routing.variants import sample_variant
from engine.plan.plan import CredentialSet, Plan, Provider


def candidate_targets(  # noqa: PLR0913, PLR0917 called once a request
    plan: Plan,
    head: CallerHead,
    first: Target,
    body: RequestBody,
    found: Mapping[str, CredentialSet],
    in_flight: Callable[[str], int],
) -> Sequence[Target]:
    """The targets to try, without those that have no credential or no URL for this request.

    A request with a caller's own credential goes to the providers that take it, and never to one
    by the operator's credential. `found` are the credentials of a CredentialSource by provider,
    `in_flight` the requests under way to each in this worker.
    When no target can be called, `first` alone is returned: its refusal says what is missing.
    """
    if not first.rule.targets:
        return (first,)
    every = find_targets(plan, head.endpoint, first, head.caller.name, random.random, in_flight)
    is_own = _has_credentials(head, body, first.provider)
    usable: list[Target] = []
    for target in every:
        variant = sample_variant(target, head, body, found.get(target.provider.name))
        if (
            variant.upstreams[head.endpoint.name] is not None
            and _accepts(variant, head.fields.keys(), body)
            if is_own
            else not variant.missing
        ):
            usable.append(target)
    return usable or (first,)


def find_credentials(
    source: CredentialSource, plan: Plan, head: CallerHead, first: Target, body: RequestBody
) -> Mapping[str, CredentialSet]:
    """What `source` has for this caller, by provider; nothing for who sends own credentials.

    Raises:
        GatewayError: as `find` of the source.
    """
    if _has_credentials(head, body, first.provider):
        return {}
    if not first.rule.targets:
        one = source.find(head.caller, first.provider)
        return {} if one is None else {first.provider.name: one}
    names = {target.provider for target in first.rule.targets}
    found = {name: source.find(head.caller, plan.providers[name]) for name in names}
    return {name: credentials for name, credentials in found.items() if credentials is not None}


def _has_credentials(head: CallerHead, body: RequestBody, provider: Provider) -> bool:
    """Whether the request carries a credential for any provider."""
    inputs = provider.caller_inputs  # the same for all providers
    return body.has_any(inputs.fields) or not inputs.headers.isdisjoint(head.fields)


def _accepts(provider: Provider, received: Set[bytes], body: RequestBody) -> bool:
    """Whether `provider` takes the credentials that the caller sent, and requires no others."""
    accepted = provider.caller_credentials
    sent = {accepted.headers[name] for name in received & accepted.headers.keys()}
    sent |= {own for name, own in accepted.body.items() if body.text(name) is not None}
    return bool(sent) and provider.required <= sent
