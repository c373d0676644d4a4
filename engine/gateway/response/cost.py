"""What a request has cost, by its counts and the price of its model."""

from collections.abc import Mapping
from types import MappingProxyType

from engine.gateway.errors import CATALOGUE
from engine.gateway.record import Record, RecordBuilder
from engine.plan.prices import NANO, Prices

_CLIENT_ERROR = 400
_NOTHING: Mapping[str, int] = MappingProxyType({})


def record_cost(record: RecordBuilder, prices: Prices) -> None:
    """Record the cost of a request that is over, and the version of the prices; of a bug in it, only where it is."""
    try:
        record.price_version = prices.version
        nano_usd = cost_of(record, prices)
        record.cost_usd = None if nano_usd is None else nano_usd / NANO
    except Exception:  # noqa: BLE001 the caller has the response
        record.set_bug()


def cost_of(record: RecordBuilder, prices: Prices) -> int | None:
    """Billionths of a dollar; None when the price of the model in its service tier, or what was used, is not known.

    Nothing is what was not sent costs, and what the provider refused.
    """
    metered = record.state.metered
    counts = _NOTHING if metered is None else metered.counts
    if not counts and (not was_sent(record) or was_refused(record)):
        return 0
    price = record.state.price
    if metered is not None and metered.tier is not None:
        price = prices.find(record.provider or "", record.sent_model or "", metered.tier)
    return None if price is None else price.cost(counts)


def was_sent(record: Record | RecordBuilder) -> bool:
    """Whether a provider may have processed the request."""
    error = record.error
    return record.attempts > 0 and (error is None or CATALOGUE[error].sent)


def was_refused(record: Record | RecordBuilder) -> bool:
    """Whether the provider has responded with an error, and so bills nothing."""
    return record.error is None and (record.status or 0) >= _CLIENT_ERROR
