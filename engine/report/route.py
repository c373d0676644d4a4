"""Where one request goes, why, and what would be tried next, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.config.effective import Effective, fill_in, limits_of, settings_at, timeouts_of
from engine.config.source.document import Document, Path
from engine.gateway.errors import GatewayError
from engine.gateway.inbound.auth import ANONYMOUS
from engine.gateway.inbound.paths import EndpointMatch, match_endpoint
from engine.gateway.routing.conditions import facts_of
from engine.gateway.routing.match import Target, explain, find_target, find_targets
from engine.gateway.routing.variants import matching_variants
from engine.plan.conditions import Read
from engine.plan.plan import (
    Account,
    Caller,
    Endpoint,
    Header,
    Plan,
    Provider,
    Rule,
    RuleTarget,
    UnusableValueError,
)
from engine.report.mask import masked, masked_url
from engine.report.request_settings import (
    accounts,
    choices,
    line_of,
    mask_all,
    override,
    section,
    sections,
)
from engine.report.route_rules import view_rule
from engine.report.rule_settings import RuleSettings

FORMAT_VERSION = "1.4"
_ROUTES, _PROVIDERS = "routes.yaml", "providers.yaml"

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExplainedRequest:
    """A request to explain. `caller` has the key of the request; `now` is POSIX time.

    `account` is the id of the account that the key belongs to. `headers` (names in lower case) and
    `body`, which is JSON, are for conditions of rules.

    A model in the path counts; without one and without `model` the request names none.
    """

    method: str
    path: str
    model: str | None
    caller: Caller | None
    now: float
    account: str | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes | None = None


def view_route(plan: Plan, documents: Mapping[str, Document], question: ExplainedRequest) -> View:
    """Where a request goes, as plain data of `schemas/output/route.schema.json`."""
    method, path, caller = question.method, question.path, question.caller
    place, error = _place(plan, method, path)
    model = (place and place.model) or question.model or ""
    endpoint = place.endpoint if place else None
    target = read = None
    if endpoint is not None:
        read, error = _facts(endpoint, question)
        target, error = (None, error) if read is None else _find(plan, endpoint, model, read)
    refused = _key_problem(caller, endpoint, model, question.now) if caller else None
    error = error or refused
    view: View = {
        "format_version": FORMAT_VERSION,
        "request": {"method": method, "path": path, "model": model},
        "ok": error is None,
        "error": _error(error) if error else None,
        "endpoint": endpoint.name if endpoint else None,
        "endpoint_where": line_of(documents[_ROUTES], ("endpoints", endpoint.name))
        if endpoint
        else None,
        "key": {"name": caller.name, "allowed": refused is None} if caller else None,
        "target": _target(plan, documents, endpoint, target, caller)
        if endpoint and target
        else None,
        "rules": [],
    }
    if endpoint and (error is None or error.code != "duplicate_field"):
        view["rules"] = [view_rule(c, documents) for c in explain(plan, endpoint.name, model, read)]
    return view


def needs_model(plan: Plan, method: str, path: str) -> bool:
    """Whether an endpoint is at `path`, and the path does not have the model in it."""
    place, _ = _place(plan, method, path)
    return place is not None and place.model is None


def _place(plan: Plan, method: str, path: str) -> tuple[EndpointMatch | None, GatewayError | None]:
    try:
        return match_endpoint(plan, method, path.encode()), None
    except GatewayError as error:
        return None, error


def _facts(
    endpoint: Endpoint, question: ExplainedRequest
) -> tuple[Read | None, GatewayError | None]:
    """How conditions read the request; or why its body is refused."""
    caller = question.caller or ANONYMOUS
    if question.account is not None:
        caller = replace(caller, account=Account(question.account, {}))
    try:
        return facts_of(endpoint, caller, question.headers, question.body).read, None
    except GatewayError as error:
        return None, error


def _find(
    plan: Plan, endpoint: Endpoint, model: str, read: Read
) -> tuple[Target | None, GatewayError | None]:
    try:
        if not model:
            raise GatewayError("model_required", "the request names no `model`", param="model")
        target = find_target(plan, endpoint, model, read)
        if target.upstream:
            target.upstream.url(target.sent_model)
    except UnusableValueError:
        words = "the model cannot be part of the provider's URL"
        return None, GatewayError("invalid_model", words)
    except GatewayError as error:
        return None, error
    return target, None


def _key_problem(
    caller: Caller, endpoint: Endpoint | None, model: str, now: float
) -> GatewayError | None:
    if caller.expires is not None and caller.expires <= now:
        return GatewayError("expired_api_key", "the API key has expired")
    if endpoint and caller.endpoints is not None and endpoint.name not in caller.endpoints:
        words = f"this API key may not use endpoint `{endpoint.name}`"
        return GatewayError("not_allowed", words)
    if not caller.may_use_model(model):
        return GatewayError("not_allowed", "this API key may not use this model")
    return None


def _error(error: GatewayError) -> View:
    return {"code": error.code, "status": error.kind.status, "message": error.message}


@dataclass(frozen=True, slots=True)
class _RankedTarget:
    """A target, its entry in the rule, and the variants of its provider that serve: one per key."""

    target: Target
    rule_target: RuleTarget | None
    variants: Sequence[Provider]

    @property
    def is_usable(self) -> bool | None:
        """Whether it can be called; None where the key decides."""
        verdicts = {not variant.missing for variant in self.variants}
        return verdicts.pop() if len(verdicts) == 1 else None

    @property
    def served_by(self) -> Provider:
        """The variant that serves; the provider itself where the key decides."""
        return self.variants[0] if len(self.variants) == 1 else self.target.provider

    @property
    def missing(self) -> Sequence[str]:
        """What to set before it can be called."""
        known = {True: (), False: self.variants[0].missing}
        return self.target.provider.missing if self.is_usable is None else known[self.is_usable]


def _rank(plan: Plan, target: Target, by: RuleTarget | None, key: Caller | None) -> _RankedTarget:
    every = [key] if key else (plan.callers or {b"": ANONYMOUS}).values()
    variants = [matching_variants(target, each.name)[0] for each in every]
    return _RankedTarget(target, by, tuple({id(v): v for v in variants}.values()))


def _candidate_targets(
    plan: Plan, endpoint: Endpoint, first: Target, caller: Caller | None
) -> Sequence[_RankedTarget]:
    """Every target in the order of attempts; the heavier one first where weights decide.

    One that lacks its credential is passed over while another has its own, so it comes last. What
    only the key decides is in the order of the file while no key is given.
    """
    if not first.rule.targets:
        return [_rank(plan, first, None, caller)]
    name = caller.name if caller else ""
    every = find_targets(plan, endpoint, first, name, lambda: 0.5)
    places = {id(rule_target): place for place, rule_target in enumerate(first.rule.targets)}
    ordered = [(target, target.rule_target) for target in every]
    if first.rule.is_sticky and caller is None:
        ordered.sort(key=lambda each: places[id(each[1])])
    ranked = [_rank(plan, target, by, caller) for target, by in ordered]
    lacking = [each for each in ranked if each.is_usable is False]
    lacking.sort(key=lambda each: places[id(each.rule_target)])  # the first is refused if all lack
    return [*(each for each in ranked if each.is_usable is not False), *lacking]


def _order(rule: Rule) -> str | None:
    """What decides the order of targets."""
    if not rule.targets:
        return None
    if rule.is_sticky or rule.by_load:
        return "key" if rule.is_sticky else "load"
    return "file" if all(each.weight is None for each in rule.targets) else "weight"


def _target(
    plan: Plan,
    documents: Mapping[str, Document],
    endpoint: Endpoint,
    first: Target,
    caller: Caller | None,
) -> View:
    candidates = _candidate_targets(plan, endpoint, first, caller)
    chosen = candidates[0]
    target, provider = chosen.target, chosen.target.provider
    files = fill_in(documents[_ROUTES], "routes"), fill_in(documents[_PROVIDERS], "providers")
    at: Path = ("providers", provider.name)
    said = list(RuleSettings(files[0], plan).of(target.rule, target.rule_target))
    timeouts = override(said, "timeouts", timeouts_of(*files, endpoint.name, provider.name))
    served = settings_at(files[1], (*at, "endpoints", endpoint.name))
    body = section([*said, *served], "body")
    return {
        "provider": provider.name,
        "where": line_of(documents[_PROVIDERS], at),
        "sent_model": target.sent_model,
        "url": _url(chosen, endpoint),
        "url_where": _path_line(documents[_PROVIDERS], (*at, "endpoints", endpoint.name)),
        "headers": [_header(header, files[1], at) for header in chosen.served_by.headers],
        "missing": list(chosen.missing),
        "order": _order(first.rule),
        "targets": [_candidate(each, endpoint) for each in candidates],
        "then": [
            {
                "provider": each.target.provider.name,
                "sent_model": each.target.sent_model,
                "weight": each.rule_target and each.rule_target.weight,
            }
            for each in candidates[1:]
        ],
        "timeouts": timeouts,
        "limits": mask_all(limits_of(*files, endpoint.name, provider.name)),
        **sections(files[1], provider.name) | {"body": body},
        "accounts": accounts(provider, target.sent_model, caller.name if caller else None),
        "choices": choices(files[1], provider),
    }


def _candidate(ranked: _RankedTarget, endpoint: Endpoint) -> View:
    target, rule_target = ranked.target, ranked.rule_target
    return {
        "provider": target.provider.name,
        "sent_model": target.sent_model,
        "weight": rule_target.weight if rule_target else None,
        "where": rule_target.where if rule_target else target.rule.where,
        "url": _url(ranked, endpoint),
        "missing": list(ranked.missing),
        "usable": ranked.is_usable,
        "fallback_on": sorted(target.fallback_on),
        "tier": rule_target.tier if rule_target else 1,
    }


def _url(ranked: _RankedTarget, endpoint: Endpoint) -> str | None:
    upstream = ranked.served_by.upstreams[endpoint.name]
    try:
        return masked_url(upstream.url(ranked.target.sent_model)) if upstream else None
    except UnusableValueError:  # a later target's; that of the first is an error
        return None


def _path_line(document: Document, at: Path) -> str:
    """The line of an endpoint; that of its path where this is taken over from another provider."""
    path = (*at, "path")
    return line_of(document, path if path in document.inherited else at)


def _header(header: Header, files: Effective, at: Path) -> View:
    name = header.name.decode()
    value = header.value.decode() if isinstance(header.value, bytes) else None
    return {
        "name": name,
        "value": None if header.is_secret or value is None else masked(name, value),
        "secret": header.is_secret,
        "where": files.origin((*at, "headers", name)),
    }
