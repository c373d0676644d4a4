"""Prices of models, in integers, and what a request costs by them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

MILLION = 1_000_000
_CACHE = ("cached_tokens", "cache_write_tokens")


@dataclass(frozen=True, slots=True)
class Price:
    """Billionths of a dollar for a million of each count of `plan.usage`.

    Tokens of the cache without a price of their own cost as much as other input.
    """

    nano_usd: Mapping[str, int]

    def cost(self, counts: Mapping[str, int]) -> int | None:
        """Billionths of a dollar for what was counted, rounded; None when a price is missing."""
        nano_usd = self.nano_usd
        rest = dict(counts)
        if "input_tokens" in rest:
            rest["input_tokens"] -= sum(rest.get(name, 0) for name in _CACHE if name in nano_usd)
        priced = {name: number for name, number in rest.items() if name in nano_usd}
        missing = {"input_tokens", "output_tokens"} & {
            n for n, number in rest.items() if number > 0
        }
        has_tokens = "input_tokens" in nano_usd or "output_tokens" in nano_usd
        if not priced or (has_tokens and not missing <= nano_usd.keys()):
            return None
        sums = sum(number * nano_usd[name] for name, number in priced.items())
        return (max(sums, 0) + MILLION // 2) // MILLION


@dataclass(frozen=True, slots=True)
class ProviderPrices:
    """The prices of one provider, by the names of models that it gets. `prefixes`: the longest first."""

    exact: Mapping[str, Price]
    prefixes: tuple[tuple[str, Price], ...] = ()

    def find(self, model: str) -> Price | None:
        price = self.exact.get(model)
        if price is None:
            price = next((p for prefix, p in self.prefixes if model.startswith(prefix)), None)
        return price


@dataclass(frozen=True, slots=True)
class Prices:
    """All prices. `date` is that of prices.yaml, empty without one."""

    date: str = ""
    providers: Mapping[str, ProviderPrices] = field(default_factory=lambda: MappingProxyType({}))

    def find(self, provider: str | None, model: str | None) -> Price | None:
        """The price of a model as sent to a provider; None when it is not known."""
        of = self.providers.get(provider or "")
        return None if of is None or model is None else of.find(model)


NO_PRICES = Prices()
