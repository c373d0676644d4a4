"""One request: reads it, drives match -> exchange -> relay, fills the access record.

Every way a request can end passes through `Call.run`: an answer of the upstream, one of the
engine's own errors, or a caller who left.
"""

import asyncio
import time
from functools import partial
from time import monotonic
from typing import Any

from engine.gateway.access_log import Record, new_id
from engine.gateway.admit import Admission
from engine.gateway.deadline import Deadline
from engine.gateway.errors import GatewayError, error_body, error_headers
from engine.gateway.headers import Pairs
from engine.gateway.inbound.body import CallerGone, CallerStalled, Intake, Receive
from engine.gateway.inbound.framing import Send, answer, id_headers
from engine.gateway.inbound.head import CallerHead, Scope
from engine.gateway.inbound.lingering import CLOSE, has_body
from engine.gateway.inbound.payload import Inbound, form_inbound, json_inbound, model_of
from engine.gateway.outbound.attempts import Why, error_of
from engine.gateway.outbound.driver import Talk, converse, in_turn
from engine.gateway.outbound.prepare import FIRST_BYTE, TOTAL, Outbound, paced
from engine.gateway.response.relay import Relay
from engine.gateway.routing.match import Target
from engine.gateway.runtime import Means
from engine.upstream import PIECE, Attempt, Failure, UpstreamError, in_pieces

SHORT = 0.05  # seconds; a request that takes longer is watched for its caller leaving


