"""Prices of models in integers, and what a request costs by them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.plan.usage import COUNTS

MILLION = 1_000_000
NANO = 1_000_000_000
_HALF = MILLION // 2
_BILLED_BY_TOKENS = frozenset({"input_tokens", "output_tokens"})


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs. `where` is its line (`prices.yaml:12`).

    `nano_usd` has billionths of a dollar for a million of each count. As `input_tokens` include
    `cached_tokens` and `cache_write_tokens`, these have the difference from other input, which may be
    negative. `request` are billionths of a dollar for each request. `above` has the prices of requests
    with more input tokens than so many, the highest number first.
    """

    nano_usd: Mapping[str, int]
    request: int = 0
    where: str = ""
    above: tuple[tuple[int, "Price"], ...] = ()
    _rates: dict[str, int | None] = field(init=False, repr=False)  # of every count; see `cost`

    def __post_init__(self) -> None:
        by_tokens = not _BILLED_BY_TOKENS.isdisjoint(self.nano_usd)
        rates: dict[str, int | None] = dict.fromkeys(COUNTS, 0)
        rates |= dict.fromkeys(_BILLED_BY_TOKENS, None if by_tokens else 0)
        object.__setattr__(self, "_rates", rates | dict(self.nano_usd))

    def cost(self, counts: Mapping[str, int]) -> int | None:
        """Billionths of a dollar for what was counted, rounded to the nearest, half of one up.

        None when nothing that has a price was counted, or when tokens are counted that have none. Input
        is at least the tokens of the cache, so that each reported token costs no less than its own price.
        """
        of_cache = counts.get("cached_tokens", 0) + counts.get("cache_write_tokens", 0)
        if of_cache > counts.get("input_tokens", 0):
            counts = {**counts, "input_tokens": of_cache}
        if self.above and (dearer := self._above(counts)) is not None:
            return dearer.cost(counts)
        rates: Any = self._rates
        total = 0
        try:
            for name, count in counts.items():
                total += count * rates[name]
        except TypeError:  # tokens without a price, which matter unless there are none
            priced = {name: count for name, count in counts.items() if rates[name] is not None}
            unpriced = counts.keys() - priced.keys()
            return None if any(counts[name] for name in unpriced) else self.cost(priced)
        if total > 0:
            return (total + _HALF) // MILLION + self.request
        is_counted = not self.nano_usd or not self.nano_usd.keys().isdisjoint(counts)
        return self.request if is_counted else None

    def _above(self, counts: Mapping[str, int]) -> "Price | None":
        """The price of so much input, if it has another one."""
        tokens = counts.get("input_tokens", 0)
        return next((price for least, price in self.above if tokens > least), None)

    def known_part(self, counts: Mapping[str, int]) -> tuple[int, bool]:
        """The cost of the counts that have a price, and whether tokens without one are among the others."""
        dearer = self._above(counts)
        if dearer is not None:
            return dearer.known_part(counts)
        priced = {name: count for name, count in counts.items() if self._rates[name] is not None}
        is_part = any(count for name, count in counts.items() if name not in priced)
        return self.cost(priced) or 0, is_part


FREE = Price({}, where="usage: free")


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """Prices by the names of models that a provider gets. `prefixes`: the longest first."""

    exact: Mapping[str, Price]
    prefixes: tuple[tuple[str, Price], ...] = ()

    def find(self, model: str) -> Price | None:
        """The price of the full name, or that of the longest start."""
        price = self.exact.get(model)
        if price is None:
            price = next((p for prefix, p in self.prefixes if model.startswith(prefix)), None)
        return price


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices of models at any provider, and those of single providers, which win."""

    general: ModelPrices
    providers: Mapping[str, ModelPrices]

    def find(self, provider: str, model: str) -> Price | None:
        """The price of a model as it is sent to a provider; None when it is not known."""
        own = self.providers.get(provider)
        price = None if own is None else own.find(model)
        return self.general.find(model) if price is None else price


@dataclass(frozen=True, slots=True)
class Prices:
    """All of prices.yaml: the ordinary prices, and those of other service tiers by their names.

    `version` is its date with a digest of the prices.
    """

    version: str
    source: str
    standard: PriceTable
    tiers: Mapping[str, PriceTable] = field(default_factory=dict)

    def find(self, provider: str, model: str, tier: str | None = None) -> Price | None:
        """The price of a model as it is sent to a provider, by default the ordinary one; None when it is not known."""
        table = self.standard if tier is None else self.tiers.get(tier)
        return None if table is None else table.find(provider, model)
