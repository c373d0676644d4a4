"""One request: reads it, drives match -> exchange -> relay, fills the access record.

Every way a request can end passes through `Request.run`: an answer of the upstream, one of the
engine's own errors, or a caller who left.
"""

import asyncio
import time
from functools import partial
from time import monotonic
from typing import Any

from engine.gateway.access_log import Record, new_id
from engine.gateway.admit import AdmittedRequest
from engine.gateway.deadline import Deadline
from engine.gateway.errors import GatewayError, error_body, error_headers
from engine.gateway.headers import Pairs
from engine.gateway.inbound.body import CallerGone, CallerStalled, Receive, RequestBodyReader
from engine.gateway.inbound.framing import Send, id_headers, send_response
from engine.gateway.inbound.head import CallerHead, Scope
from engine.gateway.inbound.lingering import CLOSE, has_body
from engine.gateway.inbound.payload import (
    RequestBody,
    form_request_body,
    json_request_body,
    model_of,
)
from engine.gateway.outbound.attempts import Why, error_of
from engine.gateway.outbound.driver import AttemptDriver, candidate_targets, run_attempts
from engine.gateway.outbound.prepare import FIRST_BYTE, TOTAL, OutboundRequest, paced
from engine.gateway.response.relay import ResponseRelay
from engine.gateway.routing.match import Target
from engine.gateway.runtime import Runtime
from engine.upstream import CHUNK_BYTES, Attempt, Failure, UpstreamError, in_chunks

SHORT = 0.05  # seconds; a request that takes longer is watched for its caller leaving


