"""What requests have that limits have admitted, and what they have used when they are over."""

from dataclasses import dataclass
from typing import ClassVar

import msgspec

from engine.gateway.record import Record
from engine.gateway.response.cost import was_refused, was_sent
from engine.gateway.response.usage import BYTES_A_TOKEN, estimated_input
from engine.limits.core import Amounts
from engine.limits.store import Grant, Store
from engine.server.hooks.cost_limits import ReserveCorrection, hidden_output, used_cost
from engine.server.hooks.limit_responses import PROVIDER_LIMITS
from engine.upstream import Pairs

OUTPUT_TOKENS = 1000  # held for a response where the endpoint does not say
NO_TOKENS = 0, 0


@dataclass(slots=True)
class LimitPermit:
    """An admitted request; `estimate` are its input and output tokens, and what it may cost if that counts.

    `late` has what was read of a form after that: how many times as many responses it asks for, counted at the end.
    """

    store: Store
    grant: Grant
    headers: Pairs
    estimate: Amounts
    late: ReserveCorrection | None = None
    replaces: tuple[bytes, ...] = PROVIDER_LIMITS

    def settle(self, record: Record) -> None:
        """Count what the request has used; what was reserved where a bug keeps that from being known."""
        if self.grant.lease is None:
            return
        used = self.estimate
        try:
            tokens: Amounts = used_tokens(record, self.estimate)
            if len(used) > len(tokens):
                reserved = used[2] if self.late is None else self.late.of(used[2])
                tokens = (*tokens, used_cost(record, reserved, used))
            used = tokens
        finally:
            self.store.settle(self.grant, used)


class RatePermit(msgspec.Struct):
    """An admitted request of a caller with one rate, which was counted then."""

    headers: Pairs
    replaces: ClassVar[tuple[bytes, ...]] = PROVIDER_LIMITS
    settle: ClassVar[None] = None


def used_tokens(record: Record, estimate: Amounts) -> tuple[int, int]:
    """Input and output tokens of a request that is over, by what it was estimated to use.

    Nothing was used by what was not sent, and by what the provider refused. Of input and output, each
    that the response does not say is estimated: the input and the output from their sizes.
    Output of which nothing has come is added by its time, up to what was reserved.
    """
    if not was_sent(record):
        return NO_TOKENS
    input_tokens, output_tokens = record.input_tokens, record.output_tokens
    if input_tokens is None and output_tokens is None and was_refused(record):
        return NO_TOKENS
    if input_tokens is None:
        input_tokens = min(estimated_input(record.bytes_in), estimate[0])
    if output_tokens is None:
        output_tokens = min(record.bytes_out // BYTES_A_TOKEN, OUTPUT_TOKENS, estimate[1])
    if record.outcome != "ok":
        most = min(output_tokens + hidden_output(record), estimate[1])
        output_tokens = max(output_tokens, most)
    return input_tokens, output_tokens
