"""Conditions of model rules: what a request must have besides its model for a rule to apply.

A rule asks for values of dimensions. Among the rules of one pattern, one whose dimensions are a
strict superset of those of another is more specific; `engine check` refuses all other overlaps.
So the rules of each signature, which is a set of dimensions, are one dictionary by their values.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from engine.plan.pointers import steps
from engine.plan.spelling import fold

T = TypeVar("T")


class Dimension(NamedTuple):
    """Something of a request that a rule can ask for: `key`, `account`, `header` or `body`.

    `name` is that of a header, in lower case, or the place in a JSON body, such as `/metadata/tier`.
    """

    kind: str
    name: str = ""

    @property
    def label(self) -> str:
        """What people call it: `header x-team`."""
        return f"{self.kind} {self.name}".rstrip()


KEY, ACCOUNT = Dimension("key"), Dimension("account")
When: TypeAlias = Mapping[Dimension, frozenset[str]]
Read: TypeAlias = Callable[[Dimension], str | None]  # None: the request has no such value


def dimensions_of(when: When) -> tuple[Dimension, ...]:
    """The dimensions of `when`, in an order that is always the same."""
    return tuple(sorted(when))


def combinations_of(when: When) -> Iterator[tuple[str, ...]]:
    """Every combination of values that `when` allows, in the order of its signature."""
    return product(*(sorted(when[dimension]) for dimension in dimensions_of(when)))


def describe(when: When) -> str:
    """`when` for people: `header x-team = a or b, key = c`."""
    return ", ".join(f"{d.label} = {' or '.join(sorted(when[d]))}" for d in dimensions_of(when))


@dataclass(frozen=True, slots=True)
class Conditions(Generic[T]):
    """The rules of one pattern that have conditions, by signature, those with most dimensions first."""

    tables: tuple[tuple[tuple[Dimension, ...], Mapping[tuple[str | None, ...], T]], ...]

    def find(self, read: Read) -> T | None:
        """The most specific rule whose conditions a request meets: a search for each signature."""
        for dimensions, table in self.tables:
            rule = table.get(tuple(map(read, dimensions)))
            if rule is not None:
                return rule
        return None


def conditions_of(rules: Iterable[tuple[When, T]]) -> Conditions[T] | None:
    """The Conditions of `rules`; None where none has any. Of two for the same values, the first stays."""
    tables: dict[tuple[Dimension, ...], dict[tuple[str | None, ...], T]] = {}
    for when, rule in rules:
        table = tables.setdefault(dimensions_of(when), {}) if when else {}
        for values in combinations_of(when):
            table.setdefault(values, rule)
    ordered = sorted(tables.items(), key=lambda item: -len(item[0]))
    return Conditions(tuple(ordered)) if tables else None


class UnusableFieldError(ValueError):
    """A body has a field in another spelling, which the gateway refuses with `duplicate_field`."""


def dimension_reader(
    key: str | None, account: str | None, headers: Mapping[str, str], body: object
) -> Read:
    """How to read a request that is described by plain values; `body` is decoded JSON.

    What it returns raises UnusableFieldError.
    """

    def read(dimension: Dimension) -> str | None:
        match dimension.kind:
            case "key":
                return key
            case "account":
                return account
            case "header":
                found = headers.get(dimension.name)
                return None if found is None else found.strip(" \t")
        value = _value(body, steps(dimension.name))
        return value if isinstance(value, str) else None

    return read


def _value(body: object, path: tuple[str, ...]) -> object:
    value = body
    for name in path:
        if not isinstance(value, dict):
            return None
        if any(key != name and fold(key) == fold(name) for key in value):
            raise UnusableFieldError(name)
        value = value.get(name)
    return value
