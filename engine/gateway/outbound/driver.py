"""Holds the conversation of `exchange` for one request: attempts, pauses, and what came of them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from time import monotonic, time

from engine.gateway.access_log import Record
from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.outbound.attempts import (
    PASS_ON,
    AttemptGenerator,
    Outcome,
    Pause,
    ResponseHead,
    Step,
    Try,
    Why,
    attempts,
    retry_after,
)
from engine.gateway.outbound.health import Health
from engine.gateway.routing.match import Target, find_targets
from engine.plan.plan import Plan, Provider
from engine.upstream import Failure, Reply


class AttemptDriver:
    """A conversation under way.

    `step` is what to do next, None once it is over; `why` then says why there is no answer.
    """

    def __init__(self, targets: Sequence[Target], healths: Mapping[str, Health]) -> None:
        self._conversation: AttemptGenerator = attempts(targets, healths, monotonic)
        self.step: Step | None = None
        self.why: Why | None = None
        self.status = 0
        self.send_outcome(None)

    def send_outcome(self, outcome: Outcome) -> None:
        """Say what came of `step`."""
        try:
            self.step = self._conversation.send(outcome)
        except StopIteration as ended:
            self.step, self.why = None, ended.value

    @property
    def is_passing(self) -> bool:
        """Whether the answer in hand is being passed on."""
        return self.step is PASS_ON

    def is_wanted(self, reply: Reply, *, is_kept: bool) -> bool:
        """Whether an answer whose head has come is the one to pass on."""
        fields = dict(reply.headers)
        self.status = reply.status
        wait = retry_after(fields.get(b"retry-after"), time())
        self.send_outcome(ResponseHead(reply.status, wait, is_kept=is_kept))
        return self.is_passing

    def close(self) -> None:
        """End it, whatever state it is in: the caller may have left."""
        self._conversation.close()


def candidate_targets(
    plan: Plan, head: CallerHead, first: Target, body: RequestBody
) -> Sequence[Target]:
    """The targets to try, without those that have no credential for this request.

    Who brings a credential reaches those that take it, and never one by that of the operator.
    """
    if not first.rule.ways:
        return (first,)
    every = find_targets(plan, head.endpoint, first, head.caller.name, random.random)
    caller_inputs = first.provider.caller_inputs
    uses_caller_credentials = body.has_any(
        caller_inputs.fields
    ) or not caller_inputs.headers.isdisjoint(head.fields)
    if uses_caller_credentials:
        usable = [t for t in every if _takes(t.provider, head.fields.keys(), body)]
    else:
        usable = [t for t in every if not t.provider.missing or t.provider.accounts]
    return usable or (first,)


def _takes(provider: Provider, received: Set[bytes], body: RequestBody) -> bool:
    """Whether `provider` takes what the caller brings, and needs no more."""
    taken = provider.caller_credentials
    caller_credentials = {taken.headers[name] for name in received & taken.headers.keys()}
    caller_credentials |= {own for name, own in taken.body.items() if body.text(name) is not None}
    return bool(caller_credentials) and provider.required <= caller_credentials


Attempt = Callable[[Target], Awaitable[Failure | None]]


async def run_attempts(driver: AttemptDriver, attempt: Attempt, record: Record) -> Why | None:
    """Make attempts until one is passed on; None then, else why none was.

    `attempt` asks `AttemptDriver.is_wanted` when an answer has begun, and tells the talk when one that is
    passed on breaks off; it returns the failure when nothing has gone to the caller.
    """
    try:
        while driver.step is not None:
            if isinstance(driver.step, Pause):
                await asyncio.sleep(driver.step.seconds)
                driver.send_outcome(None)
            elif isinstance(driver.step, Try):
                target = driver.step.target
                failure = await attempt(target)
                if failure is not None:
                    is_response = driver.is_passing
                    driver.send_outcome(failure)
                    if is_response:
                        return failure
                elif driver.is_passing:
                    driver.send_outcome(None)
                if driver.step is not None:
                    word = failure.outcome if failure else driver.status
                    record.tried = [*(record.tried or ()), f"{target.provider.name} {word}"]
    finally:
        driver.close()
    return driver.why
