"""The caller's side of one request: what is sent to the caller, and how a response ends.

A response of a provider is relayed as it arrives:

    head -> chunk -> chunk -> ... -> end              any response
    head -> event -> event -> ... -> rest -> end      an event stream

Framing follows what the provider declared, never when its bytes arrived: a body of declared length
keeps the length, any other is chunked (see `head`). A response that breaks off never looks
complete: an event stream ends with an error event of the caller's dialect where one can follow;
anything else is cut, since returning without a last message makes the server close the connection.

Nothing waits for the caller longer than `caller_idle`: not a chunk, not an error, not the end.
"""

from collections.abc import Awaitable, Iterable
from time import monotonic

from engine.gateway.cancellation import Deadline
from engine.gateway.errors import GatewayError, error_body, error_headers
from engine.gateway.headers import RelayedNames
from engine.gateway.hooks import Permit
from engine.gateway.inbound.body import CallerStalled, Send
from engine.gateway.outbound.exchange import IDLE, Exchange
from engine.gateway.record import RecordBuilder
from engine.gateway.response.coroutines import run_rest
from engine.gateway.response.cost import record_cost
from engine.gateway.response.error_events import error_event
from engine.gateway.response.event_stream import EventStream
from engine.gateway.response.facts import ResponseFacts
from engine.gateway.response.head import response_head, send_response, with_own
from engine.gateway.response.usage import UsageMeter
from engine.gateway.response.usage_reader import UsageReader
from engine.plan.plan import Dialect, Timeouts
from engine.plan.prices import Prices
from engine.upstream import Failure, Pairs, UpstreamError, UpstreamResponse

_NOT_AGAIN = ((b"x-should-retry", b"false"),)  # another target may have processed the request
_DEFAULT_DIALECT = Dialect.OPENAI  # a look-up in an enum takes as long as ten of a name
END_SECONDS = 2.0  # seconds of silence after the last event of a stream, until it is ended here


