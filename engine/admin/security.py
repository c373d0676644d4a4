"""The guard in front of every page and every call: who may send what, and what a browser may do with it.

The one table of rules, in the order in which they are applied; the first that refuses decides.

| rule | refused with |
|---|---|
| one Host header, one of ours | 421 |
| a short path and query | 414 |
| a page is changed from a page of ours alone (Fetch Metadata, Origin) | 403 |
| a page is not embedded or loaded by another site | 403 |
| a body of at most 64 KiB, within 10 seconds | 413, 408 |

`/v1/` takes a Bearer key and never a cookie, so no other page can make a browser call it with rights.
"""

import asyncio
import json
import logging
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.admin.address import Address

MAX_BODY = 64 * 1024
MAX_PATH = 2048
MAX_QUERY = 8192
BODY_SECONDS = 10.0
BODY = "orqen.body"  # where the scope has the body that was read
SAFE = frozenset({"GET", "HEAD"})
API = "/v1/"
OPEN_TO_ALL = "/healthz"  # a probe knows the address of a machine, not its name

_log = logging.getLogger("engine.admin")

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# `same-origin` and not `no-referrer`: with the latter a browser sends `Origin: null` with a form.
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", CONTENT_POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
)
_NO_STORE = (b"cache-control", b"no-store")
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")


class RefusedCall(NamedTuple):
    """Why a request is not served: the status, and the code and text for an error body."""

    status: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Guard:
    """An ASGI application in front of another one, for HTTP alone."""

    app: ASGIApp
    address: Address
    body_seconds: float = BODY_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        guarded = _with_headers(send, scope["method"], https=self.address.is_secure)
        refusal = refuse(scope, self.address)
        if refusal is None and scope["method"] not in SAFE:
            refusal = await _read_body(scope, receive, self.body_seconds)
        if refusal is not None:
            await send_refusal(guarded, scope, refusal)
            return
        await self._serve(scope, receive, guarded)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; what it raises is logged by its class, since a text may hold a secret."""
        try:
            await self.app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 the outermost frame of this listener
            _log.error("the admin listener failed: %s", _origin_of(error))
            refusal = RefusedCall(
                500, "internal_error", "Something went wrong here. Please try again."
            )
            await send_refusal(send, scope, refusal)


def refuse(scope: Scope, address: Address) -> RefusedCall | None:
    """Why the head of a request is refused, or None."""
    headers = _Headers(scope["headers"])
    rules = (
        _host(scope, headers, address),
        _length(scope),
        None if scope["path"].startswith(API) else _site(scope, headers, address),
    )
    return next((refusal for refusal in rules if refusal is not None), None)


class _Headers:
    """The values of the few headers that decide, each as often as it was sent."""

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[bytes, list[str]] = {}
        for name, value in headers:
            self._values.setdefault(name.lower(), []).append(value.decode("latin-1"))

    def all(self, name: bytes) -> list[str]:
        return self._values.get(name, [])

    def one(self, name: bytes) -> str | None:
        """The value, "" when there are several (which fits nothing), None without one."""
        values = self.all(name)
        return None if not values else values[0] if len(values) == 1 else ""


def _host(scope: Scope, headers: _Headers, address: Address) -> RefusedCall | None:
    if scope["path"] == OPEN_TO_ALL or (headers.one(b"host") or "").lower() in address.hosts:
        return None
    text = "This host is not served here. Set `admin.public_url` in server.yaml to the one you use."
    return RefusedCall(421, "unknown_host", text)


def _length(scope: Scope) -> RefusedCall | None:
    path = scope.get("raw_path") or scope["path"].encode()
    if len(path) <= MAX_PATH and len(scope["query_string"]) <= MAX_QUERY:
        return None
    return RefusedCall(414, "request_too_large", "The address is too long.")


def _site(scope: Scope, headers: _Headers, address: Address) -> RefusedCall | None:
    """Fetch Metadata where the browser sends it, Origin else; a change needs one of them."""
    site, origin = headers.one(b"sec-fetch-site"), headers.one(b"origin")
    if scope["method"] in SAFE:
        return _embedding(headers, site)
    trusted = site in ("same-origin", "none") or (site is None and origin is not None)
    if trusted and (origin is None or origin in address.origins):
        return None
    return RefusedCall(403, "cross_site", "This form was not sent by a page of this dashboard.")


def _embedding(headers: _Headers, site: str | None) -> RefusedCall | None:
    """Other sites may link here; they may not load, frame or read a page."""
    if site in (None, "same-origin", "none"):
        return None
    mode, target = headers.one(b"sec-fetch-mode"), headers.one(b"sec-fetch-dest")
    if mode == "navigate" and target in (None, "document", "empty"):
        return None
    return RefusedCall(403, "cross_site", "Another site may link to this page and no more.")


async def _read_body(scope: Scope, receive: Receive, seconds: float) -> RefusedCall | None:
    """Put the whole body into the scope, unless it is too long or too slow."""
    large = RefusedCall(413, "request_too_large", f"The body is longer than {MAX_BODY} bytes.")
    declared = _Headers(scope["headers"]).one(b"content-length") or "0"
    if not declared.isascii() or not declared.isdigit() or int(declared[:12]) > MAX_BODY:
        return large
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return RefusedCall(400, "invalid_request", "The body ended early.")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY:
                    return large
    except TimeoutError:
        return RefusedCall(408, "request_timeout", "The body took too long.")
    scope[BODY] = bytes(body)
    return None


def _with_headers(send: Send, method: str, *, https: bool) -> Send:
    """`send`, with the security headers on every response, and without a body to HEAD."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": _completed(message["headers"], https=https)}
        elif method == "HEAD":
            message = {**message, "body": b""}
        await send(message)

    return guarded


def _completed(headers: Iterable[tuple[bytes, bytes]], *, https: bool) -> list[tuple[bytes, bytes]]:
    present = list(headers)
    names = {name.lower() for name, _ in present}
    wanted = (*HEADERS, _NO_STORE, *((_HTTPS_ONLY,) if https else ()))
    return [*present, *(header for header in wanted if header[0] not in names)]


async def send_refusal(send: Send, scope: MutableMapping[str, Any], refusal: RefusedCall) -> None:
    """Send `refusal`: JSON to callers of the API, a line of text to people."""
    if scope["path"].startswith(API):
        inner = {"message": refusal.text, "type": error_type(refusal.status), "param": None}
        body = json.dumps({"error": {**inner, "code": refusal.code}}).encode()
        kind = b"application/json"
    else:
        body, kind = f"{refusal.text}\n".encode(), b"text/plain; charset=utf-8"
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"x-engine-error", refusal.code.encode("ascii")),
    ]
    if refusal.status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_type(status: int) -> str:
    """The `type` of an error body, as the gateway's own errors have it."""
    known = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
    return known.get(status, "api_error" if status >= 500 else "invalid_request_error")


def _origin_of(error: BaseException) -> str:
    """The class of `error` and the line it came from, without its text."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}" if at else "?"
    return f"{type(error).__name__} at {where}"
