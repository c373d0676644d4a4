"""The list of models, a response of the gateway's own in the shape of either dialect."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.paths import is_model
from engine.plan.plan import Caller, Dialect, Listing, Plan, Rule
from engine.upstream import Pairs

# When a model was made is unknown; both APIs allow the epoch for that.
_EPOCH = "1970-01-01T00:00:00Z"
MAX_REQUESTED = 3 * 256 + 1  # each character percent-encoded, and one too many


def shape_of(listing: Listing, headers: Pairs) -> Dialect:
    """The shape that a caller with these headers expects."""
    names = {name for name, _ in headers}
    return next((s for name, s in listing.shape_by_header if name in names), listing.shape)


def render_listing(plan: Plan, caller: Caller, shape: Dialect, asked: bytes) -> bytes:
    """The models that `caller` may use; `asked` names one, as it stands in a path, or none.

    One is found whenever a rule leads it somewhere, whether it is in the list or not.

    Raises:
        GatewayError: `model_not_found` when the caller cannot use the one.
    """
    if asked:
        return json.dumps(_one(plan, caller, shape, asked)).encode("ascii")
    models = [_entry(name, owner, shape) for name, owner in _listed(plan, caller)]
    if shape is Dialect.OPENAI:
        return json.dumps({"object": "list", "data": models}).encode("ascii")
    ends = (models[0]["id"], models[-1]["id"]) if models else (None, None)
    whole = {"data": models, "has_more": False, "first_id": ends[0], "last_id": ends[1]}
    return json.dumps(whole).encode("ascii")


def _one(plan: Plan, caller: Caller, shape: Dialect, asked: bytes) -> dict[str, Any]:
    model = unquote(asked[:MAX_REQUESTED].decode("latin-1"), "latin-1")
    if not is_model(model):
        words = "a model is 1 to 256 visible ASCII characters, percent-encoded where they must be"
        raise GatewayError("model_not_found", words, param="model")
    rule = _rule_for(plan, _endpoints(plan, caller), caller, model)
    if rule is None:
        words = f"this gateway has no model `{model}` for this key"
        raise GatewayError("model_not_found", words, param="model")
    return _entry(model, rule.provider, shape)


def _entry(name: str, owner: str, shape: Dialect) -> dict[str, Any]:
    if shape is Dialect.OPENAI:
        return {"id": name, "object": "model", "created": 0, "owned_by": owner}
    return {"type": "model", "id": name, "display_name": name, "created_at": _EPOCH}


def _listed(plan: Plan, caller: Caller) -> Iterator[tuple[str, str]]:
    """Name and provider of every model that the configuration can name, in order."""
    endpoints = _endpoints(plan, caller)
    for name, provider in plan.listed:
        if _rule_for(plan, endpoints, caller, name) is not None:
            yield name, provider


def _endpoints(plan: Plan, caller: Caller) -> list[str]:
    """The names of the caller's endpoints."""
    every = [endpoint.name for endpoint in plan.every_endpoint()]
    return every if caller.endpoints is None else [e for e in every if e in caller.endpoints]


def _rule_for(plan: Plan, endpoints: list[str], caller: Caller, name: str) -> Rule | None:
    """The rule by which one of `endpoints` serves the model, if the caller may use it.

    Conditions on headers and bodies are taken as met: some request of this caller gets the model.
    """
    if not caller.may_use_model(name):
        return None
    account = caller.account.id if caller.account else None
    decisions = (
        plan.decide_by(rule, endpoint, name)
        for endpoint in endpoints
        for rule in plan.models.possible_rules(endpoint, name)
        if rule.admits(caller.name, account)
    )
    return next((decision.rule for decision in decisions if decision.refusal is None), None)
