"""What goes to the provider: target, credentials, headers and the edited body of one request."""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial

from engine.gateway.deadline import Deadline
from engine.gateway.errors import GatewayError
from engine.gateway.headers import Pairs, request_headers, upstream_headers, with_defaults
from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.payload import RequestBody, Upload
from engine.gateway.inbound.query import without
from engine.gateway.routing.match import Target
from engine.plan.plan import (
    BodyEdits,
    Context,
    FieldValue,
    Header,
    Provider,
    Sign,
    Timeouts,
    UnusableValueError,
)
from engine.plan.signers import SIGNERS
from engine.upstream import Attempt, Failure, RequestHead, UpstreamError

_QUERY = re.compile(rb"[\x21\x22\x24-\x7e]*")
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,4096}")

FIRST_BYTE, IDLE, TOTAL = (
    partial(UpstreamError, failure)
    for failure in (Failure.FIRST_BYTE_TIMEOUT, Failure.IDLE_TIMEOUT, Failure.TOTAL_TIMEOUT)
)


def with_model(edits: BodyEdits | None, model: str) -> BodyEdits:
    """`edits` that also add the model of the path to a body that has none."""
    known = edits or BodyEdits((), {}, {}, {}, frozenset())
    name = known.rename.get("model", "model")
    value = FieldValue(json.dumps(model).encode("ascii"), model)
    added = {name: value, **known.default}
    return replace(known, default=added, names=known.names | {name})


