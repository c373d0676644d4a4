"""Reads public price lists in JSON: LiteLLM's and models.dev's. Pure functions.

A list of the first kind is an object of models, with US dollars for one token or unit; one of the
second an object of providers, with US dollars for a million tokens. Both get new fields often: what
may cost more and cannot be taken is named, all else is ignored.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from engine.config.prices import THOUSAND
from engine.plan.prices import MILLION

Usd = Mapping[str, Decimal]
_MAX_INPUT = 999_999 * THOUSAND  # tokens, as the schema has it
_EXACT = Decimal("0.000000001")  # prices are rounded to this
_TEXT = tuple(f"{kind}_usd_per_million" for kind in ("input", "cached_input", "cache_write", "output"))  # fmt: skip
_PER_TOKEN = dict(zip(
    ("input_cost_per_token", "cache_read_input_token_cost", "cache_creation_input_token_cost", "output_cost_per_token"),
    _TEXT, strict=True,
))  # fmt: skip
_PER_MILLION = dict(zip(("input", "cache_read", "cache_write", "output"), _TEXT, strict=True))
# Of lists of the first kind: the name of a price says for which input and service tier it is.
_KEY = re.compile(rf"({'|'.join(_PER_TOKEN)})(?:_above_([0-9]+)k_tokens)?(?:_([a-z]+))?")
_TIERS = {"batches": "batch", None: ""}  # whose name is another one
# Prices of other units, and the kind of model that has them.
_PER_UNIT = (
    ("output_cost_per_image", "image_generation", "usd_per_image", 1),
    ("input_cost_per_image", "embedding", "usd_per_image", 1),
    ("ocr_cost_per_page", "ocr", "usd_per_page", 1),
    ("input_cost_per_query", "rerank", "usd_per_search_unit", 1),
    ("input_cost_per_second", "audio_transcription", "usd_per_second", 1),
    ("input_cost_per_character", "audio_speech", "usd_per_million_characters", MILLION),
)
_MULTIPLIERS = "provider_specific_entry"
# What is left out, by a pattern in the names of its prices; the first that fits. None: costs no more than what is taken.
_LEFT_OUT = (
    ("_cache_hit", None),
    ("_above_[0-9]+hr", "caches that are kept for an hour or longer"),
    ("audio", "audio"),
    ("reasoning", "reasoning that costs more than other output"),
    ("search", "searches"),
    ("image", "images"),
    ("uplift", "regions"),
    ("_above_", "other long contexts"),
    ("cost", "other units"),
)


class PriceListError(ValueError):
    """A text is no list of a kind that is known here."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The prices of a model in one service tier, and those that it has above so many input tokens."""

    usd: Usd
    above: Mapping[int, Usd] = field(default_factory=dict)

    @property
    def every(self) -> Iterator[Usd]:
        """All of its prices."""
        yield self.usd
        yield from self.above.values()

    def times(self, factor: Decimal) -> "Cost":
        """The same at a multiple of these prices."""
        above = {tokens: _times(usd, factor) for tokens, usd in self.above.items()}
        return Cost(_times(self.usd, factor), above)


@dataclass(frozen=True, slots=True)
class Listed:
    """A model of a list. `tiers` has its costs in other service tiers, `left_out` what is not taken.

    `is_unreadable`: one of its prices is no number, such as a text, null or NaN.
    """

    provider: str
    model: str
    cost: Cost
    tiers: Mapping[str, Cost] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    is_unreadable: bool = False


def read_price_list(text: bytes) -> list[Listed]:
    """The models of a list.

    Raises:
        PriceListError: it is none.
    """
    try:
        data = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise PriceListError("it is not JSON") from None
    values = list(data.values()) if isinstance(data, dict) else []
    if any(isinstance(v, dict) and isinstance(v.get("models"), dict) for v in values):
        return list(_by_provider(data))
    if any(isinstance(v, dict) and "litellm_provider" in v for v in values):
        return list(_by_model(data))
    raise PriceListError(
        "it is neither a list of models by LiteLLM nor one of providers by models.dev"
    )


