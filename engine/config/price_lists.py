"""Which prices of a public list become entries of prices.yaml, and why the others do not. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from engine.config.checks.prices import SentNames, sent_names
from engine.config.listed_prices import Cost, Listed
from engine.config.model import Config
from engine.config.prices import UNITS, PriceEntry, price_problems
from engine.config.source.document import parse_document
from engine.plan.prices import MILLION

_NAMES = Path(__file__).with_name("price_lists.yaml")
_MAX_PRICES = {MILLION: 10_000, 1: 1000}  # as the schema has it, in US dollars
NO_PROVIDER = "no provider of providers.yaml has this name"
NOT_SENT = "no model rule sends them"
ALL_ZERO = "all of their prices are 0, which lists also write for unknown"
NO_PRICE = "no price in a unit that is counted here"
NO_NUMBER = "a price is no number"
DIFFERENT = "two entries of the list differ"
_Costs = dict[str, dict[str, Cost]]


@dataclass(slots=True)
class Imported:
    """Costs by provider and model, and those in each service tier; what was `skipped`, by the reason.

    `left_out` has models that may cost more than what was taken says, by what for.
    """

    prices: _Costs = field(default_factory=dict)
    tiers: dict[str, _Costs] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, reason: str, name: str) -> None:
        self.skipped.setdefault(reason, []).append(name)


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
    priced = PriceEntry((), provider, model, entry.cost.usd)
    if not every and not any(each.may_use(priced) for each in sent):
        return False
    models = made.prices.setdefault(provider, {})
    if models.setdefault(model, entry.cost) != entry.cost:
        made.skip(DIFFERENT, f"{provider} {model}")
        return True
    for tier, cost in entry.tiers.items():
        made.tiers.setdefault(tier, {}).setdefault(provider, {})[model] = cost
    for kind in entry.left_out:
        made.left_out.setdefault(kind, []).append(f"{provider} {model}")
    return True


def _problem(entry: Listed) -> str | None:
    """Why a price cannot be taken."""
    if not any(key in entry.cost.usd for key in UNITS if "cache" not in key):
        return NO_PRICE
    if not any(entry.cost.usd.values()):
        return ALL_ZERO
    every = [usd for cost in (entry.cost, *entry.tiers.values()) for usd in cost.every]
    numbers = ((key, number) for usd in every for key, number in usd.items())
    if any(
        not number.is_finite() or not 0 <= number <= _MAX_PRICES[UNITS[key][1]]
        for key, number in numbers
    ):
        return "a price is negative or absurd"
    if any(any(price_problems(usd)) for usd in every):
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
