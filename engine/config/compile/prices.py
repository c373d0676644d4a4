"""prices.yaml as the Prices of the Plan: integers, and the longest start first."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

from engine.config.prices import PriceEntry, PriceFile, nano_usd
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
        general=_models((e for e in of_tier if e.provider is None), lines),
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
    """The price of an entry. Above so many tokens what is left out costs as it does with fewer."""
    above: tuple[tuple[int, Price], ...] = ()
    usd = dict(entry.usd)
    for tokens, dearer in sorted(entry.above.items()):
        usd |= dearer
        above = ((tokens, _without_above(usd, where)), *above)
    return replace(_without_above(entry.usd, where), above=above)


def _without_above(usd: Mapping[str, Decimal], where: str) -> Price:
    found = nano_usd(usd)
    request = found.pop("requests", 0) // MILLION
    for name in _CACHE:
        if name in found and "input_tokens" in found:
            found[name] -= found["input_tokens"]
    return Price(MappingProxyType(found), request, where)
