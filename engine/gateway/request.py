"""One request in the order of its life: admit, receive, route, attempt, relay; and its record.

Whatever ends a request passes through `Request.run`; `cancellation` says who may end it early.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic
from types import CoroutineType
from typing import Any

from engine.gateway.admit import HeadCheck, check_models
from engine.gateway.callers import CallerTable, search_key
from engine.gateway.cancellation import Cancellation, Cause, Deadline, Task
from engine.gateway.errors import GatewayError
from engine.gateway.hooks import Permit, call_hook
from engine.gateway.inbound.body import CallerGone, Receive, RequestBodyReader, Send
from engine.gateway.inbound.head import CallerHead, Scope
from engine.gateway.inbound.lingering import CLOSE, has_body
from engine.gateway.inbound.payload import (
    RequestBody,
    form_request_body,
    json_request_body,
    model_of,
)
from engine.gateway.outbound.attempts import NoResponse, TotalEnd, attempts, error_of
from engine.gateway.outbound.credential_permits import CredentialPermits, is_limited
from engine.gateway.outbound.driver import run_attempts
from engine.gateway.outbound.exchange import Exchange, open_exchange, open_traced
from engine.gateway.outbound.prepare import prepare
from engine.gateway.record import Record, RecordBuilder, RequestState
from engine.gateway.response.head import id_headers
from engine.gateway.response.relay import ResponseRelay
from engine.gateway.routing.candidates import NONE, Credentials, candidate_targets, find_credentials
from engine.gateway.routing.match import Target
from engine.gateway.runtime import Runtime
from engine.plan.plan import Provider
from engine.upstream import Failure, UpstreamError

WATCH_AFTER_SECONDS = 0.05  # a request that takes longer is watched, in case its caller leaves


class Request:
    """One request, from its head to its record."""

    __slots__ = (
        "_body_reader", "_cancellation", "_deadline", "_declared", "_receive", "_response",
        "_runtime", "_scope", "_task", "consumers", "credential_permits", "record",
    )  # fmt: skip

    def __init__(
        self, runtime: Runtime, task: Task, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._runtime = runtime
        self._task = task
        self._scope = scope
        self._receive = receive
        self.consumers: tuple[Callable[[Record], None], ...] = ()  # of the record
        self.credential_permits: CredentialPermits | None = None  # where the provider limits that
        self._deadline = Deadline(task)
        self._body_reader: RequestBodyReader | None = None
        self._cancellation: Cancellation | None = None  # made when somebody may end it
        self.record = RecordBuilder(request_id=runtime.ids.next(), state=RequestState(monotonic()))
        self._response = ResponseRelay(
            send, self.record, self._deadline, runtime.relayed_names, runtime.plan.caller_idle
        )

    async def run(self) -> None:  # noqa: C901, PLR0912 the whole way of a request: a call would cost 0.1 us
        """Serve the request; whatever happens becomes a response and an outcome."""
        runtime, record, deadline = self._runtime, self.record, self._deadline
        body: RequestBody | None = None
        try:
            tracer = runtime.hooks.tracer
            if tracer is not None and (trace := tracer.start(self._scope)) is not None:
                record.state.trace, record.trace_id = trace, trace.trace_id
                self.consumers = (partial(tracer.end, trace),)
            if self._scope["method"] in ("GET", "HEAD") and await self._respond_listing():
                return
            try:
                head = self._admit()
            except GatewayError as refused:
                head = self._admit(await self._search_key(refused.code))
            endpoint = head.endpoint
            reader = RequestBodyReader(self._receive, endpoint, deadline, self._declared)
            self._body_reader = reader
            if head.kind == "json":
                body = json_request_body(await reader.read_all(), endpoint)
            else:
                with deadline:
                    body = await form_request_body(head, reader, runtime.plan.caller_fields)
            record.state.waited = monotonic() - reader.started_at
            model = record.model = model_of(body, head, runtime.targets)
            if head.caller.models is not None:
                check_models(head.caller, model, body)
            if (admission := runtime.hooks.admission) is not None:
                permit: Any = admission.admit(head.caller, endpoint, model, body, reader.size)
                if type(permit) is CoroutineType:  # `isinstance` takes longer to say no
                    permit = await call_hook(deadline, permit, "the admission of the request")
                self._keep(permit)
            target = runtime.target(head, model, body)
            source, plan = runtime.hooks.credentials, runtime.plan
            found = find_credentials(source, plan, head, target, body) if source else NONE
            if target.has_one_attempt:
                # The same as `run_attempts` for one attempt. Its generator would cost 7 us of 28.
                why: NoResponse | None
                try:
                    why = await self._relay(head, await self._send_to(target, head, body, found))
                except UpstreamError as error:
                    why = error.failure
            else:
                why = await self._attempt(target, head, body, found)
            if why is not None:
                raise self._no_response(why)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 the outermost frame
            await self._end_early(error)
        finally:
            self._record_end()
            if body is not None:
                body.close()

    def _record_end(self) -> None:
        """Record what is known only at the end; nobody ends the request any more."""
        if self._cancellation is not None:
            self._cancellation.stop_watching()
        if self._body_reader:
            self.record.bytes_in = self._body_reader.received
        self._response.record_usage(self._runtime.plan.prices)
        if self._scope["method"] == "HEAD":  # the server sends no body (RFC 9110, 9.3.2)
            self.record.bytes_out = 0

    def is_unread(self) -> bool:
        """Whether the caller may still be sending the body."""
        if self._body_reader is not None:
            return not self._body_reader.complete
        return has_body(self._scope["headers"], self._scope["http_version"])

    def tick(self, now: float) -> None:
        """Several times a second: end a phase that is late, and watch over a long request."""
        self._deadline.tick(now)
        self._response.tick(now)
        reader = self._body_reader
        is_received = self._response.is_started or (reader and reader.complete)
        if now - self.record.state.started_at > WATCH_AFTER_SECONDS and is_received:
            self._ending().watch_caller()  # nothing of the request reads from it any more

    def abort(self) -> None:
        """End the request because the server stops."""
        self._ending().abort()

    def _ending(self) -> Cancellation:
        self._cancellation = self._cancellation or Cancellation(self._task, self._receive)
        return self._cancellation

    async def _respond_listing(self) -> bool:
        """Respond with the list of models, if the path asks for that."""
        check = HeadCheck(self._runtime.plan, self._scope, self.record, self._runtime.callers)
        try:
            body = check.listing()
        except GatewayError as refused:
            check.callers = await self._search_key(refused.code)
            body = check.listing()
        finally:
            self._response.dialect = check.dialect
        if body is None:
            return False
        self.record.status, self.record.outcome, self.record.bytes_out = 200, "ok", len(body)
        headers = [
            (b"content-type", b"application/json"),
            *id_headers(self.record.request_id),
            *self._closing(),
        ]
        await self._response.respond(200, headers, body)
        return True

    async def _search_key(self, code: str) -> CallerTable:
        """The callers to try once more, after a search for the key in the store where that can help."""
        # Not given the error itself: raised again from here, it would be in a cycle with its traceback.
        searching = search_key(self._runtime.stored, self._scope["headers"], code)
        found = await call_hook(self._deadline, searching, "the search for the gateway key")
        return found or self._runtime.callers

    def _admit(self, callers: CallerTable = None) -> CallerHead:
        """Path, key, permissions and kind of body, before any of the body is read."""
        heads = self._runtime.heads
        fields = dict(self._scope["headers"])
        length = fields.get(b"content-length")
        self._declared = int(length) if length else None  # empty in HTTP/2: not declared
        head = heads.get(key := heads.key(self._scope, fields))
        if head is None:
            known = callers or self._runtime.callers
            check = HeadCheck(self._runtime.plan, self._scope, self.record, known)
            try:
                head = check.head(list(key[3:]))
            finally:
                self._response.dialect = check.dialect
            heads.put(key, head)
        endpoint, response = head.endpoint, self._response
        response.dialect, response.caller_idle = endpoint.dialect, endpoint.caller_idle
        self.record.set_caller(head.caller, endpoint.name)
        return head

    # -- route, attempt, relay ---------------------------------------------------------------------

    def _keep(self, permit: Permit | None) -> None:
        self._response.permit = permit
        if permit is not None and permit.settle is not None:
            self.consumers += (permit.settle,)

    async def _attempt(
        self, target: Target, head: CallerHead, body: RequestBody, found: Credentials
    ) -> NoResponse | None:
        """Attempt the request as often as retries and further targets allow."""
        runtime, record = self._runtime, self.record
        record.set_target(target)
        targets = candidate_targets(runtime.plan, head, target, body, found, runtime.in_flight)
        ends: TotalEnd = lambda target: record.total_end(target.total)  # noqa: E731 of this request
        steps = attempts(targets, runtime.health, monotonic, ends, resendable=body.resendable)
        send = partial(self._send_to, head=head, body=body, found=found)
        return await run_attempts(steps, send, partial(self._relay, head), record)

    def _no_response(self, why: NoResponse) -> GatewayError:
        self.record.outcome = why.outcome
        use = self.credential_permits if why is Failure.LIMITED else None
        return (use and use.refusal) or error_of(why, self.record.provider or "")

    def _send_to(
        self,
        target: Target,
        head: CallerHead,
        body: RequestBody,
        found: Credentials,
        chosen: Provider | None = None,
    ) -> Awaitable[Exchange]:
        """Send the request to `target`, up to the head of its response; by the variant `chosen` of its provider."""
        self.record.set_target(target)
        provider = chosen or target.provider
        if chosen is None and (found or provider.has_credentials_to_choose):
            provider = self._runtime.variants.choose(target, head, body, found.get(provider.name))
            if is_limited(provider, head, body):
                send = partial(self._send_to, target, head, body, found)
                return self._permits().send(provider, target, head, body, send)
        request = prepare(head, target, provider, body)
        self.record.add_attempt(request.credential, request.upload.dropped)
        if self.record.state.trace is not None:
            stream = body.flag("stream")
            return open_traced(request, self._runtime, self._deadline, self.record, stream=stream)
        return open_exchange(request, self._runtime, self._deadline, self.record)

    def _permits(self) -> CredentialPermits:
        found = self.credential_permits
        if found is None:
            found = CredentialPermits(self._runtime, self._deadline, self._body_reader)
            self.credential_permits, self.consumers = found, (*self.consumers, found.settle)
        return found

    def _relay(self, head: CallerHead, exchange: Exchange) -> Awaitable[Failure | None]:
        """Relay the response, and close the exchange."""
        closing = self._closing()
        if closing and self.is_unread():  # a response ends the upload: the rest is dropped
            self._ending().watch_caller()
        usage = self._runtime.usage.get(head.endpoint.name)
        return self._response.relay(exchange, head.endpoint.last_events, closing, usage)

    # -- how a request ends otherwise --------------------------------------------------------------

    def _closing(self) -> Sequence[tuple[bytes, bytes]]:
        """Headers that end the connection: the request is not read whole, or the worker stops."""
        is_closing = self._runtime.is_closing
        return CLOSE if self.is_unread() or is_closing() else ()

    def _fail(self, error: GatewayError) -> Awaitable[None]:
        return self._response.fail(error, self._closing())

    async def _end_early(self, error: Exception | asyncio.CancelledError) -> None:
        if isinstance(error, GatewayError):
            await self._fail(error)
        elif isinstance(error, CallerGone):
            # It left, or its framing cannot be parsed: a caller that still listens gets a response.
            self.record.outcome = "client_cancelled"
            await self._fail(GatewayError("invalid_request", "the body broke off before its end"))
        elif isinstance(error, asyncio.CancelledError):
            await self._end_cancelled()
        else:  # a bug becomes a 500 with an id
            await self._response.fail_by_bug(self._closing())

    async def _end_cancelled(self) -> None:
        """End the request as the table in `cancellation` says for the one who cancelled it."""
        cause = self._ending().cause()
        if cause is Cause.CALLER_LEFT:
            self.record.outcome = "ok" if self._response.is_complete else "client_cancelled"
            return
        self.record.outcome = "server_cancelled"
        if cause is Cause.OTHER:
            raise asyncio.CancelledError
        if not await self._response.end_if_complete():
            await self._fail(GatewayError("server_shutting_down", "the gateway is shutting down"))
