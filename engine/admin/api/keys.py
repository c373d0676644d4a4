"""Gateway keys: list, create, change, revoke, rotate."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.accounts import keys
from engine.accounts.gateway_key import GatewayKey
from engine.accounts.key_limits import (
    LIMIT_NAMES,
    MAX_COUNTS,
    USD,
    USD_PATTERN,
    USD_WANTED,
    KeyLimits,
    nano_usd,
)
from engine.admin.api.operation import ApiError, ApiRequest, Operation
from engine.admin.api.schema import JSON, Schema, read_time
from engine.admin.formats import iso

DEFAULT_PAGE = 50
CHANGEABLE = ("name", "models", "endpoints", "expires_at")
UNSUPPORTED = (
    "k_target_override",
)  # of the hosted product, which prunes tools; only null is taken

NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 100,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$",
    "description": "For people; need not be unique.",
}
NAMES: Schema = {
    "type": ["array", "null"],
    "items": {"type": "string", "minLength": 1, "maxLength": 200},
    "minItems": 1,
    "maxItems": 200,
    "description": "The only ones that the key may use; null for all.",
}
SCOPES: Schema = {
    "type": "array",
    "items": {"type": "string", "enum": ["use", "manage"]},
    "minItems": 1,
    "maxItems": 2,
    "uniqueItems": True,
    "description": "`use` calls models, `manage` uses this API.",
}
EXPIRY: Schema = {
    "type": ["string", "null"],
    "format": "date-time",
    "description": "Not accepted from then on; null for never.",
}
_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_LIMIT_TEXTS = {
    "rate_limit_rpm": "Requests in a minute; null for no limit.",
    "daily_token_budget": "Tokens of input and output in a day (UTC); null for no limit.",
    "weekly_token_budget": "The same in a week, from Monday.",
}
_USD: Schema = {
    "type": ["string", "null"],
    "pattern": USD_PATTERN,
    "maxLength": 16,
    "x-wanted": USD_WANTED,
    "description": "US dollars in a calendar month (UTC), a decimal; needs prices.yaml. null for no limit.",
}
LIMITS: dict[str, Schema] = {
    **{
        name: {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": MAX_COUNTS[name],
            "description": text,
        }
        for name, text in _LIMIT_TEXTS.items()
    },
    "monthly_usd_budget": _USD,
}
_NOT_YET: Schema = {"type": ["null", "integer"], "description": "Not supported yet: null only."}

KEY: Schema = {
    "type": "object",
    "required": ["id", "name", "scopes", "models", "endpoints", "created_at", "expires_at"],
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "preview": {"type": "string", "description": "The last characters of the key."},
        "scopes": SCOPES,
        "models": {"type": ["array", "null"], "items": {"type": "string"}},
        "endpoints": {"type": ["array", "null"], "items": {"type": "string"}},
        "created_at": {"type": "string", "format": "date-time"},
        "expires_at": _TIME,
        "revoked_at": _TIME,
        "replaced_by": {"type": ["string", "null"], "description": "The key that rotation made."},
        **LIMITS,
    },
}
NEW_KEY: Schema = {
    **KEY,
    "required": [*KEY["required"], "key"],
    "properties": {
        **KEY["properties"],
        "key": {"type": "string", "description": "The key itself, shown only this once."},
    },
}
KEYS: Schema = {
    "type": "object",
    "required": ["data", "has_more"],
    "properties": {
        "data": {"type": "array", "items": KEY},
        "has_more": {"type": "boolean"},
    },
}
CREATE: Schema = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": NAME,
        "scopes": SCOPES,
        "models": NAMES,
        "endpoints": NAMES,
        "expires_at": EXPIRY,
        **LIMITS,
        **dict.fromkeys(UNSUPPORTED, _NOT_YET),
    },
}
CHANGE: Schema = {
    **CREATE,
    "required": [],
    "minProperties": 1,
    "properties": {n: s for n, s in CREATE["properties"].items() if n != "scopes"},
}
ROTATE: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "grace_seconds": {
            "type": "integer",
            "minimum": 0,
            "maximum": keys.MAX_GRACE,
            "description": "How long the old key stays valid; 0 by default.",
        }
    },
}


def key_object(key: GatewayKey) -> JSON:
    """A key as the API shows it; never the key itself."""
    return {
        "id": key.id,
        "name": key.name,
        "preview": key.preview,
        "scopes": list(key.scopes),
        "models": _listed(key.models),
        "endpoints": _listed(key.endpoints),
        "created_at": iso(key.created_at),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
        "replaced_by": key.replaced_by,
        **key.limits.api_fields(),
    }


def _listed(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else iso(seconds)


def list_keys(request: ApiRequest) -> JSON:
    limit = int(request.query.get("limit", DEFAULT_PAGE))
    after = request.query.get("after")
    with request.server.context.database.read() as connection:
        found = keys.list_keys(connection, request.account_id, limit=limit + 1, after=after)
    return {"data": [key_object(key) for key in found[:limit]], "has_more": len(found) > limit}


def get_key(request: ApiRequest) -> JSON:
    with request.server.context.database.read() as connection:
        return key_object(keys.get_key(connection, request.account_id, request.path["key_id"]))


def create_key(request: ApiRequest) -> JSON:
    given = _given(request)
    with request.server.context.database.write() as connection:
        key, text = keys.create_key(
            connection,
            request.account_id,
            actor=request.actor,
            limits=KeyLimits(**_limits(given)),
            **given,
        )
    return {**key_object(key), "key": text}


def change_key(request: ApiRequest) -> JSON:
    given, where = _given(request), (request.account_id, request.path["key_id"])
    with request.server.context.database.write() as connection:
        key = keys.get_key(connection, *where)
        kept = {name: getattr(key, name) for name in CHANGEABLE}
        kept["limits"] = replace(key.limits, **_limits(given))
        key = keys.update_key(connection, *where, actor=request.actor, **{**kept, **given})
    return key_object(key)


def revoke_key(request: ApiRequest) -> None:
    with request.server.context.database.write() as connection:
        keys.revoke_key(connection, request.account_id, request.path["key_id"], request.actor)


def rotate_key(request: ApiRequest) -> JSON:
    """A new key of the same rights; the old one ends after the grace."""
    grace = request.body.get("grace_seconds", 0)
    with request.server.context.database.write() as connection:
        key, text = keys.rotate_key(
            connection, request.account_id, request.path["key_id"], grace, request.actor
        )
    return {**key_object(key), "key": text}


def _given(request: ApiRequest) -> dict[str, Any]:
    """The fields of a body as the store takes them."""
    for name in UNSUPPORTED:
        if request.body.get(name) is not None:
            text = f"`{name}` is not supported yet; leave it out or send null."
            raise ApiError(400, "not_supported", text, name)
    given = {name: value for name, value in request.body.items() if name not in UNSUPPORTED}
    if isinstance(given.get("expires_at"), str):
        given["expires_at"] = read_time(given["expires_at"])
    _check_endpoints(request, given.get("endpoints") or ())
    _check_prices(request, given)
    return given


def _limits(given: dict[str, Any]) -> dict[str, int | None]:
    """The limits in `given`, out of which they are taken, by the names of their columns."""
    found = {name: given.pop(name) for name in LIMIT_NAMES if name in given}
    for shown, column in USD.items():
        if shown in found:
            text = found.pop(shown)
            found[column] = None if text is None else nano_usd(text)
    return found


def _check_prices(request: ApiRequest, given: dict[str, Any]) -> None:
    name = next((name for name in USD if given.get(name) is not None), None)
    if name is not None and request.server.catalogue().loaded.config.prices is None:
        text = f"`{name}` needs prices, and there is no prices.yaml here: every request would be refused."
        raise ApiError(400, "not_supported", text, name)


def _check_endpoints(request: ApiRequest, names: Sequence[str]) -> None:
    known = request.server.catalogue().loaded.config.known_endpoints
    if not known.issuperset(names):
        text = (
            f"`endpoints` has one that is not served here; there are: {', '.join(sorted(known))}."
        )
        raise ApiError(400, "invalid_request", text, "endpoints")


_PATH, _SHORT = "/v1/account/keys", "/v1/keys"
_PAGES: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    "after": {"type": "string", "minLength": 1, "maxLength": 100},
}
KEY_OPERATIONS = (
    Operation("list_keys", "GET", _PATH, "List the gateway keys of the account, newest first.", list_keys, query=_PAGES, response=KEYS, aliases=(_SHORT,)),
    Operation("create_key", "POST", _PATH, "Create a gateway key; it is shown once.", create_key, body=CREATE, status=201, response=NEW_KEY, errors=(409,), aliases=(_SHORT,)),
    Operation("get_key", "GET", _PATH + "/{key_id}", "Show a gateway key.", get_key, response=KEY, errors=(404,), aliases=(_SHORT + "/{key_id}",)),
    Operation("change_key", "PATCH", _PATH + "/{key_id}", "Change the name, the rights or the end of a key; what is left out stays.", change_key, body=CHANGE, response=KEY, errors=(404, 409), aliases=(_SHORT + "/{key_id}",)),
    Operation("revoke_key", "DELETE", _PATH + "/{key_id}", "Revoke a key; no worker accepts it a second later.", revoke_key, status=204, errors=(404,), aliases=(_SHORT + "/{key_id}",)),
    Operation("rotate_key", "POST", _PATH + "/{key_id}/rotate", "Replace a key by a new one; the old one stays valid for the grace period.", rotate_key, body=ROTATE, status=201, response=NEW_KEY, errors=(404, 409), aliases=(_SHORT + "/{key_id}/rotate",)),
)  # fmt: skip
