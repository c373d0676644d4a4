"""Where the counts of a response stand, as an endpoint declares it."""

from dataclasses import dataclass

Pointer = tuple[str, ...]  # names of members, from the outside in

TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
UNITS = ("search_units", "pages", "images", "seconds", "characters")
COUNTS = (*TOKENS, *UNITS)


@dataclass(frozen=True, slots=True)
class UsagePlaces:
    """Where counts are read in the responses of one endpoint.

    `at` are the objects that may hold them in a JSON response, `events_at` in the data of an event.
    `fields` has for each count the places to try in turn: `inside` such an object, or from the top
    of the document (`absolute`). `excludes_cache`: the input does not include tokens of the cache.
    `estimates`: tokens that a provider does not report are estimated.
    """

    at: tuple[Pointer, ...]
    events_at: tuple[Pointer, ...]
    fields: tuple["CountPlaces", ...]
    excludes_cache: bool = False
    estimates: bool = False


@dataclass(frozen=True, slots=True)
class CountPlaces:
    """Where one of COUNTS stands."""

    count: str
    inside: tuple[Pointer, ...]
    absolute: tuple[Pointer, ...] = ()
