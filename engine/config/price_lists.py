"""Public price lists in JSON as entries of prices.yaml: LiteLLM's and models.dev's. Pure functions.

A list of the first kind is an object of models, with US dollars for one token or unit; one of the
second an object of providers, with US dollars for a million tokens. Fields that are not known here
are ignored, since both get new ones often.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from engine.config.checks.prices import SentNames, sent_names
from engine.config.model import Config
from engine.config.prices import UNITS, PriceEntry, price_problems
from engine.config.source.document import parse_document
from engine.plan.prices import MILLION

_NAMES = Path(__file__).with_name("price_lists.yaml")
_EXACT = Decimal("0.000000001")  # prices are rounded to this
_MOST = {MILLION: 10_000, 1: 1000}  # as the schema has it, in US dollars
_TEXT = ("input", "cached_input", "cache_write", "output")
_PER_TOKEN = (
    "input_cost_per_token", "cache_read_input_token_cost", "cache_creation_input_token_cost", "output_cost_per_token",
)  # fmt: skip
_PER_MILLION = ("input", "cache_read", "cache_write", "output")
# Of lists of the first kind: prices of other units, and the kind of model that has them.
_PER_UNIT = (
    ("output_cost_per_image", "image_generation", "usd_per_image", 1),
    ("input_cost_per_image", "embedding", "usd_per_image", 1),
    ("ocr_cost_per_page", "ocr", "usd_per_page", 1),
    ("input_cost_per_query", "rerank", "usd_per_search_unit", 1),
    ("input_cost_per_second", "audio_transcription", "usd_per_second", 1),
    ("input_cost_per_character", "audio_speech", "usd_per_million_characters", MILLION),
)
NO_PROVIDER = "no provider of providers.yaml has this name"
NOT_SENT = "no model rule sends them"
ALL_ZERO = "all of their prices are 0, which lists also write for unknown"
NO_PRICE = "no price in a unit that is counted here"
NO_NUMBER = "a price is no number"
DIFFERENT = "two entries of the list differ"


class PriceListError(ValueError):
    """A text is no list of a kind that is known here."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A model of a list. `has_tiers`: it costs more in some cases, such as long contexts.

    `is_unreadable`: one of its prices is no number, such as a text, null or NaN.
    """

    provider: str
    model: str
    usd: Mapping[str, Decimal]
    has_tiers: bool = False
    is_unreadable: bool = False


@dataclass(slots=True)
class Imported:
    """Prices by provider and model; what was `skipped`, by the reason; and models with tiers."""

    prices: dict[str, dict[str, Mapping[str, Decimal]]] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    tiers: list[str] = field(default_factory=list)

    def skip(self, reason: str, name: str) -> None:
        self.skipped.setdefault(reason, []).append(name)


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


def _by_model(data: Mapping[str, Any]) -> Iterator[Listed]:
    for name, entry in data.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("litellm_provider"), str):
            continue
        if name == "sample_spec":
            continue
        usd = _tokens(entry, _PER_TOKEN, MILLION)
        for theirs, mode, ours, factor in _PER_UNIT:
            if entry.get("mode") == mode and (number := _number(entry.get(theirs))) is not None:
                usd[ours] = _rounded(number * factor)
        has_tiers = any("_above_" in key for key in entry)
        units = [theirs for theirs, mode, *_ in _PER_UNIT if entry.get("mode") == mode]
        is_unreadable = _is_unreadable(entry, (*_PER_TOKEN, *units))
        yield Listed(entry["litellm_provider"], name, usd, has_tiers, is_unreadable)


def _by_provider(data: Mapping[str, Any]) -> Iterator[Listed]:
    for provider, about in data.items():
        models = about.get("models") if isinstance(about, dict) else None
        for name, entry in (models if isinstance(models, dict) else {}).items():
            cost = entry.get("cost") if isinstance(entry, dict) else None
            cost = cost if isinstance(cost, dict) else {}
            has_tiers = any(isinstance(value, dict | list) for value in cost.values())
            usd = _tokens(cost, _PER_MILLION, 1)
            yield Listed(provider, name, usd, has_tiers, _is_unreadable(cost, _PER_MILLION))


def _tokens(entry: Mapping[str, Any], keys: Sequence[str], factor: int) -> dict[str, Decimal]:
    found = zip(_TEXT, (_number(entry.get(key)) for key in keys), strict=True)
    return {
        f"{ours}_usd_per_million": _rounded(number * factor)
        for ours, number in found
        if number is not None
    }


def _is_unreadable(entry: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Whether a price is there and is no number: the others of the model would be half a price."""
    return any(key in entry and _number(entry[key]) is None for key in keys)


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return Decimal(value)


