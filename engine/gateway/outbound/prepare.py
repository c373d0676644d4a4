"""What one attempt sends to a provider. Reads the request and the target, and caches heads in the CallerHead."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import msgspec

from engine.gateway.errors import GatewayError
from engine.gateway.headers import request_headers, upstream_headers, with_defaults
from engine.gateway.inbound.head import CallerHead, PreparedHead
from engine.gateway.inbound.payload import RequestBody, Upload
from engine.gateway.inbound.query import without
from engine.gateway.inbound.usage_fields import can_set
from engine.gateway.outbound.credentials import (
    CallerValues,
    caller_credentials,
    no_url,
    own_headers,
    signing,
)
from engine.gateway.routing.match import Target
from engine.plan.plan import (
    BodyEdits,
    Context,
    FieldValue,
    Header,
    Provider,
    Render,
    Sign,
    Timeouts,
    UnusableValueError,
    Upstream,
)
from engine.plan.signers import SIGNERS
from engine.plan.upstream import UsagePolicy
from engine.plan.usage import UsageField
from engine.upstream import Pairs, RequestHead

_NO_CHANGES: Mapping[str, str | None] = {}
_NO_NAMES: frozenset[str] = frozenset()
_QUERY = re.compile(rb"[\x21\x22\x24-\x7e]*")


class PreparedRequest(msgspec.Struct, frozen=True, gc=False):
    """One request to `provider`, complete but for its signature.

    `sign` is how it is still to be signed, if it is. `include` is how usage was asked for, where the
    caller did not.
    """

    provider: Provider
    head: RequestHead
    sign: Sign | None
    timeouts: Timeouts
    credential: str | None
    include: UsageField | None
    upload: Upload

    def with_head(self, head: RequestHead) -> "PreparedRequest":
        """The same with another head."""
        return msgspec.structs.replace(self, head=head)


def prepare(
    caller: CallerHead, target: Target, provider: Provider, body: RequestBody
) -> PreparedRequest:
    """The request to `target` by `provider`, one of the variants of the target's provider.

    Raises:
        GatewayError: `provider_key_missing`, or something the caller sent cannot go upstream.
    """
    # A head is cached in the CallerHead if it depends on nothing but the caller's headers. The head
    # of a variant depends on the choice of the variant, so it is not cached. The head with an
    # account's credential is: when the account changes, its cached CallerHeads are discarded.
    is_shared = provider is target.provider or (
        provider.is_of_account and target.provider.choices is None
    )
    known = caller.requests.get(provider.name) if is_shared else None
    if known is not None and known.is_plain and target.sends_as_is:
        timeouts = target.timeouts or known.timeouts
        upload = body.upload(_NO_CHANGES, _NO_NAMES, ())
        return PreparedRequest(provider, known.head, None, timeouts, known.credential, None, upload)
    upstream = provider.upstreams[caller.endpoint.name]
    if upstream is None:
        raise no_url(provider)
    inputs = provider.caller_inputs
    in_body = body.has_any(inputs.fields)
    uses_caller_credentials = in_body or not inputs.headers.isdisjoint(caller.fields)
    credential = "account" if provider.is_of_account else "caller" if uses_caller_credentials else None  # fmt: skip
    usage = caller.endpoint.usage
    include = None if usage is None else usage.include
    if include is not None and not _may_include(include, caller, provider, upstream):
        include = None
    sign = None
    if known is not None and not in_body:
        head = known.head
    else:
        credentials = caller_credentials(caller, provider, body)
        own = own_headers(provider, credentials, needs_caller_credentials=uses_caller_credentials)
        sign = signing(provider, credentials, own)
        sources = _Sources(caller, target, provider, upstream, body)
        head = _head(sources, own, credentials)
        if is_shared and not in_body and sign is None and _is_static(provider, upstream, own):
            is_plain = not (
                inputs.every_field or include or upstream.edits or caller.model is not None
            )
            caller.cache_request(
                provider.name, PreparedHead(head, upstream.timeouts, credential, is_plain)
            )
    if sign is not None and SIGNERS[sign.signer].whole_body and body.is_form:
        message = f"provider `{provider.name}` needs a signature over the whole body; send JSON"
        raise GatewayError("unsupported_media_type", message)
    if include is not None and not _is_included(include, target, upstream, body):
        include = None
    if include is not None:
        head = _uncompressed(head)
    upload = _body(caller, target, provider, upstream, body, include)
    timeouts = target.timeouts or upstream.timeouts
    return PreparedRequest(provider, head, sign, timeouts, credential, include, upload)


# -- the head --------------------------------------------------------------------------------------


class _Sources(NamedTuple):
    """All that a head is made from."""

    caller: CallerHead
    target: Target
    provider: Provider
    upstream: Upstream
    body: RequestBody


def _head(sources: _Sources, own: tuple[Header, ...], credentials: CallerValues) -> RequestHead:
    caller, target, provider, upstream, body = sources
    forwarded = request_headers(caller.headers, provider)
    if provider.default_headers:
        forwarded = with_defaults(forwarded, provider.default_headers)
    context = partial(_context, caller, target, credentials, forwarded)
    is_stream = upstream.stream_path is not None and body.flag("stream")
    path = _path(upstream.stream_path if is_stream else upstream.path, context)
    try:
        headers = upstream_headers(forwarded, _accepted_encoding(caller, provider), own, context)
    except UnusableValueError:
        message = "a header cannot be sent upstream: it is not visible ASCII of at most 8 KiB"
        raise GatewayError("invalid_request", message) from None
    path += _query(caller.query, upstream)
    return RequestHead(caller.endpoint.method, upstream.origin, path, headers)


def _accepted_encoding(caller: CallerHead, provider: Provider) -> bytes:
    """What the caller accepts; where its usage or that of the credential counts, nothing that would hide it."""
    counts = caller.caller.counts_usage or _counts_usage(provider)
    if counts and caller.endpoint.usage is not None:
        return b"identity"
    return caller.fields.get(b"accept-encoding", b"identity")


def _uncompressed(head: RequestHead) -> RequestHead:
    """`head` for a response from which an event can be taken out."""
    headers = [(n, b"identity" if n == b"accept-encoding" else value) for n, value in head.headers]
    return replace(head, headers=headers, text=b"")


def _is_static(provider: Provider, upstream: Upstream, own: tuple[Header, ...]) -> bool:
    """Whether path and headers are the same for every body and model, and for every variant."""
    return (
        not provider.accounts
        and provider.choices is None
        and isinstance(upstream.path, bytes)
        and upstream.stream_path is None
        and all(isinstance(header.value, bytes) for header in own)
    )


def _context(
    caller: CallerHead, target: Target, credentials: CallerValues, forwarded: Pairs
) -> Context:
    return {
        "credentials": credentials,
        "model": target.sent_model,
        "endpoint": caller.endpoint.name,
        "request": {
            "headers": {name.decode("latin-1"): v.decode("latin-1") for name, v in forwarded}
        },
    }


def _path(path: bytes | Render | None, context: Callable[[], Context]) -> bytes:
    if isinstance(path, bytes):
        return path
    try:
        return ((path and path(context())) or "/").encode("ascii")
    except UnusableValueError:
        message = "the model name cannot be used in the provider's URL"
        raise GatewayError("invalid_model", message, param="model") from None


def _query(query: bytes, upstream: Upstream) -> bytes:
    """The caller's query, with the provider's own parameters in place of the caller's."""
    fixed = upstream.query
    if not query:
        return b"?" + fixed if fixed else b""
    if not _QUERY.fullmatch(query):
        raise GatewayError("invalid_request", "the query has characters that are not ASCII")
    kept = without(query, upstream.query_names) if fixed else query
    return b"?" + b"&".join(part for part in (kept, fixed) if part)


