"""prices.yaml as frozen values once it passed its schema; a part of `model`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from engine.config.source.document import Path
from engine.plan.prices import MILLION, NANO, Price

# US dollars. A price per million below the first is probably a price per thousand; below the second, per token.
MIN_PER_MILLION = Decimal("0.001")
MIN_OF_THOUSAND = Decimal("0.00005")
THOUSAND = 1000
ABOVE = "above_input_tokens"
# What each key of a price is for, and of how many.
UNITS: Mapping[str, tuple[str, int]] = {
    "input_usd_per_million": ("input_tokens", MILLION),
    "cached_input_usd_per_million": ("cached_tokens", MILLION),
    "cache_write_usd_per_million": ("cache_write_tokens", MILLION),
    "output_usd_per_million": ("output_tokens", MILLION),
    "usd_per_million_characters": ("characters", MILLION),
    "usd_per_image": ("images", 1),
    "usd_per_page": ("pages", 1),
    "usd_per_search_unit": ("search_units", 1),
    "usd_per_second": ("seconds", 1),
    "usd_per_request": ("requests", 1),
}


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """The price of a model: of a full name, or of a start that ends in `*`. `provider` None: of any.

    `usd` has the numbers as they are written, by the keys of UNITS. `tier`: of a service tier alone.
    `above` has those that differ where the input has more than so many tokens.
    """

    at: Path
    provider: str | None
    pattern: str
    usd: Mapping[str, Decimal]
    tier: str | None = None
    above: Mapping[int, Mapping[str, Decimal]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What messages call it."""
        at = f" at `{self.provider}`" if self.provider else ""
        return f"the price of `{self.pattern}`{at}" + (f" in `{self.tier}`" if self.tier else "")

    @property
    def every(self) -> Iterator[tuple[Path, Mapping[str, Decimal]]]:
        """All prices with their places."""
        yield self.at, self.usd
        for tokens, usd in self.above.items():
            yield (*self.at, ABOVE, thousands(tokens)), usd


@dataclass(frozen=True, slots=True)
class PriceFile:
    """All of prices.yaml. `digest` changes with any price, and with no comment."""

    source: str
    date: str
    digest: str
    entries: tuple[PriceEntry, ...]


def nano_usd(usd: Mapping[str, Decimal]) -> dict[str, int]:
    """Billionths of a dollar for a million of each count, rounded where they are no integers."""
    return {
        UNITS[key][0]: int((number * NANO * (MILLION // UNITS[key][1])).to_integral_value())
        for key, number in usd.items()
    }


def thousands(tokens: int) -> str:
    """A number of tokens as it is written in the file."""
    return f"{tokens // THOUSAND}k"


def exact(number: float) -> Decimal:
    """A number of a file as it is written: a float keeps 15 digits, and no price has more."""
    return Decimal(repr(number))


def price_problems(usd: Mapping[str, Decimal]) -> Iterator[tuple[str, str, str | None]]:
    """Prices that cannot be right: the key, what is wrong, and the number that was probably meant."""
    for key, number in usd.items():
        per = UNITS[key][1]
        if per == MILLION and 0 < number < MIN_PER_MILLION:
            is_of_one = number < MIN_OF_THOUSAND
            words = "looks like the price of one" if is_of_one else "looks like that of a thousand"
            meant = plain(number * (MILLION if is_of_one else THOUSAND))
            yield key, f"is {plain(number)} US dollars for a million, and {words}", meant
        elif (scaled := number * NANO * (MILLION // per)) != scaled.to_integral_value():
            yield key, f"has more than {9 if per == MILLION else 15} decimals", None


def plain(number: Decimal) -> str:
    """A number without an exponent and without zeros at its end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def usd_of(price: Price) -> dict[str, Decimal]:
    """The prices of a compiled entry as they are written."""
    nano = dict(price.nano_usd)
    for name in ("cached_tokens", "cache_write_tokens"):
        if name in nano:
            nano[name] += nano.get("input_tokens", 0)
    if price.request or not nano:
        nano["requests"] = price.request * MILLION
    return {
        key: Decimal(nano[count]) / NANO / (MILLION // per)
        for key, (count, per) in UNITS.items()
        if count in nano
    }
