"""Which of the operator's credentials a request is sent with, where providers limit the use of each."""

from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import cast

from engine.gateway.cancellation import Deadline
from engine.gateway.errors import GatewayError
from engine.gateway.hooks import Permit, call_hook
from engine.gateway.inbound.body import RequestBodyReader
from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.outbound.exchange import Exchange
from engine.gateway.record import Record
from engine.gateway.routing.candidates import has_credentials
from engine.gateway.routing.match import Target
from engine.gateway.runtime import Runtime
from engine.plan.plan import Provider
from engine.upstream import Failure, UpstreamError

_NOT_SENT = Record()
_UNPRICED = "not_allowed"
_REFUSALS = frozenset({"rate_limited", "budget_exceeded", _UNPRICED})
Send = Callable[[Provider], Awaitable[Exchange]]


def is_limited(provider: Provider, head: CallerHead, body: RequestBody) -> bool:
    """Whether the use of the credential that a request gets is limited. One that the caller has sent is not."""
    return provider.credential_limits is not None and not has_credentials(head, body, provider)


class CredentialPermits:
    """What the attempts of one request use of limited credentials: `permit` is that of the latest.

    Attempts before it have used nothing, as for the limits of callers. `refusal` says why the latest
    had no credential.
    """

    __slots__ = ("_deadline", "_reader", "_runtime", "permit", "refusal")

    def __init__(
        self, runtime: Runtime, deadline: Deadline, reader: RequestBodyReader | None
    ) -> None:
        self._runtime, self._deadline, self._reader = runtime, deadline, reader
        self.permit: Permit | None = None
        self.refusal: GatewayError | None = None

    async def send(
        self, chosen: Provider, target: Target, head: CallerHead, body: RequestBody, send: Send
    ) -> Exchange:
        """Send the request with `chosen`, or with the next in turn whose limits admit it.

        Raises:
            UpstreamError: `LIMITED` when none does; what `send` raises.
            GatewayError: limits cannot be counted.
        """
        self.end()
        self.refusal = None
        for provider in (chosen, *self._runtime.variants.others(chosen, target, head, body)):
            try:
                await self._admit(provider, head, target, body)
            except GatewayError as error:
                if error.code not in _REFUSALS:
                    raise
                if self.refusal is None or _sooner(error, self.refusal):
                    self.refusal = error
                continue
            return await send(provider)
        raise UpstreamError(Failure.LIMITED)

    async def _admit(
        self, provider: Provider, head: CallerHead, target: Target, body: RequestBody
    ) -> None:
        hook = self._runtime.hooks.credential_limits
        if provider.credential_limits is None or hook is None:
            return
        size = self._reader.size if self._reader else 0
        permit = hook.admit_credentials(provider, head.endpoint, target.model, body, size)
        if type(permit) is CoroutineType:
            permit = await call_hook(self._deadline, permit, "the admission of the request")
        self.permit = cast("Permit | None", permit)

    def end(self) -> None:
        """Give back what an attempt holds that another one follows."""
        permit, self.permit = self.permit, None
        if permit is not None and permit.settle is not None:
            permit.settle(_NOT_SENT)

    def settle(self, record: Record) -> None:
        """The request is over, as for a Permit."""
        permit, self.permit = self.permit, None
        if permit is not None and permit.settle is not None:
            permit.settle(record)


def _sooner(one: GatewayError, other: GatewayError) -> bool:
    """Whether another try succeeds sooner after `one`; after one for an unknown price none does."""
    return one.code != _UNPRICED and (
        other.code == _UNPRICED or (one.retry_after or 0) < (other.retry_after or 0)
    )
