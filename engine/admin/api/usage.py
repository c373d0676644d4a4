"""Usage of the account: what was called, and what it cost."""

import time
from typing import Any, get_args

from engine.accounts import usage
from engine.accounts.usage import DAY, By, Usage
from engine.admin.api.operation import ApiRequest, Operation
from engine.admin.api.schema import JSON, Schema
from engine.admin.formats import iso

DEFAULT_DAYS, MAX_DAYS, MAX_ROWS = 7, 400, 1000

_COUNT: Schema = {"type": "integer"}
_KNOWN: Schema = {"type": ["integer", "null"], "description": "null if unknown."}
ROW: Schema = {
    "type": "object",
    "required": ["label", "requests", "cost_nano_usd", "unpriced_requests"],
    "properties": {
        "label": {
            "type": "string",
            "description": "The model, the key's id, the provider, or the beginning of the hour or day.",
        },
        "requests": _COUNT,
        "errors": _COUNT,
        "input_tokens": _KNOWN,
        "output_tokens": _KNOWN,
        "cost_nano_usd": {
            "type": ["integer", "null"],
            "description": "Billionths of a US dollar; null without prices.",
        },
        "unpriced_requests": {
            "type": "integer",
            "description": "Requests of unknown cost, which `cost_nano_usd` does not have.",
        },
    },
}
USAGE: Schema = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "array", "items": ROW}},
}
_QUERY: dict[str, Schema] = {
    "by": {"type": "string", "enum": list(get_args(By)), "default": "model"},
    "days": {"type": "integer", "minimum": 1, "maximum": MAX_DAYS, "default": DEFAULT_DAYS},
}


def get_usage(request: ApiRequest) -> JSON:
    by: Any = request.query.get("by", "model")
    until = int(time.time()) // DAY * DAY + DAY
    since = until - int(request.query.get("days", DEFAULT_DAYS)) * DAY
    with request.server.context.database.read() as connection:
        rows = usage.read_usage(connection, request.account_id, since, until, by, limit=MAX_ROWS)
    return {"data": [_row(row, by) for row in rows]}


def _row(row: Usage, by: By) -> JSON:
    return {
        "label": iso(int(row.label)) if by in ("hour", "day") else row.label,
        "requests": row.requests,
        "errors": row.errors,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_nano_usd": row.cost_nano_usd,
        "unpriced_requests": row.unpriced,
    }


USAGE_OPERATIONS = (
    Operation("get_usage", "GET", "/v1/account/usage", "Show what was called in the last days, with today, in UTC; at most 1000 rows.", get_usage, query=_QUERY, response=USAGE),
)  # fmt: skip
