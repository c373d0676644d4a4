"""Which targets of a rule may serve a request, in the order in which they are tried."""

import random
from collections.abc import Sequence, Set

from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.routing.match import Target, find_targets
from engine.plan.plan import Plan, Provider


def candidate_targets(
    plan: Plan, head: CallerHead, first: Target, body: RequestBody
) -> Sequence[Target]:
    """The targets to try, without those that have no credential for this request.

    A request with a caller's own credential goes to the providers that take it, and never to one
    by the operator's credential.
    """
    if not first.rule.ways:
        return (first,)
    every = find_targets(plan, head.endpoint, first, head.caller.name, random.random)
    inputs = first.provider.caller_inputs
    if body.has_any(inputs.fields) or not inputs.headers.isdisjoint(head.fields):
        usable = [t for t in every if _accepts(t.provider, head.fields.keys(), body)]
    else:
        usable = [t for t in every if not t.provider.missing or t.provider.accounts]
    return usable or (first,)


def _accepts(provider: Provider, received: Set[bytes], body: RequestBody) -> bool:
    """Whether `provider` takes the credentials that the caller sent, and requires no others."""
    accepted = provider.caller_credentials
    sent = {accepted.headers[name] for name in received & accepted.headers.keys()}
    sent |= {own for name, own in accepted.body.items() if body.text(name) is not None}
    return bool(sent) and provider.required <= sent
