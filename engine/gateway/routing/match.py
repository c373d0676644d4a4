"""Endpoint and model to where the request goes, with the reasons the others lost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from math import log

from engine.gateway.errors import GatewayError
from engine.plan.conditions import Dimension, Read, When, describe
from engine.plan.plan import (
    Decision,
    Endpoint,
    Plan,
    Provider,
    Rule,
    RuleTarget,
    Timeouts,
    Upstream,
)
from engine.plan.prices import FREE, Price
from engine.plan.suggest import nearest

_LEAST = 2.0**-64


@dataclass(frozen=True, slots=True)
class Target:
    """A request's destination: the rule that chose it and everything needed to call it.

    `rule_target` is its entry in the rule, if that has several; `timeouts` replace those of the upstream.
    `sends_as_is`: nothing in the configuration changes a body for it. `has_one_attempt`: whatever comes of it, no
    other follows.
    """

    rule: Rule
    provider: Provider
    upstream: Upstream | None
    model: str
    sent_model: str
    rule_target: RuleTarget | None = None
    price: Price | None = None
    timeouts: Timeouts | None = None
    sends_as_is: bool = field(init=False)
    has_one_attempt: bool = field(init=False)

    def __post_init__(self) -> None:
        """Decide once what every request asks."""
        upstream, entry = self.upstream, self.entry
        is_edited = upstream is None or upstream.edits is not None or bool(entry.edits)
        is_as_is = not is_edited and not entry.drops_unknown and self.sent_model == self.model
        object.__setattr__(self, "sends_as_is", is_as_is)
        has_one = self.provider.single_attempt and not self.rule.targets
        object.__setattr__(self, "has_one_attempt", has_one)

    @property
    def entry(self) -> Rule | RuleTarget:
        """What the configuration says of this target: its entry, or the rule if it has only one."""
        return self.rule_target or self.rule

    @property
    def total(self) -> float | None:
        """Seconds for all attempts; None where the URL is not known."""
        upstream = self.upstream
        return None if upstream is None else (self.timeouts or upstream.timeouts).total

    @property
    def fallback_on(self) -> frozenset[str]:
        """The failures after which the next target gets the request, though it may be paid twice."""
        return self.rule_target.fallback_on if self.rule_target else frozenset()


def find_target(plan: Plan, endpoint: Endpoint, model: str, read: Read | None = None) -> Target:
    """Where a request for `model` at `endpoint` goes; `read` gets what conditions of rules ask for.

    Raises:
        GatewayError: `model_not_found` or `endpoint_not_supported`; or as `read`.
    """
    return target_by(plan, endpoint, model, plan.models.find(endpoint.name, model, read))


def target_by(plan: Plan, endpoint: Endpoint, model: str, rule: Rule | None) -> Target:
    """Where `rule` sends a request for `model` at `endpoint`.

    Raises:
        GatewayError: `model_not_found` or `endpoint_not_supported`.
    """
    decision = plan.decide_by(rule, endpoint.name, model)
    if decision.refusal == "model_not_found" or not decision.rule or not decision.provider:
        raise GatewayError("model_not_found", _no_model(plan, endpoint, model), param="model")
    if decision.refusal == "endpoint_not_supported":
        raise GatewayError("endpoint_not_supported", _not_served(endpoint, decision))
    return _target(plan, endpoint, decision, decision.rule, decision.provider)


def _target(
    plan: Plan, endpoint: Endpoint, decision: Decision, rule: Rule, provider: Provider
) -> Target:
    model, sent, by = decision.model, decision.sent_model, decision.rule_target
    price = None if plan.prices is None else FREE if endpoint.is_free else plan.prices.find(provider.name, sent)  # fmt: skip
    timeouts = (by or rule).timeouts.get(endpoint.name)
    return Target(rule, provider, decision.upstream, model, sent, by, price, timeouts)


def find_targets(  # noqa: PLR0913, PLR0917 all that an order may depend on
    plan: Plan,
    endpoint: Endpoint,
    first: Target,
    key: str,
    draw: Callable[[], float],
    in_flight: Callable[[str], int] = lambda _: 0,
) -> tuple[Target, ...]:
    """The targets of the rule that chose `first`, in the order in which to try them.

    Each tier is in an order of its own. By load, those come first whose providers have the fewest
    requests under way for their weight (`in_flight`, by name), drawn where they are even. Else those with a weight come first, one drawn before the other by weight (Efraimidis and Spirakis,
    2006); `draw` gives numbers from 0 to 1. On a sticky rule a digest of the caller's `key` stands
    in for it, so that a target that comes or goes moves none but its own callers.
    """
    rule = first.rule
    is_even = rule.is_sticky and all(rule_target.weight is None for rule_target in rule.targets)
    ranked: list[tuple[tuple[int, bool, float, float], Target]] = []
    for number, rule_target in enumerate(rule.targets):
        decision = plan.decide_target(rule, endpoint.name, first.model, rule_target)
        if decision.refusal or decision.provider is None:
            continue
        tier, weight = rule_target.tier, rule_target.weight or 1
        rank = (tier, True, float(number), 0.0)
        if rule.by_load:
            rank = (tier, False, in_flight(rule_target.provider) / weight, draw())
        elif is_even or rule_target.weight is not None:
            name = f"{key}\0{rule_target.provider}\0{rule_target.rename}"
            drawn = _digested(name) if rule.is_sticky else draw()
            rank = (tier, False, -log(drawn or _LEAST) / weight, 0.0)
        ranked.append((rank, _target(plan, endpoint, decision, rule, decision.provider)))
    return tuple(target for _, target in sorted(ranked, key=lambda item: item[0]))


def _digested(text: str) -> float:
    """A number from 0 to 1 that is always the same for `text`."""
    return int.from_bytes(sha256(text.encode()).digest()[:8]) / 2**64


def _no_model(plan: Plan, endpoint: Endpoint, model: str) -> str:
    if any(rule.when for rule in plan.models.possible_rules(endpoint.name, model)):
        return f"the model rules of this gateway for `{model}` have conditions that this request does not meet"
    known = [name for name in (*plan.models.exact, *plan.models.prefixes) if name != model]
    head = model.split("/", maxsplit=1)[0] + "/" if "/" in model else model
    starts = [name for name in plan.models.prefixes if name != model and name[:3] == model[:3]]
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


def explain(plan: Plan, endpoint: str, model: str, read: Read | None = None) -> list[Candidate]:
    """Every rule whose pattern fits `model`, the winner first. For people, not for requests."""
    winner = plan.models.find(endpoint, model, read)
    fitting = [rule for rule in plan.rules if _fits(rule, model)]
    candidates = [Candidate(rule, _reason(rule, winner, endpoint, read)) for rule in fitting]
    return sorted(candidates, key=lambda c: (c.reason is not None, -len(c.rule.pattern)))


def _fits(rule: Rule, model: str) -> bool:
    return model.startswith(rule.pattern) if rule.is_prefix else model == rule.pattern


def _reason(rule: Rule, winner: Rule | None, endpoint: str, read: Read | None) -> str | None:
    if rule is winner:
        return None
    excluded = _exclusion(rule, endpoint, read)
    return excluded if excluded or winner is None else _beaten_by(winner, rule)


def _exclusion(rule: Rule, endpoint: str, read: Read | None) -> str | None:
    """Why a request that fits the pattern of `rule` is none for it; None if it is."""
    if rule.endpoints is not None and endpoint not in rule.endpoints:
        return f"is limited to {', '.join(rule.endpoints)}"
    unmet = _unmet(rule, read)
    return f"asks for {describe(unmet)}" if unmet else None


def _beaten_by(winner: Rule, rule: Rule) -> str:
    if not winner.is_prefix and rule.is_prefix:
        return "is a prefix, and an exact rule beats it"
    if len(winner.pattern) > len(rule.pattern):
        return "is shorter than the rule that won"
    if (winner.endpoints is None) == (rule.endpoints is None):
        return "has fewer conditions than the rule that won"
    return "is not limited to this endpoint; the rule that won is"


def _unmet(rule: Rule, read: Read | None) -> When:
    """The conditions of `rule` that a request does not meet."""
    return {d: v for d, v in rule.when.items() if read is None or not _is_met(d, v, read)}


def _is_met(dimension: Dimension, values: frozenset[str], read: Read) -> bool:
    """Whether a request has one of `values`; a body with a field in two spellings, which the winner does not read, has none."""
    try:
        return read(dimension) in values
    except GatewayError:
        return False
