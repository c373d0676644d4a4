"""The two kinds of request body behind one interface: what routes it, and what goes upstream."""

from collections.abc import AsyncIterator, Container, Mapping, Sequence, Set
from typing import Protocol

import msgspec

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.body import RequestBodyReader
from engine.gateway.inbound.edits import apply_edits
from engine.gateway.inbound.form_body import BLOCK, FormBody, too_late
from engine.gateway.inbound.form_edits import form_edits
from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.inbound.json_edits import json_draft
from engine.gateway.inbound.media import find_boundary, kind_of
from engine.gateway.inbound.paths import is_model
from engine.gateway.inbound.text_size import MAX_ENCODED, text_size
from engine.plan.callers import FURTHER_MODELS
from engine.plan.plan import ROUTING_FIELDS, BodyEdits, Endpoint
from engine.upstream import Pairs

_BODYLESS = {"GET", "DELETE"}
_OFFERS = {  # of each kind of body, what it is and the header to send
    "json": ("JSON in UTF-8", "`content-type: application/json`"),
    "form": ("a form", "`content-type: multipart/form-data; boundary=...`"),
}


class Upload(msgspec.Struct, frozen=True, gc=False):
    """A body to send: bytes, or chunks of `length` bytes in all (None: not known).

    `dropped` are the fields that were removed since the provider does not take them.
    """

    body: bytes | AsyncIterator[bytes]
    length: int | None
    dropped: tuple[str, ...] = ()

    def text_size(self) -> int:
        """As of the RequestBody that it is made of."""
        return text_size(self.body) if isinstance(self.body, bytes) else MAX_ENCODED


class RequestBody(Protocol):
    """A request body, read far enough to route it."""

    is_form: bool

    @property
    def complete(self) -> bool:
        """Whether all of it has been received."""

    @property
    def resendable(self) -> bool:
        """Whether it can be sent once more after it was sent."""

    def text(self, name: str) -> str | None:
        """The value of a text field; None when there is none."""

    def flag(self, name: str) -> bool:
        """Whether the field `name` is `true`."""

    def raw_value(self, name: str) -> bytes | None:
        """The JSON of a top-level field; None when there is none. A form has only the numbers that are counted.

        Raises:
            GatewayError: `duplicate_field`.
        """

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether there is a field of `names`, all of which are routing fields."""

    def text_size(self) -> int:
        """Bytes that a model reads as text, about; of files no more than MAX_ENCODED."""

    def upload(
        self,
        changes: Mapping[str, str | None],
        forbidden: Set[str],
        edits: Sequence[BodyEdits],
        takes: Set[str] | None = None,
    ) -> Upload:
        """The body with fields replaced, or removed where None, all else byte for byte.

        `forbidden` are fields that may not come later in a body that is still being received;
        `edits` are the changes of the configuration, made in turn after the others. With `takes`,
        all other fields of a JSON body are removed at last.
        """

    def close(self) -> None:
        """Give its memory or file back."""


class JsonRequestBody(JsonBody):
    """A JSON body, or none at all; always complete."""

    __slots__ = ("_received",)
    complete = True
    resendable = True
    is_form = False

    def __init__(self, received: bytes, routing_fields: frozenset[str]) -> None:
        JsonBody.__init__(self, received or b"{}")  # `super` costs a twentieth of it
        self._received = received
        self.refuse_ambiguous(routing_fields)

    def upload(
        self,
        changes: Mapping[str, str | None],
        forbidden: Set[str],  # noqa: ARG002 the protocol's
        edits: Sequence[BodyEdits],
        takes: Set[str] | None = None,
    ) -> Upload:
        """The body with fields changed."""
        raw = self._received
        dropped: tuple[str, ...] = ()
        if raw and (changes or edits or takes is not None):
            draft = json_draft(self, changes, edits)
            if takes is not None:
                dropped = draft.keep_only(takes)
            raw = apply_edits(raw, draft.edits())
        return Upload(raw, len(raw), dropped)

    def text_size(self) -> int:
        """Its size, without most of images and files in it."""
        return text_size(self.raw)

    def close(self) -> None:
        """Nothing to give back."""


class FormRequestBody:
    """A multipart form whose head has been read."""

    is_form = True

    def __init__(self, form: FormBody, body_reader: RequestBodyReader) -> None:
        self._form = form
        self._body_reader = body_reader

    @property
    def complete(self) -> bool:
        """Whether the head is the whole form."""
        return self._form.complete

    @property
    def resendable(self) -> bool:
        """Whether it is held whole, and so small that it is sent as bytes."""
        return self.complete and self._form.head_size <= BLOCK

    def text(self, name: str) -> str | None:
        """The value of a text part.

        Only `model` may stand behind a file: anything else would be found or missed depending on
        how much of the form had come when the upload began.
        """
        field = self._form.fields.get(name)
        if field is not None and field.is_late and name != "model":
            raise too_late(name)
        return None if field is None else field.value

    def flag(self, name: str) -> bool:
        """Whether a watched text part is `true`."""
        return self._form.fields.get(name) is not None and self.text(name) == "true"

    def raw_value(self, name: str) -> bytes | None:
        """The highest number of a field that is counted, as far as the form has come; nothing else in it is JSON."""
        found = self._form.numbers.get(name)
        return None if found is None else b"%d" % found

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether there is a text part of `names`."""
        return not names.isdisjoint(self._form.fields)

    def upload(
        self,
        changes: Mapping[str, str | None],
        forbidden: Set[str],
        edits: Sequence[BodyEdits],
        takes: Set[str] | None = None,  # noqa: ARG002 the protocol's; parts of a form all stay
    ) -> Upload:
        """The form with text parts changed; streams what has not been received yet."""
        chunks = self._form.edits(changes)
        late = frozenset(forbidden)
        if edits:
            # At one place, what is added comes before what is removed.
            chunks = sorted([*chunks, *form_edits(self._form, edits)])
            late = late.union(*(each.names for each in edits))
        size = self._body_reader.received if self.complete else self._body_reader.declared
        if size is not None:
            size += sum(len(edit.text) - (edit.end - edit.start) for edit in chunks)
        if self.resendable:
            return Upload(self._form.edited(chunks), size)
        return Upload(self._form.stream(chunks, late), size)

    def text_size(self) -> int:
        """The same small figure for every form, since nearly all of a large form is a file and not text."""
        return MAX_ENCODED

    def close(self) -> None:
        """Give the spooled head back."""
        self._form.close()