class Call(Relay):
    """One request, from its head to its record. What stands here is how every one begins."""

    _intake: Intake | None = None
    _watch: asyncio.Task[None] | None = None
    _caller_gone = False
    _is_cut = False
    _called_at: float | None = None  # monotonic, as all times here
    _waited = 0.0

    def __init__(
        self,
        means: Means,
        task: asyncio.Task[Any] | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._means = means
        self._plan = means.plan
        self._scope = scope
        self._receive = receive
        self._task = task
        self._send = send
        self._deadline = Deadline(task)
        self._started_at = monotonic()
        self.record = Record(request_id=new_id())

    async def run(self) -> None:
        """Serve the request and turn whatever happens into an answer and an outcome."""
        inbound: Inbound | None = None
        try:
            if self._scope["method"] in ("GET", "HEAD") and await self._answer_listing():
                return
            head = self._admit()
            inbound = await self._read(head)
            await self._serve(head, inbound)
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
            if inbound is not None:
                self.record.bytes_in = inbound.received
                inbound.close()
            self.record.note_times(self._started_at, self._called_at, self._waited)

    @property
    def is_unread(self) -> bool:
        """Whether the caller may still be sending the body."""
        intake = self._intake
        return has_body(self._scope["headers"]) if intake is None else not intake.complete

    def _closing(self) -> Pairs:
        """Says that the connection ends: the request is not whole, or the server stops."""
        return CLOSE if self.is_unread else self._means.parting

    def cut(self) -> None:
        """End this request because the server stops."""
        if self._task is not None and not self._caller_gone:
            self._is_cut = True
            self._task.cancel()

    async def _end_cancelled(self) -> None:
        """A cancellation by the watch or by `cut` ends here; one from outside goes on."""
        if self._task is None or not (self._caller_gone or self._is_cut):
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
        heads = self._means.heads
        key = heads.key(self._scope)
        head = heads.known(key, time.time())
        if head is None:
            head = self._look_at(list(key[3:]))
            heads.keep(key, head)
        self._dialect = head.endpoint.dialect
        self._last_events = head.endpoint.last_events
        self.record.endpoint = head.endpoint.name
        self.record.key = head.caller.name
        return head

    def _look_at(self, headers: Pairs) -> CallerHead:
        """A head that was not seen lately."""
        admission = Admission(self._plan, self._scope, self.record)
        try:
            return admission.head(headers)
        finally:
            self._dialect = admission.dialect

    async def _answer_listing(self) -> bool:
        """Answer with the models there are, if that is what the path asks for."""
        admission = Admission(self._plan, self._scope, self.record)
        try:
            body = admission.listing()
        finally:
            self._dialect = admission.dialect
        if body is None:
            return False
        self.record.status, self.record.outcome, self.record.bytes_out = 200, "ok", len(body)
        headers = [(b"content-type", b"application/json"), *id_headers(self.record.request_id)]
        await answer(self._send, 200, headers + self._closing(), body)
        return True

    async def _read(self, head: CallerHead) -> Inbound:
        """The body, far enough to route it."""
        begun = monotonic()
        length = dict(self._scope["headers"]).get(b"content-length")
        declared = None if length is None else int(length)
        intake = self._intake = Intake(self._receive, head.endpoint, self._deadline, declared)
        inbound: Inbound
        with self._deadline:
            if head.kind == "json":
                inbound = json_inbound(await intake.rest(), head.endpoint)
            else:
                inbound = await form_inbound(head, intake, self._plan.caller_fields)
        self._waited = monotonic() - begun
        return inbound

    def look(self, now: float) -> None:
        """Called now and then: ends what takes too long, and watches a caller who waits.

        Few requests are over before the first look, so most of them need a task that waits for the
        caller to leave; the others are spared it.
        """
        self._deadline.look(now)
        if self._watch is None and now - self._started_at > SHORT:
            self._start_watch()

    def _has_begun(self) -> None:
        """An answer has begun; the caller may still be sending."""
        self._started = True
        if self.is_unread:
            self._start_watch()

    def _start_watch(self) -> None:
        """Wait for the caller to leave, if nobody else waits for the rest of the body.

        An answer that has begun ended the upload: the rest of that body is dropped meanwhile.
        """
        is_free = self._started or (self._intake is not None and self._intake.complete)
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

    async def _serve(self, head: CallerHead, inbound: Inbound) -> None:
        model = model_of(inbound, head)
        self.record.model = model
        if not head.caller.may_use_model(model):
            raise GatewayError("not_allowed", "this API key may not use this model", param="model")
        target = self._means.target(head.endpoint, model)
        why: Why | None
        if target.provider.is_plain and not target.rule.ways:
            why = await self._attempt(head, target, inbound, None)
        else:
            self.record.note_target(target)
            talk = Talk(in_turn(self._plan, head, target, inbound), self._means.health)
            why = await converse(
                talk, lambda to: self._attempt(head, to, inbound, talk), self.record
            )
        if why is not None:
            self.record.outcome = why.outcome if isinstance(why, Failure) else "unavailable"
            raise error_of(why, self.record.provider or "")

    def _outbound(self, head: CallerHead, target: Target, inbound: Inbound) -> Outbound:
        """What goes to `target`, by the account and the picks of this caller."""
        provider = target.provider
        if provider.accounts or provider.choices is not None:
            provider = self._means.forms.choose(target, head, inbound)
        return Outbound(head, target, provider)

    async def _attempt(
        self, head: CallerHead, target: Target, inbound: Inbound, talk: Talk | None
    ) -> Failure | None:
        """One attempt in a slot of the provider; relays the answer if there is one."""
        self.record.note_target(target)
        outbound = self._outbound(head, target, inbound)
        attempt = outbound.attempt(inbound)
        limiter = self._means.limiters[target.provider.name]
        self.record.note_attempt(is_brought=outbound.is_brought)
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
                attempt = await self._means.signers.sign(outbound.sign, attempt)
            return await self._exchange(attempt, outbound, talk)
        except UpstreamError as error:  # of the signer; the exchange keeps its own
            return error.failure
        finally:
            limiter.release()

    async def _exchange(
        self, attempt: Attempt, outbound: Outbound, talk: Talk | None
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
                elif len(body) > PIECE:
                    attempt = attempt.with_body(paced(in_pieces(body), deadline, timeouts.idle))
                reply = await self._means.clients[outbound.target.provider.client].send(attempt)
                try:
                    if talk is None or talk.is_wanted(reply, is_kept=is_kept):
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
            if talk is not None:
                talk.tell(failure)
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
        await answer(self._send, error.kind.status, headers, body)