# -- models with prices of one token -----------------------------------------------------------------


def _by_model(data: Mapping[str, Any]) -> Iterator[Listed]:
    for name, entry in data.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("litellm_provider"), str):
            continue
        if name == "sample_spec":
            continue
        found, units, rest = _Found(), {}, []
        for key, value in _flat(entry):
            if (parts := _KEY.fullmatch(key)) is not None:
                least = int(parts[2] or 0) * THOUSAND
                found.add(
                    _TIERS.get(parts[3], parts[3]), least, _PER_TOKEN[parts[1]], value, MILLION
                )
            elif (unit := _unit(key, entry.get("mode"))) is not None:
                units[unit[0]] = found.number(value, unit[1])
            else:
                rest.append((key, value))
        usd = {key: number for key, number in units.items() if number is not None}
        cost, tiers = found.costs(usd)
        multiples = entry.get(_MULTIPLIERS)
        for of, multiple in multiples.items() if isinstance(multiples, dict) else ():
            number = _number(multiple)
            if of == "fast" and number is not None:
                tiers[of] = cost.times(number)
            else:
                rest.append((f"{of}_uplift" if len(of) == 2 else f"{of}_cost", multiple))  # us, eu
        left_out = _left_out(rest, entry.get("output_cost_per_token"))
        yield Listed(entry["litellm_provider"], name, cost, tiers, left_out, found.is_unreadable)