# -- the body --------------------------------------------------------------------------------------


def _body(  # noqa: PLR0913, PLR0917 called for each attempt
    caller: CallerHead,
    target: Target,
    provider: Provider,
    upstream: Upstream,
    body: RequestBody,
    include: UsageField | None,
) -> Upload:
    """The body without what was for the gateway, with the provider's model and all edits.

    Those of the rule come first, as they are in terms of what callers send.
    """
    by_provider, fields = upstream.edits, provider.caller_inputs.every_field
    changes: dict[str, str | None] = {}
    if fields and body.has_any(fields):
        changes = {name: None for name in fields if body.text(name) is not None}
    is_in_path = caller.model is not None
    is_dropped = by_provider is not None and "model" in by_provider.drop
    if (target.sent_model != target.model or is_in_path) and not is_dropped:
        named = body.text("model")
        if named is None and is_in_path:
            by_provider = _with_model(by_provider, target.sent_model)
        elif named is not None and named != target.sent_model:
            changes["model"] = target.sent_model
    entry = target.entry
    edits = entry.edits if by_provider is None else (*entry.edits, by_provider)
    if include is not None:
        edits = (*edits, include.edits)
    return body.upload(changes, fields, edits, upstream.takes if entry.drops_unknown else None)


def _counts_usage(provider: Provider) -> bool:
    limits = provider.credential_limits
    return limits is not None and limits.counts_usage


def _may_include(
    include: UsageField, caller: CallerHead, provider: Provider, upstream: Upstream
) -> bool:
    """Whether the provider is to be asked by `include` for usage in a stream of any body."""
    when = upstream.include_usage or include.when
    if when is UsagePolicy.LIMITED:
        return caller.caller.counts_usage or _counts_usage(provider)
    return when is UsagePolicy.ALWAYS


def _is_included(
    include: UsageField, target: Target, upstream: Upstream, body: RequestBody
) -> bool:
    """Whether that is to be done for `body`.

    A field that the configuration changes is left to it, and one that it drops is not added.
    """
    if body.is_form or not body.flag("stream") or not can_set(body, include.field):
        return False
    entry, name = target.entry, include.field[0]
    edits = entry.edits if upstream.edits is None else (*entry.edits, upstream.edits)
    is_dropped = entry.drops_unknown and upstream.takes is not None and name not in upstream.takes
    return not (is_dropped or any(name in each.names for each in edits))


def _with_model(edits: BodyEdits | None, model: str) -> BodyEdits:
    """`edits` that also add the model of the path to a body that has none."""
    known = edits or BodyEdits((), {}, {}, {}, frozenset())
    name = known.rename.get("model", "model")
    value = FieldValue(json.dumps(model).encode("ascii"), model)
    return replace(known, default={name: value, **known.default}, names=known.names | {name})
