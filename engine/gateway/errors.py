"""Every error response of the gateway's own: status, code, and the envelope of each dialect.

An error of the upstream is never turned into one of these; it goes back as it came.
"""

import json
from dataclasses import dataclass

from engine.plan.plan import Dialect

# Statuses of temporary errors: as long as nothing was sent, another try may succeed. All others are
# permanent; official SDKs would try every 5xx, 408, 409 and 429 again, and Claude Code a 401 as well.
_PASSING = frozenset({408, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """A row of the catalogue. `sent`: the request may have been processed upstream.

    `spent`: what it needs is used up for longer than a client should wait.
    """

    status: int
    sent: bool = False
    retry_after: int | None = None
    spent: bool = False

    @property
    def final(self) -> bool:
        """Whether sending the same request again cannot help, or could be billed twice."""
        return self.sent or self.spent or self.status not in _PASSING


CATALOGUE: dict[str, ErrorKind] = {
    "invalid_request": ErrorKind(400),
    "invalid_json": ErrorKind(400),
    "invalid_form": ErrorKind(400),
    "invalid_model": ErrorKind(400),
    "model_required": ErrorKind(400),
    "duplicate_field": ErrorKind(400),
    "bad_chunking": ErrorKind(400),
    "missing_api_key": ErrorKind(401),
    "invalid_api_key": ErrorKind(401),
    "expired_api_key": ErrorKind(401),
    "provider_key_missing": ErrorKind(401),
    "not_local": ErrorKind(403),
    "not_allowed": ErrorKind(403),
    "unknown_path": ErrorKind(404),
    "not_exposed": ErrorKind(404),
    "model_not_found": ErrorKind(404),
    "endpoint_not_supported": ErrorKind(404),
    "method_not_allowed": ErrorKind(405),
    "request_timeout": ErrorKind(408),
    "request_too_large": ErrorKind(413),
    "unsupported_media_type": ErrorKind(415),
    "upgrade_not_offered": ErrorKind(426),
    "rate_limited": ErrorKind(429, retry_after=1),
    "budget_exceeded": ErrorKind(429, retry_after=1, spent=True),
    "internal_error": ErrorKind(500),
    "upstream_connect_failed": ErrorKind(502),
    "upstream_dns_failed": ErrorKind(502),
    "upstream_tls_failed": ErrorKind(502),
    "upstream_sign_in_failed": ErrorKind(502),
    "upstream_closed": ErrorKind(502, sent=True),
    "upstream_bad_response": ErrorKind(502, sent=True),
    "upstream_truncated": ErrorKind(502, sent=True),
    "accounts_unavailable": ErrorKind(503, retry_after=1),
    "limits_unavailable": ErrorKind(503, retry_after=1),
    "overloaded": ErrorKind(503, retry_after=1),
    "upstream_unavailable": ErrorKind(503, retry_after=1),
    "server_shutting_down": ErrorKind(503, sent=True, retry_after=1),
    "upstream_connect_timeout": ErrorKind(504),
    "upstream_timeout": ErrorKind(504, sent=True),
    "upstream_idle_timeout": ErrorKind(504, sent=True),
}

# The `type` that each dialect's SDKs know a status by.
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class GatewayError(Exception):
    """A refusal or failure on its way to the caller; `code` is a key of CATALOGUE."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.kind = CATALOGUE[code]
        self.headers = headers
        self.retry_after = self.kind.retry_after if retry_after is None else retry_after


def error_body(error: GatewayError, dialect: Dialect, request_id: str) -> bytes:
    """The JSON body of `error` in the envelope that the callers of an endpoint expect."""
    return json.dumps(envelope(error, dialect, request_id), ensure_ascii=False).encode()


def error_headers(
    error: GatewayError, dialect: Dialect, request_id: bytes
) -> list[tuple[bytes, bytes]]:
    """The headers that belong to `error`, with the id under the name that each dialect's SDKs read.

    `x-should-retry: false` keeps clients from repeating what cannot succeed, or what may have been
    billed. A 401 names the scheme that a key is sent by (RFC 9110, 11.6.1).
    """
    headers = [
        (b"x-engine-error", error.code.encode("ascii")),
        (b"x-engine-request-id", request_id),
        (b"x-request-id", request_id),
        *error.headers,
    ]
    if dialect is Dialect.ANTHROPIC:
        headers.append((b"request-id", request_id))
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode("ascii")))
    if error.kind.final:
        headers.append((b"x-should-retry", b"false"))
    if error.kind.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def envelope(error: GatewayError, dialect: Dialect, request_id: str) -> dict[str, object]:
    """`error` as the callers of an endpoint expect it in JSON."""
    status = error.kind.status
    server = "api_error" if status >= 500 else "invalid_request_error"
    if dialect is Dialect.ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(status, server)
        inner = {"type": kind, "message": f"{error.message} ({error.code})"}
        return {"type": "error", "error": inner, "request_id": request_id}
    kind = _OPENAI_TYPES.get(status, server)
    return {
        "error": {
            "message": error.message,
            "type": kind,
            "param": error.param,
            "code": error.code,
        }
    }
