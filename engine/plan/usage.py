"""Where the counts of a response stand, as an endpoint declares it."""

from dataclasses import dataclass
from typing import Any

from engine.plan.upstream import BodyEdits, UsagePolicy

Pointer = tuple[str, ...]  # names of members, from the outside in

TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
UNITS = ("search_units", "pages", "images", "seconds", "characters")
COUNTS = (*TOKENS, *UNITS)
TOTAL = "total_tokens"  # is read, and no count of its own


@dataclass(frozen=True, slots=True)
class UsagePlaces:
    """Where counts are read in the responses of one endpoint.

    `at` are the objects that may hold them in a JSON response, `events_at` in the data of an event.
    `fields` has for each count the places to try in turn: `inside` such an object, or from the top
    of the document (`absolute`). `excludes_cache`: the input does not include tokens of the cache.
    `estimates`: tokens that a provider does not report are estimated, those of a stream by the text
    of the members called `output_text`. `bytes_each` has units that are estimated where a response says nothing: one for
    each so many bytes of the request. `unmetered` are fields of a request whose response does not
    say what is used.
    """

    at: tuple[Pointer, ...]
    events_at: tuple[Pointer, ...]
    fields: tuple["CountPlaces", ...]
    excludes_cache: bool = False
    estimates: bool = False
    output_text: tuple[str, ...] = ()
    bytes_each: tuple[tuple[str, int], ...] = ()
    include: "UsageField | None" = None
    output_limit: "OutputLimit | None" = None
    unmetered: tuple[Pointer, ...] = ()
    tier: "TierPlaces | None" = None

    @property
    def has_output(self) -> bool:
        """Whether responses have output tokens."""
        return any(field.count == "output_tokens" for field in self.fields)

    def units_of(self, size: int) -> dict[str, int]:
        """The units that a request of `size` bytes may use."""
        return {unit: -(-size // each) for unit, each in self.bytes_each}


@dataclass(frozen=True, slots=True)
class CountPlaces:
    """Where one of COUNTS stands, or TOTAL."""

    count: str
    inside: tuple[Pointer, ...]
    absolute: tuple[Pointer, ...] = ()


@dataclass(frozen=True, slots=True)
class TierPlaces:
    """Where a response names its service tier, as `CountPlaces`; those that are `standard` have the ordinary prices."""

    inside: tuple[Pointer, ...]
    absolute: tuple[Pointer, ...]
    standard: frozenset[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The members that name it, which are those of a request too."""
        return tuple(dict.fromkeys(pointer[-1] for pointer in (*self.inside, *self.absolute)))


@dataclass(frozen=True, slots=True)
class UsageField:
    """The field of a request that `edits` set to true so that a stream has usage.

    The event that comes in addition has usage, and the members of `extra_event` with these values.
    """

    field: Pointer
    edits: BodyEdits
    extra_event: tuple[tuple[str, Any], ...]
    when: UsagePolicy = UsagePolicy.LIMITED


@dataclass(frozen=True, slots=True)
class OutputLimit:
    """Fields of a request that limit its output tokens, the highest of which counts.

    `times` are fields with a number of responses, each of which may have that many; `default` is
    for a request without a limit.
    """

    at: tuple[Pointer, ...]
    times: tuple[Pointer, ...]
    default: int

    @property
    def in_forms(self) -> frozenset[str]:
        """Those of the fields that a form can have."""
        return frozenset(name for name, *inside in (*self.at, *self.times) if not inside)