def json_request_body(raw: bytes, endpoint: Endpoint) -> JsonRequestBody:
    """A whole JSON body.

    Raises:
        GatewayError: `invalid_json`, or `duplicate_field` for one that decides something.
    """
    if not raw and endpoint.method not in _BODYLESS:
        raise GatewayError("invalid_json", "the body is empty; it must be a JSON object")
    return JsonRequestBody(raw, endpoint.routing_fields)


async def form_request_body(
    head: CallerHead, body_reader: RequestBodyReader, caller_fields: frozenset[str]
) -> FormRequestBody:
    """Receive a form until it can be routed.

    Raises:
        CallerGone: the caller left.
        GatewayError: the form cannot be read.
    """
    boundary = find_boundary(head.fields[b"content-type"])
    refused = frozenset[str]() if head.caller.models is None else FURTHER_MODELS
    usage = head.endpoint.usage
    limit = None if usage is None else usage.output_limit
    counted = frozenset[str]() if limit is None else limit.in_forms
    watched = caller_fields | ROUTING_FIELDS
    form = FormBody(body_reader, boundary, watched, head.endpoint.edited_fields, refused, counted)
    try:
        await form.read_head()
    except BaseException:
        form.close()
        raise
    return FormRequestBody(form, body_reader)


def body_kind(endpoint: Endpoint, headers: Pairs) -> str:
    """`json` or `form`, chosen by content-type alone.

    Raises:
        GatewayError: `unsupported_media_type` when the endpoint does not take such a body.
    """
    if any(n == b"content-encoding" and v.lower() != b"identity" for n, v in headers):
        words = "send the body without content-encoding"
        offered = ((b"accept-encoding", b"identity"),)  # RFC 9110, 15.5.16
        raise GatewayError("unsupported_media_type", words, headers=offered)
    types = [value for name, value in headers if name == b"content-type"]
    if not types and endpoint.method in _BODYLESS:
        return "json"
    kind = kind_of(types[0]) if len(types) == 1 else None
    if kind is None or kind not in endpoint.bodies:
        offers = [_OFFERS[body] for body in sorted(endpoint.bodies, reverse=True)]
        taken, wanted = map(" or ".join, zip(*offers, strict=True))
        words = f"endpoint `{endpoint.name}` takes {taken}: send the header {wanted} once"
        raise GatewayError("unsupported_media_type", words)
    return kind


def model_of(body: RequestBody, head: CallerHead, known: Container[tuple[str | int, ...]]) -> str:
    """The model that routes a request: that of its path, of its body, or the endpoint's default.

    `known`: endpoints and models that have a target, which saves checking the name.

    Raises:
        GatewayError: `model_required`, `invalid_model` or `duplicate_field`.
    """
    model = body.text("model")
    if head.model is not None:
        return head.model
    endpoint = head.endpoint
    if model is None:
        if endpoint.default_model is None:
            words = "the request names no `model`"
            raise GatewayError("model_required", words, param="model")
        return endpoint.default_model
    is_known = (endpoint.name, model) in known
    if not is_known and not is_model(model) and model not in endpoint.odd_models:
        words = "`model` must be 1 to 256 visible ASCII characters without spaces"
        raise GatewayError("invalid_model", words, param="model")
    return model
