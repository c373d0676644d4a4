"""Endpoint and model to where the request goes, with the reasons the others lost."""

from dataclasses import dataclass

from engine.gateway.errors import GatewayError
from engine.plan import Decision, Endpoint, Plan, Provider, Rule, Upstream
from engine.suggest import nearest


@dataclass(frozen=True, slots=True)
class Target:
    """A request's destination: the rule that chose it and everything needed to call it."""

    rule: Rule
    provider: Provider
    upstream: Upstream | None
    model: str
    sent_model: str


def find_endpoint(plan: Plan, method: str, path: bytes) -> Endpoint:
    """The endpoint at exactly `path`. No decoding: one spelling of a path is the only one.

    Raises:
        GatewayError: `unknown_path`, `not_exposed` or `method_not_allowed`.
    """
    methods = plan.endpoints.get(path)
    if methods is not None and method in methods:
        return methods[method]
    for refusal in plan.refusals:
        hit = path.startswith(refusal.path) if refusal.is_prefix else path == refusal.path
        if hit and (not refusal.methods or method in refusal.methods):
            raise GatewayError(
                "not_exposed", f"this gateway does not offer this path: {refusal.reason}"
            )
    if methods is not None:
        allowed = ", ".join(sorted(methods))
        raise GatewayError(
            "method_not_allowed",
            f"this path answers {allowed}",
            headers=((b"allow", allowed.encode("ascii")),),
        )
    if plan.listing is not None and plan.listing.asked(path) is not None:
        words = "this path answers GET"
        raise GatewayError("method_not_allowed", words, headers=((b"allow", b"GET"),))
    raise GatewayError("unknown_path", _unknown_path(plan, path))


def _unknown_path(plan: Plan, path: bytes) -> str:
    hint = nearest(path[:128].decode("latin-1"), (known.decode() for known in plan.endpoints))
    return "this gateway has no such path" + (f"; did you mean {hint}?" if hint else "")


def find_target(plan: Plan, endpoint: Endpoint, model: str) -> Target:
    """Where a request for `model` at `endpoint` goes.

    Raises:
        GatewayError: `model_not_found` or `endpoint_not_supported`.
    """
    decision = plan.decide(endpoint.name, model)
    if decision.refusal == "model_not_found" or not decision.rule or not decision.provider:
        raise GatewayError("model_not_found", _no_model(plan, model), param="model")
    if decision.refusal == "endpoint_not_supported":
        raise GatewayError("endpoint_not_supported", _not_served(endpoint, decision))
    rule, provider = decision.rule, decision.provider
    return Target(rule, provider, decision.upstream, model, decision.sent_model)


def _no_model(plan: Plan, model: str) -> str:
    known = [*plan.models.exact, *plan.models.prefixes]
    head = model.split("/", maxsplit=1)[0] + "/" if "/" in model else model
    starts = [name for name in plan.models.prefixes if name[:3] == model[:3]]
    near = [hint for hint in (nearest(head, known), nearest(model, known)) if hint]
    hints = list(dict.fromkeys(near + sorted(starts)))[:5]
    words = f"no model rule of this gateway covers `{model}`"
    if hints:
        words += "; the nearest are " + ", ".join(f"`{hint}`" for hint in hints)
    return words


def _not_served(endpoint: Endpoint, decision: Decision) -> str:
    provider = decision.provider
    served = ", ".join(sorted(provider.upstreams)) if provider else ""
    name = provider.name if provider else ""
    return (
        f"`{decision.model}` goes to provider `{name}`, which does not serve `{endpoint.name}`; "
        f"it serves: {served}"
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model rule beside the request, and why it lost; `reason` None is the winner."""

    rule: Rule
    reason: str | None


def explain(plan: Plan, endpoint: str, model: str) -> list[Candidate]:
    """Every rule whose pattern fits `model`, the winner first. For people, not for requests."""
    winner = plan.models.find(endpoint, model)
    fitting = [rule for rule in plan.rules if _fits(rule, model)]
    candidates = [Candidate(rule, _reason(rule, winner, endpoint)) for rule in fitting]
    return sorted(candidates, key=lambda c: (c.reason is not None, -len(c.rule.pattern)))


def _fits(rule: Rule, model: str) -> bool:
    return model.startswith(rule.pattern) if rule.is_prefix else model == rule.pattern


def _reason(rule: Rule, winner: Rule | None, endpoint: str) -> str | None:
    if rule is winner:
        return None
    if rule.endpoints is not None and endpoint not in rule.endpoints:
        return f"is narrowed to {', '.join(rule.endpoints)}"
    if winner is not None and not winner.is_prefix and rule.is_prefix:
        return "is a prefix, and an exact rule beats it"
    if winner is not None and len(winner.pattern) > len(rule.pattern):
        return "is shorter than the rule that won"
    return "is not narrowed to the endpoint, as the rule that won is"
