"""What a request may cost, for budgets in US dollars: the most that is plausible, over all of its targets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.inbound.text_size import MAX_ENCODED
from engine.gateway.inbound.usage_fields import asks_for_tier, responses
from engine.gateway.record import Record
from engine.gateway.response.cost import was_refused, was_sent
from engine.limits.core import Scope
from engine.plan.plan import Endpoint, Plan
from engine.plan.prices import Price, Prices
from engine.plan.usage import UNITS, OutputLimit
from engine.upstream.cache import BoundedCache

# What a large model may write; smaller ones are faster, and cheaper. What other responses took would be measured by one
# worker, and its memory: by this figure everybody can reckon what a request was charged from its record.
TOKENS_A_SECOND = 100
MAX_KNOWN = 1024 * 1024  # bytes of models with their prices
MAX_ENTRY = 16 * 1024


class CostReserve:
    """What requests of one Plan may cost; the prices of a model are found once, as it may have many rules."""

    def __init__(self, plan: Plan | None = None) -> None:
        self._plan = plan
        self._known: BoundedCache[tuple[str, str, bool], tuple[Price | None, ...]] = BoundedCache(
            MAX_KNOWN, MAX_ENTRY
        )

    def cost(  # noqa: PLR0913, PLR0917 all that the cost of a request depends on
        self,
        endpoint: Endpoint,
        model: str,
        body: RequestBody,
        tokens: Sequence[int],
        size: int | None,
        scopes: Sequence[Scope],
    ) -> int:
        """Billionths of a dollar to reserve for a request of `size` bytes with these input and output tokens.

        Where it asks for a service tier other than the ordinary one, the prices of all tiers are plausible.

        Raises:
            GatewayError: `not_allowed` where a price is not known, and a budget refuses that; `duplicate_field`.
        """
        usage = endpoint.usage
        places = None if usage is None else usage.tier
        in_tiers = places is not None and asks_for_tier(body, places)
        found = self._prices(endpoint.name, model, in_tiers)
        limit = None if usage is None else usage.output_limit
        units = dict.fromkeys(UNITS, 1 if limit is None else responses(body, limit))
        if usage is not None:
            units |= usage.units_of(MAX_ENCODED if size is None else size)
        costs = [_plausible(price, tokens, units) for price in found]
        known = [cost for cost, _ in costs]
        if costs and all(is_whole for _, is_whole in costs):
            return max(known)
        budgets = [budget for _, limits in scopes for budget in limits.budgets if budget.is_usd]
        charges = [budget.unpriced for budget in budgets if budget.unpriced is not None]
        if len(charges) < len(budgets):
            message = (
                "this API key has a budget in US dollars, and the price of this model is not known"
                + (" in this service tier" if in_tiers else "")
            )
            raise GatewayError("not_allowed", message, param="model")
        return max((*charges, *known), default=0)

    def _prices(self, endpoint: str, model: str, in_tiers: bool) -> Sequence[Price | None]:  # noqa: FBT001 part of a key
        """The different prices of the model at all of its targets; nothing where it leads nowhere."""
        key = endpoint, model, in_tiers
        found = self._known.get(key)
        if found is None:
            found = () if self._plan is None else tuple(_prices(self._plan, *key))
            self._known.put(key, found, len(endpoint) + len(model) + 8 * len(found))
        return found


@dataclass(frozen=True, slots=True)
class ReserveCorrection:
    """How many responses a form asks for, `before` of them when it was admitted."""

    body: RequestBody
    limit: OutputLimit
    before: int

    def of(self, reserved: int) -> int:
        """What would have been reserved for all that it asks for."""
        return reserved * responses(self.body, self.limit) // self.before


def reserve_correction(endpoint: Endpoint, body: RequestBody) -> ReserveCorrection | None:
    """For a body that is still to come and may ask for more responses; None for one that is whole."""
    limit = None if endpoint.usage is None else endpoint.usage.output_limit
    if limit is None or body.complete:
        return None
    return ReserveCorrection(body, limit, responses(body, limit))


def _prices(plan: Plan, endpoint: str, model: str, in_tiers: bool) -> Iterable[Price | None]:  # noqa: FBT001 as above
    every: dict[int, Price | None] = {}
    for decision in plan.possible_decisions(endpoint, model):
        if decision.provider is not None:
            name = decision.provider.name, decision.sent_model
            found = _in_tiers(plan.prices, *name) if in_tiers else [_ordinary(plan.prices, *name)]
            every |= {id(price): price for price in found}
    return every.values()


def _ordinary(prices: Prices | None, provider: str, model: str) -> Price | None:
    return None if prices is None else prices.find(provider, model)


def _in_tiers(prices: Prices | None, provider: str, model: str) -> Sequence[Price | None]:
    """The prices in all tiers that have one, and the ordinary one, as a provider may fall back to that."""
    tiers = () if prices is None else prices.tiers.values()
    found = [price for table in tiers if (price := table.find(provider, model)) is not None]
    return [_ordinary(prices, provider, model), *(found or (None,))]


def _plausible(
    price: Price | None, tokens: Sequence[int], units: Mapping[str, int]
) -> tuple[int, bool]:
    """The known cost of the tokens, or of the units where tokens are not billed, and whether that is all of it.

    A price of input or of output alone, where a response has both, is not all of it.
    """
    if price is None:
        return 0, False
    counts = {"input_tokens": tokens[0], "output_tokens": tokens[1]}
    cost, is_part = price.known_part(counts)
    billed = {name: units[name] for name in price.nano_usd if name in units}
    if billed and price.cost(counts) is None:
        return max(cost, price.cost(billed) or 0), True
    return cost, not is_part


def used_cost(record: Record, reserved: int, estimate: Sequence[int] = ()) -> int:
    """Billionths of a dollar that a request has cost; what was reserved where that is not known.

    `estimate` are the tokens for which so much was reserved. In a service tier without a price, more tokens cost more.

    A cost of output alone, whose input was not reported, is never less than what was reserved, nor is
    that of a response of which too little has come.
    """
    cost = record.cost_nano_usd
    if cost is not None:
        is_part = record.input_tokens is None and record.output_tokens is not None
        if is_part or is_unseen(record):
            return max(cost, reserved)
        if (hidden := hidden_output(record)) and any(estimate[1:2]):
            return max(cost, min(cost + -(-reserved * hidden // estimate[1]), reserved))
        return cost
    if not was_sent(record) or was_refused(record):
        return 0
    if not isinstance(record.service_tier, str):
        return reserved
    tokens = record.input_tokens or 0, record.output_tokens or 0
    costs = (
        -(-reserved * used // held) for used, held in zip(tokens, estimate, strict=False) if held
    )
    return max(reserved, *costs)


def is_unseen(record: Record) -> bool:
    """Whether a request was processed, perhaps, whose response broke off before an event or before its end.

    So what has come of it shows nothing of the output that the provider bills.
    """
    is_over = record.outcome == "ok" or record.ttft_ms is not None
    return not is_over and was_sent(record) and not was_refused(record)


def hidden_output(record: Record) -> int:
    """Tokens that a request may have been billed for of which nothing has come, by the time that they take.

    All of its time where nothing was seen; else that in which a stream stood still before it broke off,
    since a model that reasons may show none of it.
    """
    seconds = 0.0
    if is_unseen(record):
        seconds = ((record.ms_total or 0) - (record.ms_engine or 0)) / 1000
    elif isinstance(record.ms_silent, float):
        seconds = record.ms_silent / 1000
    return ceil(seconds * TOKENS_A_SECOND)