def _rounded(number: Decimal) -> Decimal:
    """To billionths of a dollar: lists have digits that arithmetic left there."""
    if not number.is_finite() or abs(number) >= MILLION:
        return number
    return number.quantize(_EXACT, ROUND_HALF_UP)


def select_prices(
    listed: Iterable[Listed],
    config: Config,
    called: Mapping[str, Sequence[str]],
    *,
    every: bool = False,
) -> Imported:
    """The prices of models that the model rules of `config` send; of all models with `every`.

    `called` has further names of providers in the list, by ours.
    """
    made = Imported()
    sent = [each for rule in config.rules for each in sent_names(rule)]
    known = known_names()
    names = {
        name: [name, *called.get(name, ()), *known.get(name, ())]
        for name in (provider.name for provider in config.providers)
    }
    for entry in listed:
        ours = [name for name, theirs in names.items() if _is_called(entry.provider, theirs)]
        shown = f"{entry.provider} {entry.model}"
        problem = None if ours else NO_PROVIDER
        problem = problem or (NO_NUMBER if entry.is_unreadable else _problem(entry))
        if problem is not None:
            made.skip(problem, entry.provider if problem is NO_PROVIDER else shown)
            continue
        written = [_write(made, entry, name, names[name], sent, every) for name in ours]
        if not any(written):
            made.skip(NOT_SENT, shown)
    return made


def _write(  # noqa: PLR0913, PLR0917 one step of a loop
    made: Imported,
    entry: Listed,
    provider: str,
    names: Sequence[str],
    sent: Sequence[SentNames],
    every: bool,  # noqa: FBT001 as above
) -> bool:
    """Take the price of a model for one provider, if something sends it there."""
    model = _without_provider(entry.model, names)
    priced = PriceEntry((), provider, model, entry.usd)
    if not every and not any(each.meets(priced) for each in sent):
        return False
    models = made.prices.setdefault(provider, {})
    if models.setdefault(model, entry.usd) != entry.usd:
        made.skip(DIFFERENT, f"{provider} {model}")
    elif entry.has_tiers:
        made.tiers.append(f"{provider} {model}")
    return True


def _problem(entry: Listed) -> str | None:
    """Why a price cannot be taken."""
    if not entry.usd or not any(key in entry.usd for key in UNITS if "cache" not in key):
        return NO_PRICE
    if not any(entry.usd.values()):
        return ALL_ZERO
    for key, number in entry.usd.items():
        if not 0 <= number <= _MOST[UNITS[key][1]] or not number.is_finite():
            return "a price is negative or absurd"
    if any(price_problems(entry.usd)):
        return "a price looks as if it were for another unit"
    if "*" in entry.model or not entry.model.isprintable() or " " in entry.model:
        return "their names are no names of models"
    return None


def _without_provider(model: str, names: Sequence[str]) -> str:
    """`theirs/model` as `model`: the name that the provider gets."""
    first, slash, rest = model.partition("/")
    return rest if slash and rest and _is_called(first, names) else model


def _is_called(theirs: str, names: Sequence[str]) -> bool:
    plain = _plain(theirs)
    return any(fnmatchcase(plain, _plain(name)) for name in names)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def known_names() -> Mapping[str, Sequence[str]]:
    """What lists call the shipped providers, where that differs from our name."""
    document, _ = parse_document(_NAMES.name, _NAMES.read_bytes())
    data: Any = document.data if document else {}
    names: Mapping[str, Sequence[str]] = data["providers"]
    return names
