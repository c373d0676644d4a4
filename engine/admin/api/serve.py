"""Calls of the account API: the key, its scope, the body, and errors in the shape of the gateway's."""

import json
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.accounts.errors import (
    ConflictError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
)
from engine.accounts.lookup import KeyEntry, find_keys
from engine.admin.api.openapi import openapi_document
from engine.admin.api.operation import ApiError, ApiRequest, Operation
from engine.admin.api.schema import JSON, BodyError, Schema, read_object, validate
from engine.admin.security import BODY, error_type
from engine.admin.server import AdminServer, route
from engine.plan import gateway_key

DOCUMENT = "/openapi.json"
RETRY_SECONDS = "1"
_Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Serves the operations of a table."""

    server: AdminServer
    operations: tuple[Operation, ...]

    def routes(self) -> list[Route]:
        """A route for each path and alias, paths without a parameter first; all else below /v1/; the document."""
        by_path: dict[str, dict[str, Operation]] = {"/v1/{rest:path}": {}}
        for operation in self.operations:
            for path in operation.paths:
                by_path.setdefault(path, {})[operation.method] = operation
        paths = sorted(by_path, key=lambda path: (":path" in path, "{" in path))
        routes = [route(path, self._respond, by_path[path]) for path in paths]
        return [*routes, Route(DOCUMENT, self._document())]

    def _document(self) -> _Endpoint:
        document = openapi_document(self.operations, self.server.address.url)
        body = json.dumps(document).encode()

        async def endpoint(_: Request) -> Response:
            return Response(body, media_type="application/json")

        return endpoint

    def _respond(self, request: Request, methods: Mapping[str, Operation]) -> Response:
        try:
            operation = _chosen(request, methods)
            return _success(operation, self._call(request, operation))
        except ApiError as error:
            return error_response(error, methods)
        except StoreUnavailableError:
            text = "The store of accounts cannot be reached. Please try again."
            return error_response(ApiError(503, "accounts_unavailable", text), methods)

    def _call(self, request: Request, operation: Operation) -> JSON | None:
        """Run the operation.

        Raises:
            ApiError: it is refused, by the key, by what was sent, or by the store.
        """
        key = self._key(request)
        if operation.scope is not None and operation.scope not in key.scopes:
            text = f"This needs a key with the scope `{operation.scope}`."
            raise ApiError(403, "not_allowed", text)
        try:
            return operation.handler(self._asked(request, operation, key))
        except BodyError as error:
            raise ApiError(400, error.code, error.message, error.field) from None
        except InvalidValueError as error:
            text = f"`{error.field}` {error.reason}."
            raise ApiError(400, "invalid_request", text, error.field) from None
        except NotFoundError:
            raise ApiError(404, "not_found", "The account has no such entry.") from None
        except ConflictError as error:
            raise ApiError(409, "conflict", f"It cannot be done: {error}.") from None

    def _key(self, request: Request) -> KeyEntry:
        """The key that made the call: known, neither revoked nor expired, with the account at work."""
        token = _bearer(request)
        digest = bytes.fromhex(gateway_key.digest(token))
        with self.server.context.database.read() as connection:
            found = find_keys(connection, [digest]).get(digest)
        if found is None:
            raise ApiError(401, "invalid_api_key", "This key is not known here, or it was revoked.")
        return found

    def _asked(self, request: Request, operation: Operation, key: KeyEntry) -> ApiRequest:
        query = _query(request, operation.query)
        body = _body(request, operation.body)
        return ApiRequest(self.server, key, request.path_params, query, body)


def _chosen(request: Request, methods: Mapping[str, Operation]) -> Operation:
    if not methods:
        raise ApiError(404, "unknown_path", "The account API has no such path.")
    method = "GET" if request.method == "HEAD" else request.method
    if method not in methods:
        raise ApiError(405, "method_not_allowed", "This path does not take this method.")
    return methods[method]


def _bearer(request: Request) -> str:
    sent = request.headers.getlist("authorization")
    if not sent:
        text = "Send a gateway key: `authorization: Bearer sk-orq-...`."
        raise ApiError(401, "missing_api_key", text)
    scheme, _, token = sent[0].partition(" ")
    if len(sent) > 1 or scheme.lower() != "bearer" or not re.fullmatch(r"[!-~]{1,200}", token):
        raise ApiError(401, "invalid_api_key", "The header `authorization` holds no gateway key.")
    return token


def _query(request: Request, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """The parameters of the query, compared with their schemas; numbers as numbers."""
    text = request.scope["query_string"].decode("latin-1")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise ApiError(400, "invalid_request", "The query cannot be read.") from None
    values: dict[str, Any] = {}
    for name, value in pairs:
        shown = name if name.isprintable() and len(name) <= 60 else "…"
        if name not in schemas or name in values:
            text = f"`{shown}` is not a parameter here, or was sent twice."
            raise ApiError(400, "invalid_request", text, shown)
        values[name] = _parameter(name, value, schemas[name])
    return values


def _parameter(name: str, value: str, schema: Schema) -> object:
    is_number = schema.get("type") == "integer" and re.fullmatch(r"-?[0-9]{1,12}", value, re.ASCII)
    converted = int(value) if is_number else value
    try:
        validate(converted, schema, name)
    except BodyError as error:
        raise ApiError(400, error.code, error.message, error.field) from None
    return converted


def _body(request: Request, schema: Schema | None) -> JSON:
    sent: bytes = request.scope.get(BODY, b"")
    if schema is None:
        if sent:
            raise ApiError(400, "invalid_request", "This call has no body.")
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "unsupported_media_type", "Send the body as `application/json`.")
    try:
        body = read_object(sent)
        validate(body, schema)
    except BodyError as error:
        raise ApiError(400, error.code, error.message, error.field) from None
    return body


def _success(operation: Operation, result: JSON | None) -> Response:
    if result is None:
        return Response(status_code=operation.status)
    body = json.dumps(result, ensure_ascii=False).encode()
    return Response(body, operation.status, media_type="application/json")


def error_response(error: ApiError, methods: Mapping[str, Operation]) -> Response:
    """The error in the envelope that the gateway sends by default."""
    inner = {
        "message": error.message,
        "type": error_type(error.status),
        "param": error.param,
        "code": error.code,
    }
    headers = {"x-engine-error": error.code}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status == 405:
        headers["allow"] = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
    if error.status == 503:
        headers["retry-after"] = RETRY_SECONDS
    else:
        headers["x-should-retry"] = "false"
    body = json.dumps({"error": inner}, ensure_ascii=False).encode()
    return Response(body, error.status, headers, "application/json")
