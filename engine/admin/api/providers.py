"""Provider keys: list, save, delete. What was saved is never shown again."""

from engine.accounts import provider_keys
from engine.accounts.provider_keys import ProviderKeyInfo
from engine.admin.api.operation import ApiError, ApiRequest, Operation
from engine.admin.api.schema import JSON, Schema
from engine.admin.catalogue import MAX_SECRET, ProviderEntry, ValuesError, check_values
from engine.admin.formats import iso

_VALUE: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_SECRET, "writeOnly": True}
SAVE: Schema = {
    "type": "object",
    "required": ["provider"],
    "additionalProperties": False,
    "properties": {
        "provider": {"type": "string", "minLength": 1, "maxLength": 100},
        "api_key": _VALUE,
        "fields": {
            "type": "object",
            "additionalProperties": _VALUE,
            "maxProperties": 20,
            "description": "For a provider with several credentials: each by its name in providers.yaml.",
        },
    },
}
SAVED: Schema = {
    "type": "object",
    "required": ["provider", "fields", "created_at", "updated_at"],
    "properties": {
        "provider": {"type": "string"},
        "fields": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["preview", "fingerprint"],
                "properties": {"preview": {"type": "string"}, "fingerprint": {"type": "string"}},
            },
        },
        "created_at": {"type": "string", "format": "date-time"},
        "updated_at": {"type": "string", "format": "date-time"},
    },
}
LIST: Schema = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "array", "items": SAVED}},
}


def saved_object(saved: ProviderKeyInfo) -> JSON:
    fields = {
        name: {"preview": field.preview, "fingerprint": field.fingerprint}
        for name, field in saved.fields.items()
    }
    times = {"created_at": iso(saved.created_at), "updated_at": iso(saved.updated_at)}
    return {"provider": saved.provider, "fields": fields, **times}


def list_providers(request: ApiRequest) -> JSON:
    with request.server.context.database.read() as connection:
        found = provider_keys.list_provider_keys(connection, request.account_id)
    return {"data": [saved_object(saved) for saved in found]}


def save_provider(request: ApiRequest) -> JSON:
    """Save the values for a provider; all that were saved for it before are replaced."""
    context = request.server.context
    entry = _entry(request, request.body["provider"])
    values = _values(entry, request.body)
    with context.database.write() as connection:
        provider_keys.save_provider_key(
            connection, context.vault, request.account_id, entry.name, values, request.actor
        )
        found = provider_keys.list_provider_keys(connection, request.account_id)
    return saved_object(next(saved for saved in found if saved.provider == entry.name))


def delete_provider(request: ApiRequest) -> None:
    with request.server.context.database.write() as connection:
        provider_keys.delete_provider_key(
            connection, request.account_id, request.path["provider"], request.actor
        )


def _entry(request: ApiRequest, name: str) -> ProviderEntry:
    entry = request.server.catalogue().providers.get(name)
    if entry is None:
        raise ApiError(400, "unknown_provider", "There is no such provider here.", "provider")
    return entry


def _values(entry: ProviderEntry, body: JSON) -> dict[str, str]:
    given = dict(body.get("fields", {}))
    if "api_key" in body:
        if entry.single_field is None or entry.single_field in given:
            text = (
                f"For {entry.name} send only `fields`: {', '.join(f.name for f in entry.fields)}."
            )
            raise ApiError(400, "invalid_request", text, "api_key")
        given[entry.single_field] = body["api_key"]
    try:
        return check_values(entry, given)
    except ValuesError as error:
        raise ApiError(400, "invalid_request", error.message, error.field[:60]) from None


_PATH = "/v1/account/providers"
PROVIDER_OPERATIONS = (
    Operation("list_providers", "GET", _PATH, "List the providers for which the account has saved a key.", list_providers, response=LIST),
    Operation("save_provider", "PUT", _PATH, "Save the key for a provider, in place of the one before.", save_provider, body=SAVE, response=SAVED),
    Operation("delete_provider", "DELETE", _PATH + "/{provider}", "Delete the key for a provider.", delete_provider, status=204, errors=(404,)),
)  # fmt: skip
