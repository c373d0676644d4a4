"""Where a request for a model would go: what `engine route` says, with the keys of the account in mind."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from engine.accounts.provider_keys import list_provider_keys
from engine.admin.catalogue import Catalogue
from engine.admin.pages.common import account_of
from engine.admin.pages.providers import has_own_key, title_of
from engine.admin.rendering import page
from engine.admin.request import Access, Page, PageRequest
from engine.plan.accounts import ProviderKeyPolicy
from engine.plan.plan import Endpoint, Plan
from engine.report.route import ExplainedRequest, view_route

MAX_MODELS = 2000  # that the field of the form offers
_ORDER = {
    None: "",
    "file": "In the order of the file: the next one when one fails.",
    "weight": "At random by weight: the next one when one fails.",
    "key": "Each key keeps to one of them; the next one when it fails.",
}
_SECTIONS = ("timeouts", "retry", "body")


def routes_page(request: PageRequest) -> Response:
    catalogue = request.server.catalogue()
    plan = catalogue.plan
    asked = {"model": request.query.text("model")[:300], "endpoint": request.query.text("endpoint")}
    found = _find(request, catalogue, plan, asked) if plan and asked["model"] else None
    return page(
        request,
        "routes.html",
        asked=asked,
        models=[name for name, _ in plan.listed[:MAX_MODELS]] if plan else [],
        endpoints=_endpoints(plan) if plan else [],
        found=found,
        is_broken=plan is None,
    )


def _endpoints(plan: Plan) -> list[tuple[str, str]]:
    """The name and the path of each endpoint that takes a model in its body."""
    return [(e.name, e.path.decode()) for e in plan.every_endpoint() if b"{" not in e.path]


def _find(
    request: PageRequest, catalogue: Catalogue, plan: Plan, asked: Mapping[str, str]
) -> dict[str, Any]:
    endpoint = plan.endpoint(asked["endpoint"]) or _first(plan)
    question = ExplainedRequest(
        endpoint.method, endpoint.path.decode(), asked["model"], None, time.time()
    )
    view = view_route(plan, catalogue.loaded.documents, question)
    is_operator = request.signed_in.person.is_operator
    target = view["target"]
    return {
        "error": _error(view),
        "target": _target(request, catalogue, target, is_operator=is_operator) if target else None,
        "rule": _winner(view["rules"], is_operator=is_operator),
        "settings": _settings(target) if target and is_operator else [],
        "targets": [_shown_target(request, catalogue, t) for t in target["targets"]]
        if target
        else [],
        "order": _ORDER[target["order"]] if target else "",
        "rules": [_rule(r, is_operator=is_operator) for r in view["rules"]],
    }


def _first(plan: Plan) -> Endpoint:
    return plan.every_endpoint()[0]


def _error(view: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Why it would be refused; a missing key of the operator is no reason while the account has one."""
    error: Mapping[str, Any] | None = view["error"]
    return error


def _target(
    request: PageRequest, catalogue: Catalogue, target: Mapping[str, Any], *, is_operator: bool
) -> dict[str, Any]:
    entry = catalogue.providers[target["provider"]]
    return {
        "provider": entry.name,
        "provider_title": title_of(entry),
        "sent_model": target["sent_model"],
        "url": target["url"] if is_operator else None,
        "uses": describe_key_source(request, catalogue, entry.name),
    }


def _shown_target(
    request: PageRequest, catalogue: Catalogue, target: Mapping[str, Any]
) -> dict[str, Any]:
    uses = describe_key_source(request, catalogue, target["provider"])
    weight = "" if target["weight"] is None else f"weight {target['weight']}"
    return {
        "provider": target["provider"],
        "sent_model": target["sent_model"],
        "uses": uses,
        "weight": weight,
    }


def describe_key_source(
    request: PageRequest, catalogue: Catalogue, provider: str
) -> dict[str, str]:
    """Whose key the account's calls to `provider` carry."""
    policy = request.context.settings.accounts.provider_keys
    with request.context.database.read() as connection:
        saved = {info.provider for info in list_provider_keys(connection, account_of(request).id)}
    if policy is not ProviderKeyPolicy.OPERATOR and provider in saved:
        return {"text": "the saved key", "kind": "good"}
    if policy is not ProviderKeyPolicy.ACCOUNT and has_own_key(catalogue, provider):
        return {"text": "the gateway's own key", "kind": ""}
    return {"text": "no key", "kind": "warn"}


def _winner(rules: Sequence[Mapping[str, Any]], *, is_operator: bool) -> dict[str, str] | None:
    winner = next((rule for rule in rules if rule["won"]), None)
    if winner is None:
        return None
    return {"text": _pattern(winner), "where": winner["where"] if is_operator else ""}


def _rule(rule: Mapping[str, Any], *, is_operator: bool) -> dict[str, Any]:
    return {
        "won": rule["won"],
        "pattern": _pattern(rule),
        "provider": ", ".join(rule["providers"]),
        "why": rule["reason"] or "",
        "where": rule["where"] if is_operator else "",
    }


def _pattern(rule: Mapping[str, Any]) -> str:
    return f"{rule['pattern']}*" if rule["kind"] == "prefix" else rule["pattern"]


def _settings(target: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": setting["name"].replace("_", " "),
            "value": setting["value"],
            "where": setting["where"],
        }
        for section in _SECTIONS
        for setting in target[section]
    ]


ROUTE_PAGES = (Page("GET", "/routes", routes_page, Access.VIEWER, "routes"),)
