"""Makes the attempts of one request: the one place that drives the generator of `attempts`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from engine.gateway.outbound.attempts import AttemptGenerator, NoResponse, Outcome, Pause, Try
from engine.gateway.outbound.exchange import Exchange
from engine.gateway.record import RecordBuilder
from engine.gateway.routing.match import Target
from engine.upstream import Failure, UpstreamError

# Sends the request to a target, up to the head of the response; raises UpstreamError.
SendAttempt: TypeAlias = Callable[[Target], Awaitable[Exchange]]
# Relays the response, closes the exchange, and returns what broke the response off, if anything.
RelayResponse: TypeAlias = Callable[[Exchange], Awaitable[Failure | None]]


async def run_attempts(
    steps: AttemptGenerator, send: SendAttempt, relay: RelayResponse, record: RecordBuilder
) -> NoResponse | None:
    """Make attempts until a response is relayed. Returns why there is none, or what broke it off."""
    exchange: Exchange | None = None
    outcome: Outcome = None
    try:
        while isinstance(step := steps.send(outcome), Try | Pause):
            if outcome is not None:
                record.add_tried(outcome.label)
            if exchange is not None:
                await _close(exchange)
                exchange = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                outcome = None
                continue
            if step.paid_before:
                record.may_be_paid_twice = True
            try:
                exchange = await send(step.target)
                outcome = exchange.head()
            except UpstreamError as error:
                outcome = error.failure
        if exchange is None:
            raise TypeError("only a response whose head has arrived can be passed on")
        broken = await relay(exchange)
        with suppress(StopIteration):
            steps.send(broken)
        return broken
    except StopIteration as ended:
        why: NoResponse | None = ended.value
        return why
    finally:
        steps.close()
        if exchange is not None:
            await _close(exchange)


async def _close(exchange: Exchange) -> None:
    if (closing := exchange.close()) is not None:
        await closing
