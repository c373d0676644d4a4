"""Prices as text: a prices.yaml, what an import has done, and the price of a model."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from engine.config.price_lists import NO_PROVIDER, Imported
from engine.config.prices import plain

MOST_NAMES = 8
_BARE = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*(?::[A-Za-z0-9._-]+)*")
_WORDS = {
    "true",
    "false",
    "null",
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
}  # which YAML may read otherwise


def render_prices(
    prices: Mapping[str, Mapping[str, Mapping[str, Decimal]]], source: str, date: str
) -> str:
    """The text of a prices.yaml."""
    lines = ["version: 1", f"source: {json.dumps(source, ensure_ascii=False)}", f"date: {date}", ""]
    lines.append("providers:" if prices else "providers: {}")
    for provider in sorted(prices):
        lines.append(f"  {provider}:")
        for model, usd in sorted(prices[provider].items()):
            numbers = ", ".join(f"{key}: {plain(number)}" for key, number in usd.items())
            lines.append(f"    {_name(model)}: {{{numbers}}}")
    return "\n".join(lines) + "\n"


def _name(model: str) -> str:
    is_bare = _BARE.fullmatch(model) and model.lower() not in _WORDS
    return model if is_bare else json.dumps(model, ensure_ascii=False)


def render_imported(imported: Imported) -> Iterator[str]:
    """Lines: what was written, and what was skipped and why."""
    written = sum(map(len, imported.prices.values()))
    yield f"{written} prices of {len(imported.prices)} providers"
    for reason, names in sorted(imported.skipped.items(), key=lambda item: -len(item[1])):
        what = list(dict.fromkeys(names))
        kind = "providers " if reason == NO_PROVIDER else ""
        yield f"skipped {_models(names)}: {reason}: {kind}{_few(what)}"
    if imported.tiers:
        yield f"{_models(imported.tiers)} with surcharges, as for long contexts, which are not counted here: {_few(imported.tiers)}"


def _models(names: list[str]) -> str:
    return f"{len(names)} model" + ("" if len(names) == 1 else "s")


def _few(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
