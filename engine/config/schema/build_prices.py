"""Makes a PriceFile of prices.yaml, once all of it passed the schema."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from engine.config.prices import ABOVE, THOUSAND, PriceEntry, PriceFile, exact
from engine.config.source.document import Path

DIGEST = 8  # hex digits


def build_prices(data: Mapping[str, Any]) -> PriceFile:
    text = json.dumps(data, sort_keys=True)
    entries = [*_tables((), None, data)]
    for tier, tables in data.get("service_tiers", {}).items():
        entries += _tables(("service_tiers", tier), tier, tables)
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST]
    return PriceFile(data["source"], data["date"], digest, tuple(entries))


def _tables(at: Path, tier: str | None, tables: Mapping[str, Any]) -> Iterator[PriceEntry]:
    yield from _entries((*at, "models"), tier, None, tables.get("models", {}))
    for provider, models in tables.get("providers", {}).items():
        yield from _entries((*at, "providers", provider), tier, provider, models)


def _entries(
    at: Path, tier: str | None, provider: str | None, models: Mapping[str, Any]
) -> Iterator[PriceEntry]:
    for pattern, price in models.items():
        above = {
            int(tokens.removesuffix("k")) * THOUSAND: _usd(dearer)
            for tokens, dearer in price.get(ABOVE, {}).items()
        }
        yield PriceEntry((*at, pattern), provider, pattern, _usd(price), tier, above)


def _usd(price: Mapping[str, Any]) -> Mapping[str, Decimal]:
    return {key: exact(number) for key, number in price.items() if key != ABOVE}
