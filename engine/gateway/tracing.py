"""What a request notes for its trace; implemented by `telemetry`, and off by default."""

from typing import Protocol

from engine.plan.plan import Origin, Provider
from engine.upstream import Pairs


class AttemptTrace(Protocol):
    """One attempt. `headers` are sent to the provider with it; most providers get none.

    `wants_model`: the response is read for the model that it names.
    """

    headers: Pairs
    wants_model: bool

    def respond(self, status: int) -> None:
        """The head of the response has arrived."""

    def record_model(self, model: str) -> None:
        """The response names this model."""

    def fail(self, reason: str) -> None:
        """The attempt has ended without a response; `reason` is the label of a Failure."""


class Trace(Protocol):
    """The trace of one request. `trace_id`: 32 hex digits, of a trace that can be looked up."""

    trace_id: str | None

    def start_attempt(
        self, provider: Provider, model: str, origin: Origin, *, stream: bool
    ) -> AttemptTrace:
        """An attempt begins; `model` is the one that is sent."""

    def end_attempt(self) -> None:
        """The latest attempt is over, and its response, if any, is not relayed."""
