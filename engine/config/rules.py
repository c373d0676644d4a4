"""The model rules of routes.yaml and its tests as frozen values; a part of the Config of `model`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.config.source.document import Path
from engine.config.source.secret_shapes import without_keys
from engine.plan import pointers
from engine.plan.conditions import When


@dataclass(frozen=True, slots=True)
class BodyEdits:
    """Changes to fields of a body; values are JSON.

    In `drop`, `default` and `set`, `/reasoning/effort` is a field below the top level. `drops_unknown`:
    fields that the provider's endpoint does not take are removed.
    """

    drop: tuple[str, ...]
    rename: Mapping[str, str]
    default: Mapping[str, Any]
    set: Mapping[str, Any]
    drops_unknown: bool = False


@dataclass(frozen=True, slots=True)
class ModelTarget:
    """An entry of `targets:`; without a weight it comes after those that have one."""

    at: Path
    provider: str
    rename: str | None
    strip: bool
    weight: int | None
    body: BodyEdits | None = None
    fallback_on: tuple[str, ...] = ()
    stem: str = ""
    timeouts: Mapping[str, float] = field(default_factory=dict)
    tier: int = 1

    def rank(self, *, by_load: bool) -> tuple[int, bool]:
        """When it is tried: by tier, and in a tier without a balance after the targets with a weight."""
        return self.tier, not by_load and self.weight is None


@dataclass(frozen=True, slots=True)
class ModelRule:
    """An entry of `models:`: an exact name or a prefix, and where it leads.

    With `targets`, `provider`, `rename` and `strip` are those of the first one. `is_sticky`: each
    key keeps to one target. `when` are the conditions, each with the values that meet it.
    """

    at: Path
    pattern: str
    is_prefix: bool
    provider: str
    endpoints: tuple[str, ...] | None
    rename: str | None
    strip: bool
    targets: tuple[ModelTarget, ...] = ()
    is_sticky: bool = False
    body: BodyEdits | None = None
    stem: str = ""
    timeouts: Mapping[str, float] = field(default_factory=dict)
    by_load: bool = False
    when: When = field(default_factory=dict)

    def bodies(self) -> Iterator[tuple[Path, BodyEdits]]:
        """The changes to bodies that the rule and its targets ask for, each with its path."""
        parts: list[ModelRule | ModelTarget] = [self, *self.targets]
        for part in parts:
            if part.body is not None:
                yield (*part.at, "body"), part.body

    def providers(self) -> dict[Path, str]:
        """Every provider that the rule names, by its place."""
        if self.targets:
            return {(*target.at, "provider"): target.provider for target in self.targets}
        return {(*self.at, "provider"): self.provider}

    @property
    def label(self) -> str:
        """What messages call the rule."""
        return f"model rule `{without_keys(self.pattern)}`"

    def renames_model(self) -> bool:
        """Whether some provider gets the model under another name."""
        return any(
            rule_target.strip or rule_target.rename is not None
            for rule_target in self.targets or (self,)
        )


@dataclass(frozen=True, slots=True)
class RoutingTest:
    """An entry of `tests:`; an expectation that is None is not checked.

    `then` are the providers of the targets that come after the first. `key`, `account`, `headers`
    (names in lower case) and `body` are what else the request has.
    """

    at: Path
    endpoint: str
    model: str
    provider: str | None
    url: str | None
    sent_model: str | None
    error: str | None
    then: tuple[str, ...] | None = None
    key: str | None = None
    account: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    @property
    def label(self) -> str:
        """What messages call the test: its number in the file."""
        return f"test {int(self.at[1]) + 1}"


def steps(place: str) -> tuple[str, ...]:
    """The fields on the path to a place: its name, or those of a pointer such as `/reasoning/effort`."""
    return pointers.steps(place) if place.startswith("/") else (place,)
