"""A caller about itself: its account and its own key."""

from engine.accounts import accounts, keys
from engine.admin.api.keys import KEY, LIMITS, key_object
from engine.admin.api.operation import ApiRequest, Operation
from engine.admin.api.schema import JSON, Schema

ACCOUNT: Schema = {
    "type": "object",
    "required": ["id", "name", "key", "limits"],
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "key": KEY,
        "limits": {
            "type": "object",
            "properties": LIMITS,
            "description": "Of all keys together; those who run the gateway set them.",
        },
    },
}


def get_account(request: ApiRequest) -> JSON:
    with request.server.context.database.read() as connection:
        account = accounts.get_account(connection, request.account_id)
        key = keys.get_key(connection, request.account_id, request.key.key_id)
    shown = {"key": key_object(key), "limits": account.limits.api_fields()}
    return {"id": account.id, "name": account.name, **shown}


ACCOUNT_OPERATIONS = (
    Operation("get_account", "GET", "/v1/account", "Show the account and the key of the caller.", get_account, scope=None, response=ACCOUNT),
)  # fmt: skip
