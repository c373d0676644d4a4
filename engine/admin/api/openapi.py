"""The OpenAPI 3.1 document of the account API, made from the table of operations."""

from collections.abc import Iterable, Mapping
from typing import Any

from engine import __version__
from engine.admin.api.operation import Operation
from engine.admin.api.schema import JSON, Schema

# Every operation: no or another body than asked, no key, a key without the scope, too large, the store is down.
COMMON = (400, 401, 403, 408, 413, 414, 421, 503)
WITH_BODY = (415,)
DESCRIPTIONS = {
    400: "The request is not right; `param` names the field.",
    401: "There is no key, or it is unknown, expired or revoked.",
    403: "The key lacks the scope.",
    404: "The account has no such entry.",
    409: "It is not in the state for this.",
    408: "The body took longer than 10 seconds.",
    413: "The body is longer than 64 KiB.",
    414: "The path or the query is too long.",
    415: "The body is not `application/json`.",
    421: "The Host is not one of this listener.",
    503: "The store of accounts cannot be reached; try again after `retry-after` seconds.",
}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}


def openapi_document(operations: Iterable[Operation], url: str) -> JSON:
    """The document, for a server at `url`."""
    paths: dict[str, Any] = {}
    for operation in operations:
        for number, path in enumerate(operation.paths):
            paths.setdefault(path, {})[operation.method.lower()] = _described(
                operation, path, number
            )
    scheme = {"type": "http", "scheme": "bearer", "description": "A gateway key."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "orqen account API", "version": __version__},
        "servers": [{"url": url}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {"securitySchemes": {"key": scheme}, "schemas": {"Error": ERROR}},
    }


def _described(operation: Operation, path: str, number: int) -> JSON:
    suffix = f"_alias_{number}" if number else ""
    needed = f"Needs a key with the scope `{operation.scope}`." if operation.scope else "Any key."
    described: JSON = dict(  # noqa: C408 a key that is an endpoint's name too may be no text
        operationId=operation.id + suffix,
        summary=operation.summary,
        description=needed,
        parameters=[*_path_parameters(path), *_query_parameters(operation.query)],
        responses=_responses(operation),
    )
    if operation.body is not None:
        content = {"application/json": {"schema": operation.body}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _path_parameters(path: str) -> list[JSON]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    schema = {"type": "string", "minLength": 1, "maxLength": 100}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _query_parameters(query: Mapping[str, Schema]) -> list[JSON]:
    return [{"name": n, "in": "query", "required": False, "schema": s} for n, s in query.items()]


def _responses(operation: Operation) -> JSON:
    statuses = {*COMMON, *operation.errors, *(WITH_BODY if operation.body is not None else ())}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    responses: JSON = {str(operation.status): _success(operation)}
    for status in sorted(statuses):
        responses[str(status)] = {"description": DESCRIPTIONS[status], "content": error}
    return responses


def _success(operation: Operation) -> JSON:
    if operation.response is None:
        return {"description": "Done."}
    content = {"application/json": {"schema": operation.response}}
    return {"description": "The result.", "content": content}
