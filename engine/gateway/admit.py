"""Who calls which endpoint: a head is checked before any of the body is read.

The path comes first only because the error format of a refused key depends on it; what is wrong
with the path is reported only to callers with a valid key.
"""

import time
from dataclasses import dataclass

from engine.gateway.callers import CallerTable
from engine.gateway.errors import GatewayError
from engine.gateway.inbound.auth import authenticate
from engine.gateway.inbound.browsers import refuse_cross_site
from engine.gateway.inbound.form_body import further_models
from engine.gateway.inbound.framing import check_framing, refuse_handshake
from engine.gateway.inbound.head import CallerHead, Scope
from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.inbound.json_text import items
from engine.gateway.inbound.paths import EndpointMatch, dialect_of, match_endpoint
from engine.gateway.inbound.payload import RequestBody, body_kind
from engine.gateway.inbound.query import without
from engine.gateway.record import RecordBuilder
from engine.gateway.routing.listing import render_listing, shape_of
from engine.plan.callers import FURTHER_MODELS
from engine.plan.plan import Caller, Dialect, Plan
from engine.upstream import Pairs


@dataclass(slots=True)
class HeadCheck:
    """One head being checked; `callers` may call, None for anybody.

    `dialect` is that of its refusals, as far as it is known.

    What is found out is put into `record` at once, for a refusal as well.
    """

    plan: Plan
    scope: Scope
    record: RecordBuilder
    callers: CallerTable
    dialect: Dialect = Dialect.OPENAI

    def head(self, headers: Pairs) -> CallerHead:
        """The head of a request; `headers` are those that decide something.

        Raises:
            GatewayError: whatever is wrong with the path, the key, the framing or the kind of body.
        """
        found = self._match()
        caller = self._caller(headers)
        if isinstance(found, GatewayError):
            if found.code == "method_not_allowed":
                refuse_handshake(self.scope)
            match_endpoint(self.plan, self.scope["method"], self.scope["raw_path"])  # with a hint
            raise found
        endpoint, query = found.endpoint, self.scope["query_string"]
        if caller.endpoints is not None and endpoint.name not in caller.endpoints:
            message = f"this API key may not use endpoint `{endpoint.name}`"
            raise GatewayError("not_allowed", message)
        if found.model is not None and endpoint.drop_query:
            query = without(query, endpoint.drop_query)
        return CallerHead(
            endpoint, caller, body_kind(endpoint, headers), headers, query, found.model
        )

    def listing(self) -> bytes | None:
        """The list of models, or one of them, if that is what the path asks for.

        Raises:
            GatewayError: as `head`, or `model_not_found`.
        """
        listing = self.plan.listing
        asked = None if listing is None else listing.requested(self.scope["raw_path"])
        if asked is None:
            return None
        self.dialect = self._shape()
        caller = self._caller(self.scope["headers"])
        return render_listing(self.plan, caller, self.dialect, asked)

    def _match(self) -> EndpointMatch | GatewayError:
        path = self.scope["raw_path"]
        try:
            found = match_endpoint(self.plan, self.scope["method"], path, hint=False)
        except GatewayError as error:
            self.dialect = dialect_of(self.plan, path) or self._shape()
            return error
        self.dialect = found.endpoint.dialect
        self.record.endpoint = found.endpoint.name
        return found

    def _caller(self, headers: Pairs) -> Caller:
        caller = authenticate(headers, self.callers, time.time())
        self.record.set_caller(caller, self.record.endpoint)
        check_framing(headers, self.scope["http_version"])
        if self.callers is None:
            refuse_cross_site(headers, self.plan.cors)
        return caller

    def _shape(self) -> Dialect:
        """The dialect of a caller, as far as the headers show it."""
        listing = self.plan.listing
        return Dialect.OPENAI if listing is None else shape_of(listing, self.scope["headers"])


def check_models(caller: Caller, model: str, body: RequestBody) -> None:
    """Refuse a model that a key limited to some may not use, and further ones beside it.

    Raises:
        GatewayError: `not_allowed` or `duplicate_field`.
    """
    if not caller.may_use_model(model):
        raise GatewayError("not_allowed", "this API key may not use this model", param="model")
    for name in sorted(FURTHER_MODELS):  # those of a form are refused as it is read
        if body.raw_value(name) not in (None, b"null", b"[]"):
            raise further_models(name)
    tools = body.raw_value("tools")
    if tools is not None and tools != b"null":
        _check_tools(caller, tools)


def _check_tools(caller: Caller, tools: bytes) -> None:
    """Refuse a tool that a provider runs with another model, such as one that makes images, or an advisor."""
    listed = items(tools)
    if listed is None:
        words = (
            "this API key allows only certain models, so `tools` must be a list, and not a long one"
        )
        raise GatewayError("not_allowed", words, param="tools")
    for tool in map(bytes, listed):
        named = JsonBody(tool).text("model") if tool[:1] == b"{" else None
        if named is not None and not caller.may_use_model(named):
            words = "this API key may not use the model of one of the `tools`"
            raise GatewayError("not_allowed", words, param="tools")