class ResponseRelay:
    """Sends the response of one request, whoever it comes from.

    `is_started`: a part of it has been sent. `dialect` is the caller's, as far as it is known;
    `permit` is the request's, whose headers are sent. `caller_idle` is the endpoint's, or the default
    while that is not known. A response that is relayed has the one of its target.
    """

    __slots__ = (
        "_deadline", "_is_blocked", "_names", "_record", "_send", "_stream", "_timeouts",
        "_written", "caller_idle", "dialect", "is_started", "meter", "permit",
    )  # fmt: skip
    _timeouts: Timeouts  # of the response being relayed

    def __init__(
        self,
        send: Send,
        record: RecordBuilder,
        deadline: Deadline,
        names: RelayedNames,
        caller_idle: float,
    ) -> None:
        self.caller_idle = caller_idle
        self.dialect = _DEFAULT_DIALECT
        self.is_started = False
        self.permit: Permit | None = None
        self.meter: UsageMeter | None = None  # of the response being relayed, if it has usage
        self._stream: EventStream | None = None  # of a response that may end with an event of ours
        self._is_blocked = False  # the server has not taken the last chunk yet
        self._written = 0  # bytes of a body that were sent as they arrived
        self._send = send
        self._record = record
        self._deadline = deadline
        self._names = names

    async def relay(
        self,
        exchange: Exchange,
        last_events: tuple[bytes, ...],
        closing: Iterable[tuple[bytes, bytes]],
        usage: UsageReader | None = None,
    ) -> Failure | None:
        """Relay a response, close its exchange, and return what broke the response off, if anything.

        What is complete when its head is sent needs one message more. `closing` are headers to add, `usage` reads what the response has used. What is returned is still to be reported by `fail`.
        """
        response, timeouts, record = exchange.response, exchange.request.timeouts, self._record
        send = self._send  # called from a slot, it is looked up without a cache: 0.1 us
        broken: Failure | None = None
        try:
            try:
                headers, length = self._head(exchange, last_events, usage)
                if closing:
                    headers += closing
                self._deadline.allow(timeouts.caller_idle, CallerStalled)
                await send(
                    {"type": "http.response.start", "status": response.status, "headers": headers}
                )
                self.is_started = True
                if self._stream is None and response.is_complete:
                    last, meter = response.arrived(), self.meter
                else:
                    last, meter = await self._relay_body(response, timeouts), None
                sent = record.bytes_out + len(last)
                if length is not None and sent != length:
                    raise UpstreamError(Failure.TRUNCATED)
                if meter is not None:
                    meter.add(last)
                record.bytes_out = sent
                self._is_blocked = True  # until the server has it, nothing can follow
                await send({"type": "http.response.body", "body": last, "more_body": False})
                self._is_blocked = False
                record.outcome = "ok"
            except BaseException as error:
                self._deadline.end(error)
                raise
            self._deadline.end()
            return None
        except UpstreamError as error:
            broken = error.failure
        except CallerStalled:
            record.outcome = "client_stalled"
        finally:
            if (rest := exchange.close()) is not None:
                await rest
        return None if await self.end_if_complete() else broken

    def _head(
        self, exchange: Exchange, last_events: tuple[bytes, ...], usage: UsageReader | None
    ) -> tuple[Pairs, int | None]:
        """The headers of a response that is about to be relayed, and the length that its body must have."""
        response, record, permit = exchange.response, self._record, self.permit
        status, fields = response.status, response.fields
        self._timeouts = exchange.request.timeouts
        record.status, record.state.head_at = status, monotonic()
        if usage is not None:
            meter = UsageMeter(usage, exchange.request.upload)
            self.meter = meter if meter.start(status, fields) else None
        names = self._names if permit is None else self._names.without(permit.replaces)
        headers, length, is_events = response_head(
            status, response.headers, fields, response.length, record.request_id, names
        )
        if permit is not None:
            headers += permit.headers
        if record.may_be_paid_twice is True and status >= 400:
            headers = with_own(headers, _NOT_AGAIN)
        if is_events:
            facts = ResponseFacts() if self.dialect is Dialect.RESPONSES else None
            include = exchange.request.include
            extra = None if include is None else include.extra_event
            self._stream = EventStream(last_events, facts, self.meter, extra)
        return headers, length

    async def _relay_body(self, response: UpstreamResponse, timeouts: Timeouts) -> bytes:
        """A body or events as they arrive, and what of the last event was held back."""
        stream = self._stream
        if stream is None:  # also if it is empty: the server holds the head back
            await self._send_part(response.arrived())
        self._allow_idle()
        try:
            await response.forward(self._write)
        finally:
            self._record.bytes_out += self._written
        self._deadline.allow(timeouts.caller_idle, CallerStalled)
        return b"" if stream is None else stream.take_held()

    def tick(self, now: float) -> None:
        """Several times a second: notice that no event of a stream comes."""
        if self._stream is not None and self.meter is not None:
            self.meter.tick(now, is_read=not self._is_blocked)

    # -- towards the server ------------------------------------------------------------------------

    def _write(self, chunk: bytes) -> Awaitable[None] | None:
        """Send what has arrived as far as it goes without waiting; None if that is all of it.

        The server takes a chunk at once unless the caller reads too slowly, so nearly every event
        of a stream passes through here without a task being woken or made. This is one function
        since each call that it makes costs half a percent of an event.
        """
        stream = self._stream
        if stream is not None:
            chunk = stream.feed(chunk)
            if stream.is_done:
                self._allow_idle()
        elif self.meter is not None:
            self.meter.add(chunk)
        self._deadline.seen = None  # of the phase that `_allow_idle` began
        if not chunk:
            return None
        self._written += len(chunk)
        send = self._send
        sending = send({"type": "http.response.body", "body": chunk, "more_body": True})
        steps = sending.__await__()
        for waiting in steps:  # mostly nothing
            self._is_blocked = True
            self._deadline.allow(self._timeouts.caller_idle, CallerStalled)
            return run_rest(waiting, steps, self._unblock)
        return None

    def _unblock(self) -> None:
        self._is_blocked = False
        self._allow_idle()

    def _allow_idle(self) -> None:
        is_done = self._stream is not None and self._stream.is_done
        idle = self._timeouts.idle
        self._deadline.allow(min(idle, END_SECONDS) if is_done else idle, IDLE)

    async def _send_part(self, chunk: bytes) -> None:
        if self.meter is not None:
            self.meter.add(chunk)
        self._record.bytes_out += len(chunk)
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    def record_usage(self, prices: Prices | None) -> None:
        """Record usage, cost and first event of the response that was relayed, at the end of the request."""
        if self._stream is not None and self._stream.first_at is not None:
            self._record.set_first_event(self._stream.first_at)
        if self.meter is not None:
            self.meter.finish(self._record, is_priced=prices is not None)
        if prices is not None:
            record_cost(self._record, prices)

    # -- how a response ends otherwise -------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        """Whether the last event of a stream has been sent, although the provider keeps it open."""
        return self._stream is not None and self._stream.is_complete() and not self._is_blocked

    async def end_if_complete(self) -> bool:
        """End a stream that is complete; whether it was."""
        if not self.is_complete:
            return False
        self._record.outcome = "ok"
        await self._end(b"")
        return True

    async def fail(self, error: GatewayError, closing: Iterable[tuple[bytes, bytes]]) -> None:
        """Send an error of the gateway's own: as the response, or as the end of one that broke off."""
        record = self._record
        record.error = error.code
        if self.is_started:
            await self._end_with(error)
            return
        record.status = error.kind.status
        headers = [
            (b"content-type", b"application/json"),
            *error_headers(error, self.dialect, record.request_id.encode("ascii")),
        ]
        own = () if self.permit is None else self.permit.headers
        headers += [pair for pair in (*closing, *own) if pair not in headers]
        body = error_body(error, self.dialect, record.request_id)
        record.bytes_out = len(body)
        await self.respond(error.kind.status, headers, body)

    async def fail_by_bug(self, closing: Iterable[tuple[bytes, bytes]]) -> None:
        """A bug: a 500, or a cut, since nothing is known of a response that has started."""
        record = self._record
        record.set_bug()
        record.outcome = record.error = "internal_error"
        if not self.is_started:
            message = f"the gateway failed; its log has the details under {record.request_id}"
            await self.fail(GatewayError("internal_error", message), closing)

    async def respond(self, status: int, headers: Pairs, body: bytes) -> None:
        """Send a whole response of the gateway's own."""
        await self._finish(send_response(self._send, status, headers, body), self.caller_idle)

    async def _end_with(self, error: GatewayError) -> None:
        """End a stream with the dialect's error event, where one can follow what has been sent.

        Where it cannot, nothing is sent: the server closes the connection, and the body is cut.
        """
        stream = self._stream
        if stream is None or stream.is_open or self._is_blocked:
            return
        event = b""  # after an error event of the provider's own
        if not stream.has_failed():
            request_id, model = self._record.request_id, self._record.model
            event = error_event(error, self.dialect, request_id, stream, model)
        await self._end(event)

    async def _end(self, last: bytes) -> None:
        """Send the end of a response that is being relayed."""
        self._record.bytes_out += len(last)
        sending = self._send({"type": "http.response.body", "body": last, "more_body": False})
        await self._finish(sending, self._timeouts.caller_idle)

    async def _finish(self, sending: Awaitable[None], caller_idle: float) -> None:
        """Await the last that is sent; a caller who does not read it is given up."""
        try:
            with self._deadline:
                self._deadline.limit(monotonic() + caller_idle, CallerStalled)
                await sending
        except CallerStalled:
            self._record.outcome = "client_stalled"
