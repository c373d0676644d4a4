"""An answer on its way to the caller, and how it ends once it has begun."""

from collections.abc import Awaitable
from time import monotonic

from engine.gateway.access_log import Record
from engine.gateway.deadline import Deadline
from engine.gateway.errors import GatewayError
from engine.gateway.headers import Pairs
from engine.gateway.inbound.body import CallerStalled
from engine.gateway.inbound.framing import Send, response_head, run_until_blocked
from engine.gateway.outbound.attempts import error_of
from engine.gateway.outbound.prepare import IDLE
from engine.gateway.response.error_events import error_event
from engine.gateway.response.event_stream import EventStream
from engine.gateway.response.facts import ResponseFacts
from engine.plan.plan import Dialect, Timeouts
from engine.upstream import Failure, Reply, UpstreamError

AFTER_LAST = 2.0  # seconds of silence after the last event of a stream, until it is ended here


class ResponseRelay:
    """The part of a `Call` that an answer passes through."""

    record: Record
    _send: Send
    _deadline: Deadline
    _started_at: float  # monotonic

    _started = False
    _dialect = Dialect.OPENAI
    _last_events: tuple[bytes, ...] = ()
    _stream: EventStream | None = None  # of an answer that can take an event of ours
    _unsent: Awaitable[None] | None = None  # what the server has not taken yet

    def _response_started(self) -> None:
        """An answer has begun."""
        self._started = True

    async def _relay(self, reply: Reply, timeouts: Timeouts, more: Pairs) -> None:
        """The answer, as it arrives, with `more` headers; what is whole leaves in one message.

        Raises:
            UpstreamError: it broke off. `_started` tells whether any of it has left.
            CallerStalled: nobody reads it.
        """
        deadline = self._deadline
        self.record.status = reply.status
        self.record.ms_first_byte = round((monotonic() - self._started_at) * 1000, 2)
        head = response_head(reply.status, reply.headers, reply.length, self.record.request_id)
        headers, length, is_events = head
        headers += more
        facts = ResponseFacts() if self._dialect is Dialect.RESPONSES else None
        stream = self._stream = EventStream(self._last_events, facts) if is_events else None
        # Events leave one by one, as they came; anything else may leave in fewer messages.
        is_whole = reply.is_complete and stream is None
        chunk = reply.arrived() if stream is None else b""
        deadline.allow(timeouts.caller_idle, CallerStalled)
        await self._send(
            {"type": "http.response.start", "status": reply.status, "headers": headers}
        )
        self._response_started()
        if stream is None and not is_whole:  # the server holds the head of these back
            await self._send_chunk(chunk)

        idle, idle_after_last = timeouts.idle, min(timeouts.idle, AFTER_LAST)

        def receive(chunk: bytes) -> bool:
            silence = idle
            if stream is not None:
                chunk = stream.feed(chunk)
                if stream.is_done:
                    silence = idle_after_last
            deadline.allow(silence, IDLE)
            if not chunk:
                return True
            self._unsent = run_until_blocked(self._send_chunk(chunk))
            return self._unsent is None

        last = chunk if is_whole else b""
        while not is_whole:
            is_done = stream is not None and stream.is_done
            deadline.allow(idle_after_last if is_done else idle, IDLE)
            is_whole = await reply.forward(receive)
            deadline.allow(timeouts.caller_idle, CallerStalled)
            if self._unsent is not None:
                await self._unsent
                self._unsent = None
        if stream is not None:
            last = stream.rest()
        self.record.bytes_out += len(last)
        if length is not None and self.record.bytes_out != length:
            raise UpstreamError(Failure.TRUNCATED)
        await self._send({"type": "http.response.body", "body": last, "more_body": False})
        self.record.outcome = "ok"

    def _send_chunk(self, chunk: bytes) -> Awaitable[None]:
        self.record.bytes_out += len(chunk)
        return self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    def _is_whole(self) -> bool:
        """Whether a stream has come to its end, although the provider may still hold it open."""
        return self._stream is not None and self._stream.is_whole() and self._unsent is None

    async def _end_whole(self) -> bool:
        """End a stream that is whole, if it is."""
        if self._is_whole():
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            self.record.outcome = "ok"
        return self._is_whole()

    async def _break_off(self, failure: Failure | None, provider: str) -> None:
        """End a started answer so that nobody takes it for whole."""
        self.record.outcome = failure.outcome if failure else "client_stalled"
        if failure is not None:
            self.record.error = failure.code
            await self._send_event(error_of(failure, provider))

    async def _send_event(self, error: GatewayError) -> None:
        """End a stream with the dialect's error event, where one can follow what has left.

        Anything else is cut: returning without a final message makes the server close the
        connection.
        """
        stream = self._stream
        if stream is None or stream.is_open or self._unsent is not None:
            return
        request_id, model = self.record.request_id, self.record.model
        event = b""  # after an error of the provider's own
        if not stream.has_failed():
            event = error_event(error, self._dialect, request_id, stream, model)
        await self._send({"type": "http.response.body", "body": event, "more_body": False})