class Request(ResponseRelay):
    """One request, from its head to its record. What stands here is how every one begins."""

    _body_reader: RequestBodyReader | None = None
    _watch: asyncio.Task[None] | None = None
    _caller_gone = False
    _is_aborted = False
    _called_at: float | None = None  # monotonic, as all times here
    _waited = 0.0

    def __init__(
        self,
        runtime: Runtime,
        task: asyncio.Task[Any] | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._runtime = runtime
        self._plan = runtime.plan
        self._scope = scope
        self._receive = receive
        self._task = task
        self._send = send
        self._deadline = Deadline(task)
        self._started_at = monotonic()
        self.record = Record(request_id=new_id())

    async def run(self) -> None:
        """Serve the request and turn whatever happens into an answer and an outcome."""
        body: RequestBody | None = None
        try:
            if self._scope["method"] in ("GET", "HEAD") and await self._respond_listing():
                return
            head = self._admit()
            body = await self._read(head)
            await self._serve(head, body)
        except GatewayError as error:
            await self._fail(error)
        except CallerGone:
            # Left, or sent framing that cannot be read: one who still listens is owed an answer.
            self.record.outcome = "client_cancelled"
            await self._fail(GatewayError("invalid_request", "the body broke off before its end"))
        except asyncio.CancelledError:
            await self._end_cancelled()
        except Exception:  # noqa: BLE001 the outermost frame: a bug becomes a 500 with an id
            self.record.note_bug()
            self.record.outcome = "internal_error"
            words = f"the gateway failed; its log has the details under {self.record.request_id}"
            await self._fail(GatewayError("internal_error", words))
        finally:
            if self._watch is not None:
                self._watch.cancel()
                self._watch = None  # what cancels it holds its frame, and that this call
            if body is not None:
                self.record.bytes_in = body.received
                body.close()
            self.record.note_times(self._started_at, self._called_at, self._waited)

    @property
    def is_unread(self) -> bool:
        """Whether the caller may still be sending the body."""
        body_reader = self._body_reader
        return has_body(self._scope["headers"]) if body_reader is None else not body_reader.complete

    def _closing(self) -> Pairs:
        """Says that the connection ends: the request is not whole, or the server stops."""
        return CLOSE if self.is_unread else self._runtime.drain_headers

    def abort(self) -> None:
        """End this request because the server stops."""
        if self._task is not None and not self._caller_gone:
            self._is_aborted = True
            self._task.cancel()

    async def _end_cancelled(self) -> None:
        """A cancellation by the watch or by `abort` ends here; one from outside goes on."""
        if self._task is None or not (self._caller_gone or self._is_aborted):
            self.record.outcome = "server_cancelled"
            raise asyncio.CancelledError
        self._task.uncancel()
        if self._caller_gone:
            self.record.outcome = "ok" if self._is_whole() else "client_cancelled"
            return
        self.record.outcome = "server_cancelled"
        error = GatewayError("server_shutting_down", "the gateway is shutting down")
        if not self._started:
            await self._fail(error)
        elif not await self._end_whole():
            self.record.error = error.code
            await self._send_event(error)

    # -- what the caller may do ------------------------------------------------------------------

    def _admit(self) -> CallerHead:
        """Path, key, permissions and kind of body, with the body still unread."""
        heads = self._runtime.heads
        key = heads.key(self._scope)
        head = heads.known(key, time.time())
        if head is None:
            head = self._resolve_head(list(key[3:]))
            heads.keep(key, head)
        self._dialect = head.endpoint.dialect
        self._last_events = head.endpoint.last_events
        self.record.endpoint = head.endpoint.name
        self.record.key = head.caller.name
        return head

    def _resolve_head(self, headers: Pairs) -> CallerHead:
        """A head that was not seen lately."""
        admitted = AdmittedRequest(self._plan, self._scope, self.record)
        try:
            return admitted.head(headers)
        finally:
            self._dialect = admitted.dialect

    async def _respond_listing(self) -> bool:
        """Answer with the models there are, if that is what the path asks for."""
        admitted = AdmittedRequest(self._plan, self._scope, self.record)
        try:
            body = admitted.listing()
        finally:
            self._dialect = admitted.dialect
        if body is None:
            return False
        self.record.status, self.record.outcome, self.record.bytes_out = 200, "ok", len(body)
        headers = [(b"content-type", b"application/json"), *id_headers(self.record.request_id)]
        await send_response(self._send, 200, headers + self._closing(), body)
        return True

    async def _read(self, head: CallerHead) -> RequestBody:
        """The body, far enough to route it."""
        started_at = monotonic()
        length = dict(self._scope["headers"]).get(b"content-length")
        declared = None if length is None else int(length)
        body_reader = self._body_reader = RequestBodyReader(
            self._receive, head.endpoint, self._deadline, declared
        )
        body: RequestBody
        with self._deadline:
            if head.kind == "json":
                body = json_request_body(await body_reader.rest(), head.endpoint)
            else:
                body = await form_request_body(head, body_reader, self._plan.caller_fields)
        self._waited = monotonic() - started_at
        return body

    def tick(self, now: float) -> None:
        """Called now and then: ends what takes too long, and watches a caller who waits.

        Few requests are over before the first look, so most of them need a task that waits for the
        caller to leave; the others are spared it.
        """
        self._deadline.tick(now)
        if self._watch is None and now - self._started_at > SHORT:
            self._start_watch()

    def _response_started(self) -> None:
        """An answer has begun; the caller may still be sending."""
        self._started = True
        if self.is_unread:
            self._start_watch()

    def _start_watch(self) -> None:
        """Wait for the caller to leave, if nobody else waits for the rest of the body.

        An answer that has begun ended the upload: the rest of that body is dropped meanwhile.
        """
        is_free = self._started or (self._body_reader is not None and self._body_reader.complete)
        if self._watch is None and is_free:
            self._watch = asyncio.ensure_future(self._watch_caller())

    async def _watch_caller(self) -> None:
        """Cancel the request when the caller leaves; nothing but `receive` tells."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._caller_gone = True
        if self._task is not None:
            self._task.cancel()

    # -- the exchange with the provider ----------------------------------------------------------

    async def _serve(self, head: CallerHead, body: RequestBody) -> None:
        model = model_of(body, head)
        self.record.model = model
        if not head.caller.may_use_model(model):
            raise GatewayError("not_allowed", "this API key may not use this model", param="model")
        target = self._runtime.target(head.endpoint, model)
        why: Why | None
        if target.provider.single_attempt and not target.rule.ways:
            why = await self._attempt(head, target, body, None)
        else:
            self.record.note_target(target)
            driver = AttemptDriver(
                candidate_targets(self._plan, head, target, body), self._runtime.health
            )
            why = await run_attempts(
                driver, lambda to: self._attempt(head, to, body, driver), self.record
            )
        if why is not None:
            self.record.outcome = why.outcome if isinstance(why, Failure) else "unavailable"
            raise error_of(why, self.record.provider or "")

    def _outbound(self, head: CallerHead, target: Target, body: RequestBody) -> OutboundRequest:
        """What goes to `target`, by the account and the picks of this caller."""
        provider = target.provider
        if provider.accounts or provider.choices is not None:
            provider = self._runtime.variants.choose(target, head, body)
        return OutboundRequest(head, target, provider)

    async def _attempt(
        self, head: CallerHead, target: Target, body: RequestBody, driver: AttemptDriver | None
    ) -> Failure | None:
        """One attempt in a slot of the provider; relays the answer if there is one."""
        self.record.note_target(target)
        outbound = self._outbound(head, target, body)
        attempt = outbound.attempt(body)
        limiter = self._runtime.limiters[target.provider.name]
        self.record.note_attempt(uses_caller_credentials=outbound.uses_caller_credentials)
        if not limiter.take():
            self._start_watch()
            queued = monotonic()
            try:
                await limiter.acquire()
            except UpstreamError as error:
                return error.failure
            self._waited += monotonic() - queued
        try:
            if outbound.sign is not None:
                attempt = await self._runtime.signers.sign(outbound.sign, attempt)
            return await self._exchange(attempt, outbound, driver)
        except UpstreamError as error:  # of the signer; the exchange keeps its own
            return error.failure
        finally:
            limiter.release()

    async def _exchange(
        self, attempt: Attempt, outbound: OutboundRequest, driver: AttemptDriver | None
    ) -> Failure | None:
        """Send, wait for the head, relay the body: each phase within its time."""
        timeouts, deadline = outbound.timeouts, self._deadline
        if self._called_at is None:
            self._called_at = monotonic()
        failure: Failure | None = None
        body = attempt.body
        is_kept = isinstance(body, bytes)
        try:
            with deadline:
                # `connect` is for the client to keep; the other clocks start where its time ends.
                deadline.limit(self._called_at + timeouts.total, TOTAL)
                attempt.sent = partial(deadline.allow, timeouts.first_byte, FIRST_BYTE)
                if not isinstance(body, bytes):
                    attempt = attempt.with_body(paced(body, deadline, timeouts.idle))
                elif len(body) > CHUNK_BYTES:
                    attempt = attempt.with_body(paced(in_chunks(body), deadline, timeouts.idle))
                reply = await self._runtime.clients[outbound.target.provider.client].send(attempt)
                try:
                    if driver is None or driver.is_wanted(reply, is_kept=is_kept):
                        await self._relay(reply, timeouts, self._closing())
                finally:
                    await reply.close()
            return None
        except UpstreamError as error:
            failure = error.failure
            if not self._started:
                return failure
        except CallerStalled:
            pass
        if not await self._end_whole():
            await self._break_off(failure, outbound.target.provider.name)
            if driver is not None:
                driver.send_outcome(failure)
        return None

    # -- how a request ends badly ----------------------------------------------------------------

    async def _fail(self, error: GatewayError) -> None:
        """Answer one of the engine's own errors."""
        self.record.error = error.code
        if self._started:
            return
        self.record.status = error.kind.status
        request_id = self.record.request_id.encode("ascii")
        headers = [
            (b"content-type", b"application/json"),
            *error_headers(error, self._dialect, request_id),
        ]
        headers += [pair for pair in self._closing() if pair not in headers]
        body = error_body(error, self._dialect, self.record.request_id)
        self.record.bytes_out = len(body)
        await send_response(self._send, error.kind.status, headers, body)
