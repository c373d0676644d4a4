"""Sends the ping of providers, by their own headers, signers and connections, with each credential set once.

A process for these alone: there is no server, no routing and no retry.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.payload import JsonRequestBody
from engine.gateway.outbound.prepare import PreparedRequest, prepare
from engine.gateway.routing.match import Target
from engine.plan.plan import Caller, Dialect, Endpoint, Plan, Provider, Rule
from engine.upstream import Attempt, Client, Failure, UpstreamError, UpstreamResponse
from engine.upstream.clients import new_clients
from engine.upstream.signers.signing import Signers

MAX_CONCURRENT = 16
MAX_BODY = 64 * 1024
MAX_MESSAGE = 200
_NAME = "ping"
_ANYBODY = Caller("ping", None, None, (), None)
_JSON = [(b"accept", b"application/json"), (b"user-agent", b"orqen-ping")]
_REASONS = {
    Failure.CONNECT_FAILED: "no connection",
    Failure.CONNECT_TIMEOUT: "no connection in time",
    Failure.DNS_FAILED: "the host name was not found",
    Failure.TLS_FAILED: "TLS failed: the certificate is not trusted, or the server does not speak TLS",
    Failure.SIGN_IN_FAILED: "the request could not be signed, or no token was given for the credential",
}
_MASK = "***"
_WORD = re.compile(r"[A-Za-z0-9_./+=~-]{6,}")


@dataclass(frozen=True, slots=True, repr=False)
class PingRequest:
    """A request that is ready to be sent; `secrets` must not be shown in what comes back."""

    request: PreparedRequest
    secrets: frozenset[str]

    @property
    def method(self) -> str:
        return self.request.head.method

    @property
    def url(self) -> str:
        head = self.request.head
        return f"{head.origin.url}{head.target.decode('ascii')}"


@dataclass(frozen=True, slots=True)
class PingResult:
    """What became of a ping: `status` is None where there was no response, and then `message` says why."""

    status: int | None
    message: str
    ms: float

    @property
    def is_ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def prepare_ping(plan: Plan, provider: Provider, secrets: frozenset[str]) -> PingRequest | None:
    """The ping of `provider`, which is one of the variants of it; None where none can be sent.

    `secrets` are the values of its credentials; what is in its headers is added.
    """
    ping = provider.ping
    if ping is None:
        return None
    if ping.endpoint is None:
        endpoint: Endpoint | None = _get(_NAME)
        provider = replace(provider, upstreams={_NAME: ping.upstream})
    else:
        endpoint = plan.endpoint(ping.endpoint)
    if endpoint is None or provider.upstreams.get(endpoint.name) is None:
        return None
    headers = [*_JSON, *([(b"content-type", b"application/json")] if ping.body else [])]
    head = CallerHead(endpoint, _ANYBODY, "json", headers, b"")
    body = JsonRequestBody(ping.body, endpoint.routing_fields)
    try:
        request = prepare(head, _target(provider, ping.model), provider, body)
    except GatewayError:
        return None
    return PingRequest(request, secrets | _sent_secrets(provider, request))


def _get(name: str) -> Endpoint:
    """An endpoint for a GET without a body."""
    return Endpoint(name, b"/", "GET", frozenset(), None, Dialect.OPENAI, 0, 30.0)


def _target(provider: Provider, model: str) -> Target:
    rule = Rule(model, False, provider.name, None, None, False, "")  # noqa: FBT003 as in its class
    return Target(rule, provider, None, model, model)


def _sent_secrets(provider: Provider, request: PreparedRequest) -> frozenset[str]:
    """The values of secret headers without the scheme before them, and what a signer signs with."""
    names = {header.name for header in provider.headers if header.is_secret}
    values = [v.decode("latin-1").split() for name, v in request.head.headers if name in names]
    found = {word for words in values for word in (words[1:] or words)}
    return frozenset(found.union(provider.sign.credentials.values() if provider.sign else ()))


def send_pings(pings: Sequence[PingRequest], seconds: float) -> list[PingResult]:
    """The result of each, in their order; `seconds` is the longest time for one of them."""
    return asyncio.run(_send_all(pings, seconds))


async def _send_all(pings: Sequence[PingRequest], seconds: float) -> list[PingResult]:
    clients, signers, slots = new_clients(), Signers(), asyncio.Semaphore(MAX_CONCURRENT)

    async def with_slot(ping: PingRequest) -> PingResult:
        async with slots:
            return await _send(ping, clients, signers, seconds)

    try:
        return list(await asyncio.gather(*(with_slot(ping) for ping in pings)))
    finally:
        for client in clients.values():
            await client.close()


async def _send(
    ping: PingRequest, clients: dict[str, Client], signers: Signers, seconds: float
) -> PingResult:
    start = monotonic()
    status, message = None, ""
    try:
        async with asyncio.timeout(seconds):
            status, message = await _exchange(ping, clients, signers, seconds)
    except TimeoutError:
        message = f"no response within {seconds:g} s"
    except UpstreamError as error:
        message = _REASONS.get(error.failure, "the connection broke, or the response is not HTTP")
    return PingResult(status, message, (monotonic() - start) * 1000)


async def _exchange(
    ping: PingRequest, clients: dict[str, Client], signers: Signers, seconds: float
) -> tuple[int, str]:
    """The status, and what a response that is no success says."""
    request = ping.request
    upload = request.upload
    attempt = Attempt(request.head, upload.body, upload.length, seconds)
    if request.sign is not None:
        attempt = await signers.sign(request.sign, attempt)
    response = await clients[request.provider.client].send(attempt)
    try:
        is_ok = 200 <= response.status < 300
        return response.status, "" if is_ok else error_message(await _body(response), ping.secrets)
    finally:
        if (closing := response.close()) is not None:
            await closing


class _EnoughError(Exception):
    """The part of a body that is read has arrived."""


async def _body(response: UpstreamResponse) -> bytes:
    """The start of the body; less where the connection breaks."""
    found = bytearray()

    def write(chunk: bytes) -> None:
        found.extend(chunk[: MAX_BODY - len(found)])
        if len(found) == MAX_BODY:
            raise _EnoughError

    with contextlib.suppress(UpstreamError, _EnoughError):
        await response.forward(write)
    return bytes(found)


def error_message(body: bytes, secrets: frozenset[str]) -> str:
    """The message of an error body as one short line without secrets; "" where it has none."""
    text = body.decode("utf-8", "replace")
    try:
        text = _message(json.loads(text))
    except (ValueError, RecursionError):
        text = "" if "<" in text[:200] else text  # a page for people
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    text = _WORD.sub(lambda word: _MASK if _is_part(word[0], secrets) else word[0], text)
    text = " ".join(re.sub(r"[^\x20-\x7e\xa0-\ud7ff]+", " ", text).split())
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 3] + "..."


def _is_part(word: str, secrets: frozenset[str]) -> bool:
    """Whether a word is a part of a secret, as some providers show it."""
    return any(word in secret for secret in secrets)


def _message(data: object) -> str:
    """The text where providers have it: `error.message`, `error`, `message`, `detail` or `title`."""
    if isinstance(data, list):
        return _message(data[0]) if data else ""
    if not isinstance(data, dict):
        return data if isinstance(data, str) else ""
    keys = ("error", "message", "detail", "msg", "errors", "title")
    return next((found for key in keys if (found := _message(data.get(key)))), "")