def _flat(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and prices, those of ranges of input by the names that they have elsewhere."""
    ranges = entry.get("tiered_pricing")
    for each in ranges if isinstance(ranges, list) else ():
        if isinstance(each, dict) and isinstance(each.get("range"), list) and each["range"]:
            least = _number(each["range"][0])
            if least is None or 0 < least < THOUSAND or least > _MAX_INPUT:
                continue
            suffix = f"_above_{int(least) // THOUSAND}k_tokens" if least else ""
            yield from ((f"{key}{suffix}", each[key]) for key in _PER_TOKEN if key in each)
    yield from entry.items()


def _unit(key: str, mode: Any) -> tuple[str, int] | None:
    for theirs, of_mode, ours, factor in _PER_UNIT:
        if (key, mode) == (theirs, of_mode):
            return ours, factor
    return None


# -- providers with prices of a million tokens -------------------------------------------------------


def _by_provider(data: Mapping[str, Any]) -> Iterator[Listed]:
    for provider, about in data.items():
        models = about.get("models") if isinstance(about, dict) else None
        for name, entry in (models if isinstance(models, dict) else {}).items():
            cost = entry.get("cost") if isinstance(entry, dict) else None
            cost = cost if isinstance(cost, dict) else {}
            found = _Found()
            rest = found.add_all("", 0, cost)
            for least, dearer in _contexts(cost):
                rest += found.add_all("", least, dearer)
            for tier, dearer in _modes(entry):
                rest += found.add_all(tier, 0, dearer)
            ordinary, tiers = found.costs({})
            left_out = _left_out(((f"{key}_cost", v) for key, v in rest), cost.get("output"))
            yield Listed(provider, name, ordinary, tiers, left_out, found.is_unreadable)


def _contexts(cost: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The prices of long contexts. `context_over_200k` is an older form, also of higher numbers."""
    tiers = cost.get("tiers")
    sized = [each for each in tiers if isinstance(each, dict)] if isinstance(tiers, list) else []
    for each in sized:
        size = each["tier"].get("size") if isinstance(each.get("tier"), dict) else None
        if isinstance(size, int) and size >= THOUSAND:
            yield size // THOUSAND * THOUSAND, {k: v for k, v in each.items() if k != "tier"}
    older = cost.get("context_over_200k")
    if isinstance(older, dict) and not sized:
        yield 200 * THOUSAND, older


def _modes(entry: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The prices of service tiers, by what a request asks for in one field of its body."""
    about = entry.get("experimental") if isinstance(entry, dict) else None
    modes = about.get("modes") if isinstance(about, dict) else None
    for mode in modes.values() if isinstance(modes, dict) else ():
        asked = mode.get("provider") if isinstance(mode, dict) else None
        body = asked.get("body") if isinstance(asked, dict) else None
        names = [*body.values()] if isinstance(body, dict) else []
        if len(names) == 1 and isinstance(names[0], str) and isinstance(mode.get("cost"), dict):
            yield names[0], mode["cost"]


# -- both --------------------------------------------------------------------------------------------


class _Found:
    """Prices of one model as they are found, by their service tier and the least input."""

    def __init__(self) -> None:
        self.is_unreadable = False
        self._usd: dict[tuple[str, int], dict[str, Decimal]] = {}

    def number(self, value: Any, factor: int) -> Decimal | None:
        """A price. One that is no number leaves the price of the model incomplete."""
        number = _number(value)
        if number is None:
            self.is_unreadable = True
            return None
        return _rounded(number * factor)

    def add(self, tier: str, least: int, key: str, value: Any, factor: int) -> None:
        """Take a price. A later one wins."""
        number = self.number(value, factor)
        if least > _MAX_INPUT:
            return
        if number or (number is not None and not tier and not least):  # other zeros mean unknown
            self._usd.setdefault((tier, least), {})[key] = number

    def add_all(self, tier: str, least: int, cost: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Take the prices of an object; the others of it."""
        for key in _PER_MILLION.keys() & cost.keys():
            self.add(tier, least, _PER_MILLION[key], cost[key], 1)
        others = ((key, value) for key, value in cost.items() if key not in _PER_MILLION)
        return [(key, value) for key, value in others if not isinstance(value, dict | list)]

    def costs(self, units: Usd) -> tuple[Cost, dict[str, Cost]]:
        """The ordinary cost, and those of other tiers. No price that is missing is taken for a lower one.

        A tier costs what it does not say as the ordinary one, and with a long context as the dearer
        of what that tier, and such a context, cost otherwise.
        """
        usd = dict(units) | self._usd.get(("", 0), {})
        leasts = sorted({least for _, least in self._usd if least})
        ordinary = Cost(usd, self._chain("", [n for n in leasts if ("", n) in self._usd], usd, {}))
        tiers = {}
        for tier in dict.fromkeys(tier for tier, _ in self._usd if tier):
            of_tier = usd | self._usd.get((tier, 0), {})
            tiers[tier] = Cost(of_tier, self._chain(tier, leasts, of_tier, ordinary.above))
        return ordinary, tiers

    def _chain(
        self, tier: str, leasts: Iterable[int], usd: Usd, others: Mapping[int, Usd]
    ) -> dict[int, Usd]:
        made: dict[int, Usd] = {}
        for least in leasts:
            other = others.get(least, {})
            known = {key: max(usd.get(key, Decimal(0)), other.get(key, Decimal(0))) for key in (*usd, *other) if key in _TEXT}  # fmt: skip
            usd = made[least] = known | self._usd.get((tier, least), {})
        return made


def _left_out(rest: Iterable[tuple[str, Any]], output: Any) -> list[str]:
    """What costs something that is not taken."""
    found: dict[str, None] = {}
    for key, value in rest:
        kind = next((kind for pattern, kind in _LEFT_OUT if re.search(pattern, key)), None)
        number = _number(value)
        is_cost = isinstance(value, dict) or bool(number)
        if kind and is_cost and not ("reasoning" in key and number == _number(output)):
            found[kind] = None
    return [*found]


def _times(usd: Usd, factor: Decimal) -> Usd:
    return {k: _rounded(n * factor) if k in _TEXT else n for k, n in usd.items()}


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return Decimal(value)


def _rounded(number: Decimal) -> Decimal:
    """To billionths of a dollar: lists have digits that arithmetic left there."""
    if not number.is_finite() or abs(number) >= MILLION:
        return number
    return number.quantize(_EXACT, ROUND_HALF_UP)
