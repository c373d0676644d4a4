"""One attempt over the network, from a free slot of the provider to the end of its response."""

from collections.abc import AsyncIterator, Awaitable
from functools import partial
from time import monotonic, time

import msgspec

from engine.gateway.cancellation import Deadline
from engine.gateway.outbound.attempts import ResponseHead, retry_after
from engine.gateway.outbound.prepare import PreparedRequest
from engine.gateway.record import RecordBuilder
from engine.gateway.response.named_model import ResponseTrace
from engine.gateway.runtime import Runtime
from engine.upstream import (
    CHUNK_BYTES,
    Attempt,
    Body,
    Failure,
    RequestHead,
    UpstreamError,
    UpstreamResponse,
    in_chunks,
)
from engine.upstream.limiter import Limiter

TRACE_HEADERS = (b"traceparent", b"tracestate")
FIRST_BYTE, IDLE, TOTAL, OVERLOADED, SIGN_IN_FAILED = (
    partial(UpstreamError, failure)
    for failure in (
        Failure.FIRST_BYTE_TIMEOUT,
        Failure.IDLE_TIMEOUT,
        Failure.TOTAL_TIMEOUT,
        Failure.OVERLOADED,
        Failure.SIGN_IN_FAILED,
    )
)


class Exchange(msgspec.Struct, eq=False, gc=False):
    """A response whose head has arrived. Must be closed; it holds a slot of the provider until then."""

    response: UpstreamResponse
    request: PreparedRequest
    _limiter: Limiter
    _is_open: bool = True

    def head(self) -> ResponseHead:
        """What decides whether this response is relayed or another attempt is made."""
        wait = retry_after(self.response.fields.get(b"retry-after"), time())
        is_repeatable = isinstance(self.request.upload.body, bytes)
        return ResponseHead(self.response.status, wait, is_repeatable)

    def close(self) -> Awaitable[None] | None:
        """Give the connection and the slot back. Returns what is still to be awaited, if anything; a second call does nothing."""
        if not self._is_open:
            return None
        self._is_open = False
        try:
            closing = self.response.close()
        except BaseException:
            self._limiter.release()
            raise
        if closing is not None:
            return self._release_after(closing)
        self._limiter.release()
        return None

    async def _release_after(self, closing: Awaitable[None]) -> None:
        try:
            await closing
        finally:
            self._limiter.release()


async def open_exchange(
    request: PreparedRequest, runtime: Runtime, deadline: Deadline, record: RecordBuilder
) -> Exchange:
    """Wait for a slot of the provider, sign, send, and wait for the head of the response.

    Each phase has its timeout. The client enforces `connect`; `first_byte` starts when the client
    calls `sent`; `total` when the first attempt has its slot and its signature, and it covers all
    attempts, with the pauses and queues between them.

    Raises:
        UpstreamError: there is no response.
    """
    provider, timeouts = request.provider, request.timeouts
    limiter = runtime.limiters[provider.name]
    if not limiter.take():
        queued_at = monotonic()
        try:
            with deadline:
                deadline.limit(record.total_end(timeouts.total), OVERLOADED)
                await limiter.acquire()
        finally:
            if record.state.called_at is None:  # `ms_engine` ends there
                record.state.waited += monotonic() - queued_at
    try:
        sent = partial(deadline.allow, timeouts.first_byte, FIRST_BYTE)
        upload = request.upload
        attempt = Attempt(request.head, upload.body, upload.length, timeouts.connect, sent)
        if request.sign is not None:
            with deadline:
                deadline.limit(record.total_end(timeouts.total), SIGN_IN_FAILED)
                attempt = await runtime.signers.sign(request.sign, attempt)
        if not isinstance(attempt.body, bytes) or len(attempt.body) > CHUNK_BYTES:
            attempt.body = _paced(attempt.body, deadline, timeouts.idle)
        called_at = record.state.called_at
        if called_at is None:
            called_at = record.state.called_at = monotonic()
        deadline.limit(called_at + timeouts.total, TOTAL)  # all attempts, and the response
        response = await runtime.clients[provider.client].send(attempt)
    except BaseException as error:
        limiter.release()
        deadline.end(error)
        raise
    deadline.end()
    return Exchange(response, request, limiter)


async def open_traced(
    request: PreparedRequest,
    runtime: Runtime,
    deadline: Deadline,
    record: RecordBuilder,
    *,
    stream: bool,
) -> Exchange:
    """The same as `open_exchange` for a request with a trace, which notes the attempt.

    The attempt begins before it waits for a slot. Where its provider is to know the trace, it gets
    that in place of what the caller sent.
    """
    trace = record.state.trace
    if trace is None:
        return await open_exchange(request, runtime, deadline, record)
    head, model = request.head, record.sent_model or ""
    attempt = trace.start_attempt(request.provider, model, head.origin, stream=stream)
    if attempt.headers:
        pairs = [pair for pair in head.headers if pair[0] not in TRACE_HEADERS]
        head = RequestHead(head.method, head.origin, head.target, [*pairs, *attempt.headers])
        request = request.with_head(head)
    try:
        exchange = await open_exchange(request, runtime, deadline, record)
    except UpstreamError as error:
        attempt.fail(error.failure.label)
        raise
    attempt.respond(exchange.response.status)
    if attempt.wants_model:
        exchange.response = ResponseTrace(exchange.response, attempt.record_model)
    return exchange


async def _paced(body: Body, deadline: Deadline, idle: float) -> AsyncIterator[bytes | memoryview]:
    """A large or streamed body as chunks; the provider has `idle` seconds to take each of them."""
    async for chunk in in_chunks(body) if isinstance(body, bytes) else body:
        deadline.allow(idle, IDLE)
        yield chunk