class OutboundRequest:
    """Prepares attempts at `target`, by `provider`, which is one of the forms of its provider.

    Once `attempt` has made one, `sign` is how it is signed, and `uses_caller_credentials` whether it goes with
    the caller's own credential.
    """

    def __init__(self, head: CallerHead, target: Target, provider: Provider) -> None:
        self.target = target
        self.provider = provider
        self.sign: Sign | None = None
        self.uses_caller_credentials = False
        self._head = head
        upstream = provider.upstreams[head.endpoint.name]
        if upstream is None:
            raise self._not_configured()
        self._upstream = upstream
        self.timeouts: Timeouts = upstream.timeouts

    def attempt(self, body: RequestBody) -> Attempt:
        """The request to send.

        Raises:
            GatewayError: `provider_key_missing`, or something of the caller's cannot be sent.
        """
        head, caller_inputs = self._head, self.provider.caller_inputs
        in_body = body.has_any(caller_inputs.fields)
        self.uses_caller_credentials = in_body or not caller_inputs.headers.isdisjoint(head.fields)
        request = None if in_body else head.requests.get(self.provider.name)
        if request is None:
            request = self._request(body, is_cacheable=not in_body)
        upload = self._upload(body)
        if self.sign is not None and SIGNERS[self.sign.signer].whole_body and body.is_form:
            words = (
                f"provider `{self.provider.name}` needs a signature over the whole body; send JSON"
            )
            raise GatewayError("unsupported_media_type", words)
        return Attempt(request, upload.body, upload.length, self.timeouts.connect)

    def _is_cacheable(self, own: tuple[Header, ...]) -> bool:
        """Whether nothing but the caller's head decides what the head of this request is."""
        provider, path = self.provider, self._upstream.path
        return (
            provider is self.target.provider
            and not provider.accounts
            and provider.choices is None
            and self.sign is None
            and isinstance(path, bytes)
            and self._upstream.stream_path is None
            and all(isinstance(header.value, bytes) for header in own)
        )

    def _request(self, body: RequestBody, *, is_cacheable: bool) -> RequestHead:
        """The head of the request; `is_cacheable` is kept with the caller's if nothing else decides."""
        provider, received = self.provider, self._head
        caller_credentials = self._caller_credentials(body)
        if self.uses_caller_credentials and not caller_credentials:
            words = f"provider `{provider.name}` does not take the credential that came with the request"
            raise GatewayError("provider_key_missing", words)
        if not caller_credentials and provider.missing:
            raise self._not_configured()
        own = provider.caller_headers if caller_credentials else provider.headers
        own = self._rendered(own, caller_credentials)
        forwarded = request_headers(received.headers, provider)
        if provider.default_headers:
            forwarded = with_defaults(forwarded, provider.default_headers)
        if provider.sign is not None or provider.caller_sign is not None:
            self.sign = self._signing(own, caller_credentials)
        context = partial(self._context, caller_credentials, forwarded)
        path = self._path(context, body)
        try:
            headers = upstream_headers(forwarded, received.fields, own, context)
        except UnusableValueError:
            words = "a header cannot be sent upstream: it is not visible ASCII of at most 8 KiB"
            raise GatewayError("invalid_request", words) from None
        request = RequestHead(
            received.endpoint.method, self._upstream.origin, path + self._query(), headers
        )
        if is_cacheable and self._is_cacheable(own):
            received.keep(provider.name, request)
        return request

    def _upload(self, body: RequestBody) -> Upload:
        """The body, with what this provider wants changed in it."""
        edits, fields = self._upstream.edits, self.provider.caller_inputs.every_field
        changes: dict[str, str | None] = {}
        if body.has_any(fields):
            changes = {name: None for name in fields if body.text(name) is not None}
        if (self.target.sent_model != self.target.model or self._head.model is not None) and not (
            edits is not None and "model" in edits.drop
        ):
            named = body.text("model")
            if named is not None and named != self.target.sent_model:
                changes["model"] = self.target.sent_model
            elif named is None and self._head.model is not None:
                edits = with_model(edits, self.target.sent_model)
        return body.upload(changes, fields, edits)

    def _caller_credentials(self, body: RequestBody) -> dict[str, str]:
        """The credentials this caller brings; all that the provider requires, or none."""
        accepted = self.provider.caller_credentials
        caller_credentials: dict[str, str] = {}
        for name, credential in accepted.body.items():
            value = body.text(name)
            if value is not None:
                caller_credentials[credential] = value
        for header, credential in accepted.headers.items():
            if header not in self._head.fields:
                continue
            if [name for name, _ in self._head.headers].count(header) > 1:
                words = f"the header `{header.decode()}` is sent twice"
                raise GatewayError("invalid_request", words)
            caller_credentials[credential] = self._head.fields[header].decode("latin-1")
        if not caller_credentials:
            return caller_credentials
        if not all(_CREDENTIAL.fullmatch(value) for value in caller_credentials.values()):
            words = "a provider credential must be 1 to 4096 visible ASCII characters"
            raise GatewayError("invalid_request", words)
        absent = self.provider.required - caller_credentials.keys()
        if absent:
            words = f"a caller who brings credentials for provider `{self.target.provider.name}`"
            words += " must bring all it requires; missing: " + ", ".join(sorted(absent))
            raise GatewayError("provider_key_missing", words)
        return caller_credentials

    def _rendered(
        self, own: tuple[Header, ...], caller_credentials: Mapping[str, str]
    ) -> tuple[Header, ...]:
        """The provider's headers without those whose credential the caller did not bring."""
        return (
            tuple(h for h in own if h.credentials <= caller_credentials.keys())
            if caller_credentials
            else own
        )

    def _signing(
        self, own: tuple[Header, ...], caller_credentials: Mapping[str, str]
    ) -> Sign | None:
        """How this request is signed: with what the caller brought, or the operator's own.

        Raises:
            GatewayError: `provider_key_missing` when the caller brought too little to sign with.
        """
        if not caller_credentials:
            return self.provider.sign
        if any(header.name == b"authorization" for header in own):
            return None
        sign = self.provider.caller_sign
        absent = (
            set(SIGNERS[sign.signer].needs) - caller_credentials.keys()
            if sign
            else {"authorization"}
        )
        if sign is None or absent:
            words = f"these credentials do not sign in to provider `{self.provider.name}`"
            raise GatewayError("provider_key_missing", f"{words}; missing: {', '.join(absent)}")
        return replace(sign, credentials=dict(caller_credentials))

    def _context(self, caller_credentials: Mapping[str, str], forwarded: Pairs) -> Context:
        return {
            "credentials": caller_credentials,
            "model": self.target.sent_model,
            "endpoint": self._head.endpoint.name,
            "request": {
                "headers": {name.decode("latin-1"): v.decode("latin-1") for name, v in forwarded}
            },
        }

    def _path(self, context: Callable[[], Context], body: RequestBody) -> bytes:
        path = self._upstream.path
        if self._upstream.stream_path is not None and body.flag("stream"):
            path = self._upstream.stream_path
        if isinstance(path, bytes):
            return path
        try:
            return (path(context()) or "/").encode("ascii")
        except UnusableValueError:
            words = "the model cannot stand in the provider's URL"
            raise GatewayError("invalid_model", words, param="model") from None

    def _query(self) -> bytes:
        """The caller's query with the provider's own parameters in place of theirs."""
        query = self._head.query
        fixed = self._upstream.query
        if not query:
            return b"?" + fixed if fixed else b""
        if not _QUERY.fullmatch(query):
            raise GatewayError("invalid_request", "the query holds characters that are not ASCII")
        kept = without(query, self._upstream.query_names) if fixed else query
        return b"?" + b"&".join(part for part in (kept, fixed) if part)

    def _not_configured(self) -> GatewayError:
        provider = self.provider
        words = f"provider `{provider.name}` has no credential on this gateway"
        if provider.caller_credentials.headers:
            names = ", ".join(f"`{n.decode()}`" for n in provider.caller_credentials.headers)
            words += f"; bring your own in the header {names}, or ask the operator"
        return GatewayError("provider_key_missing", words)


async def paced(
    chunks: AsyncIterator[bytes | memoryview], deadline: Deadline, idle: float
) -> AsyncIterator[bytes | memoryview]:
    """A body in pieces: the provider has `idle` to take each of them."""
    async for chunk in chunks:
        deadline.allow(idle, IDLE)
        yield chunk
