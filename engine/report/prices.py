"""Prices as text: a prices.yaml, what an import has done, and the price of a model."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from engine.config.listed_prices import Cost
from engine.config.price_lists import NO_PROVIDER, Imported
from engine.config.prices import ABOVE, UNITS, plain, thousands

MAX_NAMES = 8
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


def render_prices(imported: Imported, source: str, date: str) -> str:
    """The text of a prices.yaml."""
    lines = ["version: 1", f"source: {json.dumps(source, ensure_ascii=False)}", f"date: {date}", ""]
    lines += _providers(imported.prices, "") if imported.prices else ["providers: {}"]
    if imported.tiers:
        lines.append("service_tiers:")
    for tier, costs in sorted(imported.tiers.items()):
        lines += [f"  {_name(tier)}:", *_providers(costs, "    ")]
    return "\n".join(lines) + "\n"


def _providers(costs: Mapping[str, Mapping[str, Cost]], indent: str) -> Iterator[str]:
    yield f"{indent}providers:"
    for provider in sorted(costs):
        yield f"{indent}  {provider}:"
        for model, cost in sorted(costs[provider].items()):
            parts = [_numbers(cost.usd)]
            if cost.above:
                above = (f"{thousands(n)}: {{{_numbers(usd)}}}" for n, usd in cost.above.items())
                parts.append(f"{ABOVE}: {{{', '.join(above)}}}")
            yield f"{indent}    {_name(model)}: {{{', '.join(parts)}}}"


def _numbers(usd: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{key}: {plain(usd[key])}" for key in UNITS if key in usd)


def _name(model: str) -> str:
    is_bare = _BARE.fullmatch(model) and model.lower() not in _WORDS
    return model if is_bare else json.dumps(model, ensure_ascii=False)


def render_imported(imported: Imported) -> Iterator[str]:
    """Lines: what was written, and what was skipped and why."""
    written = sum(map(len, imported.prices.values()))
    tiers = f", and those of {_listed(imported.tiers)}" if imported.tiers else ""
    yield f"{written} prices of {len(imported.prices)} providers{tiers}"
    for reason, names in sorted(imported.skipped.items(), key=lambda item: -len(item[1])):
        what = list(dict.fromkeys(names))
        kind = "providers " if reason == NO_PROVIDER else ""
        yield f"skipped {_models(names)}: {reason}: {kind}{_few(what)}"
    for kind, names in sorted(imported.left_out.items(), key=lambda item: -len(item[1])):
        yield f"left out of {_models(names)}: prices of {kind}: {_few(names)}"


def _listed(tiers: Iterable[str]) -> str:
    names = sorted(tiers)
    return f"service tier {names[0]}" if len(names) == 1 else f"service tiers {', '.join(names)}"


def _models(names: list[str]) -> str:
    return f"{len(names)} model" + ("" if len(names) == 1 else "s")


def _few(names: list[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
