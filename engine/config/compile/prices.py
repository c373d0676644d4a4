"""prices.yaml as the Prices of the Plan: integers, and the longest start first."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from engine.config.prices import PriceEntry, PriceFile
from engine.config.source.document import Path
from engine.plan.prices import MILLION, ModelPrices, Price, Prices, PriceTable

_CACHE = ("cached_tokens", "cache_write_tokens")


def compile_prices(declared: PriceFile | None, lines: Mapping[Path, str]) -> Prices | None:
    """The Prices of the Plan; `lines` has the place of each entry."""
    if declared is None:
        return None
    tiers = dict.fromkeys(e.tier for e in declared.entries if e.tier is not None)
    return Prices(
        version=f"{declared.date}-{declared.digest}",
        source=declared.source,
        standard=_table(declared.entries, None, lines),
        tiers=MappingProxyType({tier: _table(declared.entries, tier, lines) for tier in tiers}),
    )


def _table(
    entries: Iterable[PriceEntry], tier: str | None, lines: Mapping[Path, str]
) -> PriceTable:
    of_tier = [e for e in entries if e.tier == tier]
    names = dict.fromkeys(e.provider for e in of_tier if e.provider is not None)
    return PriceTable(
        anywhere=_models((e for e in of_tier if e.provider is None), lines),
        providers=MappingProxyType(
            {n: _models((e for e in of_tier if e.provider == n), lines) for n in names}
        ),
    )


def _models(entries: Iterable[PriceEntry], lines: Mapping[Path, str]) -> ModelPrices:
    exact: dict[str, Price] = {}
    prefixes: list[tuple[str, Price]] = []
    for entry in entries:
        price = _price(entry, lines[entry.at])
        if entry.pattern.endswith("*"):
            prefixes.append((entry.pattern[:-1], price))
        else:
            exact[entry.pattern] = price
    prefixes.sort(key=lambda item: -len(item[0]))
    return ModelPrices(MappingProxyType(exact), tuple(prefixes))


def _price(entry: PriceEntry, where: str) -> Price:
    nano_usd = entry.nano_usd()
    request = nano_usd.pop("requests", 0) // MILLION
    for name in _CACHE:
        if name in nano_usd and "input_tokens" in nano_usd:
            nano_usd[name] -= nano_usd["input_tokens"]
    return Price(MappingProxyType(nano_usd), request, where)
