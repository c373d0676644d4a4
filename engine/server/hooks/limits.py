"""The limits of callers in one worker, as the Admission of its gateways."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.inbound.text_size import MAX_ENCODED
from engine.gateway.inbound.usage_fields import output_limit, refuse_unmetered
from engine.gateway.response.usage import estimated_input
from engine.limits.core import Amounts, Refused, Scope
from engine.limits.ledger import Ledger
from engine.limits.redis_store import RedisStore
from engine.limits.store import FullError, Grant, Store, UnavailableError
from engine.limits.table import SharedMemory, Table
from engine.plan.limit_store import NO_STORE, LimitSettings
from engine.plan.limits import Budget
from engine.plan.plan import Caller, Dialect, Endpoint, Plan, Provider
from engine.server.hooks.cost_limits import CostReserve, ReserveCorrection, reserve_correction
from engine.server.hooks.limit_permits import NO_TOKENS, OUTPUT_TOKENS, LimitPermit, RatePermit
from engine.server.hooks.limit_responses import (
    credential_refusal,
    describe,
    limit_headers,
    limits_unavailable,
    price_unknown,
    rate_headers,
    refusal,
)
from engine.server.hooks.model_names import ModelNames


class LimitHooks:
    """An Admission by the limits of callers, counted in memory that the workers share, or in a store.

    `log` takes messages to the operator; `changed` is called when `status` has changed.
    `allowed` and `refused` have each one number, of requests of callers with limits, for whoever takes it.
    """

    def __init__(
        self,
        memory: SharedMemory | None,
        settings: LimitSettings = NO_STORE,
        log: Callable[[str], None] = print,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        table = Table(memory or SharedMemory(1))
        table.claim_part()
        self._log = log
        ledger = Ledger(table, warn=self._warn)
        self._store: Store = ledger
        self._take_one = ledger.take_one
        self._reserve = CostReserve()
        self._names = ModelNames()
        self._shared: RedisStore | None = None
        self.allowed, self.refused = [0], [0]
        if settings.store is not None:
            self._store = self._shared = RedisStore(
                settings.store, settings.on_store_error, self._store, log, changed,
                settings.store_timeout,
            )  # fmt: skip
            self._shared.warn = self._warn

    @property
    def status(self) -> str | None:
        """`ok`, or what is done while the store fails; None without one."""
        return None if self._shared is None else self._shared.status

    @property
    def store_errors(self) -> int:
        """How many requests the store has not counted; 0 without one."""
        return 0 if self._shared is None else self._shared.errors

    def set_plan(self, plan: Plan) -> None:
        """New requests cost what the prices of `plan` say, and go where its rules lead."""
        self._reserve = CostReserve(plan)
        self._names = ModelNames(plan)

    async def start(self) -> None:
        """Connect to the store, if there is one."""
        if self._shared is not None:
            await self._shared.start()

    async def close(self) -> None:
        """Send what was used to the store, and leave it."""
        if self._shared is not None:
            await self._shared.close()

    def tick(self) -> None:
        """Once a second: give back what requests of killed workers held."""
        self._store.tick()

    def admit(
        self, caller: Caller, endpoint: Endpoint, model: str, body: RequestBody, size: int | None
    ) -> LimitPermit | RatePermit | Coroutine[Any, Any, LimitPermit] | None:
        """Count the request in all of its scopes, or refuse it; None for a caller without limits.

        Raises:
            GatewayError: `rate_limited`, `budget_exceeded`, or `overloaded` when nothing more can be counted.
        """
        if not caller.scopes:
            return None
        one_rate = caller.one_rate
        if one_rate is not None and self._shared is None:
            scope, limits, rate = one_rate
            ahead = self._take_one(scope, limits, rate)
            if ahead:
                self.allowed[0] += 1
                return RatePermit(rate_headers(rate, ahead, endpoint.dialect))
        return self._admit(caller, endpoint, model, body, size)

    def _admit(
        self, caller: Caller, endpoint: Endpoint, model: str, body: RequestBody, size: int | None
    ) -> LimitPermit | Coroutine[Any, Any, LimitPermit] | None:
        scopes: Sequence[Scope] = caller.scopes
        estimate: Amounts = NO_TOKENS
        late: ReserveCorrection | None = None
        if caller.one_rate is None:
            if caller.limits is not None and caller.limits.models:
                scopes = scopes_of(caller, self._names.of(endpoint.name, model))
            if endpoint.is_free:
                scopes = free_scopes(scopes)
                if not scopes:
                    return None
            elif caller.counts_usage:
                estimate = estimate_of(endpoint, body, size)
            if caller.counts_usd and not endpoint.is_free:
                cost = self._reserve.cost(endpoint, model, body, estimate, size, scopes)
                estimate, late = (*estimate, cost), reserve_correction(endpoint, body)
        try:
            made = self._store.reserve(scopes, estimate)
        except (FullError, UnavailableError) as error:
            raise self._uncounted(error) from None
        if isinstance(made, (Grant, Refused)):  # a union would be made anew for each request
            return self._permit(made, endpoint.dialect, estimate, late)
        return self._wait(made, endpoint.dialect, estimate, late)

    def admit_credentials(
        self,
        provider: Provider,
        endpoint: Endpoint,
        model: str,
        body: RequestBody,
        size: int | None,
    ) -> LimitPermit | Coroutine[Any, Any, LimitPermit] | None:
        """As `CredentialLimits.admit_credentials`."""
        limits = provider.credential_limits
        if limits is None or (endpoint.is_free and limits.for_free is None):
            return None
        if endpoint.is_free:
            limits = limits.for_free or limits
        scopes = [(provider.credential_scope, limits)]
        estimate: Amounts = NO_TOKENS
        late: ReserveCorrection | None = None
        if limits.counts_usage:
            estimate = estimate_of(endpoint, body, size)
        if limits.counts_usd:
            try:
                cost = self._reserve.cost(endpoint, model, body, estimate, size, scopes)
            except GatewayError:
                raise price_unknown(provider.name) from None
            estimate, late = (*estimate, cost), reserve_correction(endpoint, body)
        return self._used(scopes, estimate, late)

    def _used(
        self, scopes: Sequence[Scope], estimate: Amounts, late: ReserveCorrection | None
    ) -> LimitPermit | Coroutine[Any, Any, LimitPermit]:
        def permit(made: Grant | Refused) -> LimitPermit:
            if isinstance(made, Refused):
                raise credential_refusal(made)
            return LimitPermit(self._store, made, [], estimate, late)

        async def wait(made: Awaitable[Grant | Refused]) -> LimitPermit:
            try:
                return permit(await made)
            except (FullError, UnavailableError) as error:
                raise limits_unavailable(error) from None

        try:
            made = self._store.reserve(scopes, estimate)
        except (FullError, UnavailableError) as error:
            raise limits_unavailable(error) from None
        return permit(made) if isinstance(made, Grant | Refused) else wait(made)

    async def _wait(
        self,
        made: Awaitable[Grant | Refused],
        dialect: Dialect,
        estimate: Amounts,
        late: ReserveCorrection | None,
    ) -> LimitPermit:
        try:
            return self._permit(await made, dialect, estimate, late)
        except (FullError, UnavailableError) as error:
            raise self._uncounted(error) from None

    def _permit(
        self,
        made: Grant | Refused,
        dialect: Dialect,
        estimate: Amounts,
        late: ReserveCorrection | None,
    ) -> LimitPermit:
        if not isinstance(made, Grant):
            self.refused[0] += 1
            raise refusal(made, dialect)
        self.allowed[0] += 1
        headers = limit_headers(made.left, dialect)
        return LimitPermit(self._store, made, headers, estimate, late)

    def _warn(self, scope: str, budget: Budget) -> None:
        amount = describe("budget_usd" if budget.is_usd else "budget", budget.amount)
        percent = 100 * (budget.warn_at or 0) // budget.amount
        self._log(f"`{scope}` has used {percent} % of its budget of {amount} per {budget.per}")

    def _uncounted(self, error: Exception) -> GatewayError:
        self.refused[0] += 1
        return limits_unavailable(error)


def scopes_of(caller: Caller, names: Sequence[str]) -> Sequence[Scope]:
    """What limits a request of `caller`: its key, the model that has these `names`, and its account."""
    further = None if caller.limits is None else caller.limits.for_model(names)
    if further is None:
        return caller.scopes
    own, *of_account = caller.scopes
    return own, (f"{caller.name} {further[0]}", further[1]), *of_account


def free_scopes(scopes: Sequence[Scope]) -> Sequence[Scope]:
    """What of these limits requests that cost nothing and use no tokens."""
    return [(name, free) for name, limits in scopes if (free := limits.for_free) is not None]


def estimate_of(endpoint: Endpoint, body: RequestBody, size: int | None) -> tuple[int, int]:
    """The most input and output tokens that a request may plausibly use.

    Raises:
        GatewayError: `duplicate_field`; `not_allowed` where nobody will know what it has used.
    """
    if size is None or size > MAX_ENCODED:
        size = body.text_size()
    input_tokens = estimated_input(size)
    usage = endpoint.usage
    if usage is not None and usage.unmetered:
        refuse_unmetered(body, usage.unmetered)
    if usage is not None and usage.output_limit is not None:
        return input_tokens, output_limit(body, usage.output_limit)
    return input_tokens, OUTPUT_TOKENS if usage is None or usage.has_output else 0
