"""The list of models that the gateway answers itself, in the shape of either dialect."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from engine.gateway.errors import GatewayError
from engine.gateway.headers import Pairs
from engine.plan import Caller, Dialect, Listing, Plan

# Nothing tells when a model was made; both APIs allow the epoch for that.
_EPOCH = "1970-01-01T00:00:00Z"


def shape_of(listing: Listing, headers: Pairs) -> Dialect:
    """The shape that a caller with these headers expects."""
    names = {name for name, _ in headers}
    return next((s for name, s in listing.shape_by_header if name in names), listing.shape)


def render_listing(plan: Plan, caller: Caller, shape: Dialect, asked: bytes) -> bytes:
    """The models that `caller` may use; `asked` names one, as it stands in a path, or none.

    Raises:
        GatewayError: `model_not_found` when the one is not among them.
    """
    models = [_entry(name, owner, shape) for name, owner in _listed(plan, caller)]
    if asked:
        model = unquote(asked.decode("latin-1"))
        found = next((entry for entry in models if entry["id"] == model), None)
        if found is None:
            words = f"this gateway lists no model `{model}` for this key"
            raise GatewayError("model_not_found", words, param="model")
        return json.dumps(found).encode("ascii")
    if shape is Dialect.OPENAI:
        return json.dumps({"object": "list", "data": models}).encode("ascii")
    ends = (models[0]["id"], models[-1]["id"]) if models else (None, None)
    whole = {"data": models, "has_more": False, "first_id": ends[0], "last_id": ends[1]}
    return json.dumps(whole).encode("ascii")


def _entry(name: str, owner: str, shape: Dialect) -> dict[str, Any]:
    if shape is Dialect.OPENAI:
        return {"id": name, "object": "model", "created": 0, "owned_by": owner}
    return {"type": "model", "id": name, "display_name": name, "created_at": _EPOCH}


def _listed(plan: Plan, caller: Caller) -> Iterator[tuple[str, str]]:
    """Name and provider of every model that the configuration can name, in order."""
    named = {rule.pattern: rule.provider for rule in plan.rules if not rule.is_prefix}
    for provider in plan.providers.values():
        for model in provider.models:
            name = plan.public_name(provider, model)
            if name is not None:
                named.setdefault(name, provider.name)
    for name in sorted(named):
        if caller.may_use_model(name) and _can_use(plan, caller, name):
            yield name, named[name]


def _can_use(plan: Plan, caller: Caller, name: str) -> bool:
    """Whether some endpoint of the caller's serves the model."""
    endpoints = {endpoint.name for endpoint in plan.every_endpoint()}
    if caller.endpoints is not None:
        endpoints &= caller.endpoints
    return any(plan.decide(endpoint, name).refusal is None for endpoint in endpoints)
