"""The effective configuration: every default filled in, and where each value was set.

Defaults are read from `schemas/`, so a key that gets one there is filled in here as well.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from engine.config.schema.schemas import read_schema
from engine.config.source.document import Data, Document, Path

DEFAULT = "default"
# Never filled in: whether the first two are allowed depends on other keys, and the others switch
# something on by being there.
_LEFT_OUT = {"strip", "drop_unknown", "tracing", "ping"}
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Effective:
    """One file filled in. `origins` has the origin of each scalar: `routes.yaml:12` or `default`."""

    data: dict[str, Any]
    origins: Mapping[Path, str]

    def origin(self, path: Path) -> str:
        return self.origins.get(path, DEFAULT)


@dataclass(frozen=True, slots=True)
class LocatedValue:
    """A scalar and the place it came from."""

    value: str | int | float | bool | None
    where: str


def fill_in(document: Document, name: str) -> Effective:
    """`document`, which has passed the schema called `name`, with every default filled in."""
    fill = _Fill(document, _schema(name))
    data: Any = document.data
    known = fill.schema["properties"]
    if "defaults" in known:
        fill.value(known["defaults"], data.get("defaults", {}), ("defaults",))
    filled = fill.value(fill.schema, data, ())
    ordered = {key: filled[key] for key in known if key in filled}
    return Effective({**ordered, **filled}, fill.origins)


@cache
def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(read_schema(name))
    return schema


@dataclass(slots=True)
class _Fill:
    document: Document
    schema: Mapping[str, Any]
    origins: dict[Path, str] = field(default_factory=dict)
    leaves: dict[Path, Any] = field(default_factory=dict)

    def value(self, schema: Mapping[str, Any], data: Data, path: Path) -> Any:
        schema = self._resolved(schema)
        if isinstance(data, dict):
            return dict(self._members(schema, data, path))
        if isinstance(data, list):
            item = schema.get("items", {})
            return [self.value(item, inner, (*path, i)) for i, inner in enumerate(data)]
        line = self.document.entry(path).value.start.line
        source = self.document.source_of(path)
        of = f" ({source[1]})" if source else ""
        return self._leaf(path, data, f"{self.document.file}:{line}{of}")

    def _members(
        self, schema: Mapping[str, Any], data: Mapping[str, Data], path: Path
    ) -> Iterator[tuple[str, Any]]:
        known: Mapping[str, Any] = schema.get("properties", {})
        other = schema.get("additionalProperties")
        for key, inner in data.items():
            if key == "extends" and path[:1] == ("providers",) and len(path) == 2:
                continue  # the entry is whole already
            below = known.get(key, other if isinstance(other, dict) else {})
            yield key, self.value(below, inner, (*path, key))
        # A provider's timeouts win over an endpoint's, so those it leaves out must stay out.
        if (path[:1], path[2:]) == (("providers",), ("timeouts",)):
            return
        for key in [key for key in known if key not in data and key not in _LEFT_OUT]:
            value = self._absent(known[key], (*path, key))
            if value is not _ABSENT:
                yield key, value

    def _absent(self, schema: Mapping[str, Any], path: Path) -> Any:
        """The default of an entry that is not in the file."""
        schema = self._resolved(schema)
        source = ("defaults", *path[2:])
        if path[0] == "endpoints" and source in self.leaves:
            return self._leaf(path, self.leaves[source], self.origins[source])
        if "default" in schema:
            return self._leaf(path, schema["default"], DEFAULT)
        if schema.get("required"):
            return _ABSENT
        return dict(self._members(schema, {}, path)) or _ABSENT

    def _leaf(self, path: Path, value: Data, origin: str) -> Data:
        self.leaves[path] = value
        self.origins[path] = origin
        return value

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema with its `$ref` followed; keys beside the reference take precedence."""
        if "$ref" not in schema:
            return schema
        target = self.schema["$defs"][schema["$ref"].rpartition("/")[2]]
        return {**target, **schema}


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """A value in force and where it was set: `first_byte`, `10m`, `routes.yaml:9`."""

    name: str
    value: Any
    where: str


def settings_at(effective: Effective, path: Path) -> Iterator[EffectiveSetting]:
    """Every value in force below `path`, named by the keys between; a list is one value."""
    data: Any = effective.data
    for step in path:
        if isinstance(step, int):
            data = data[step]
        else:
            data = data.get(step) if isinstance(data, dict) else None
    if data is not None:
        yield from _settings(effective, data, path, "")


def _settings(effective: Effective, data: Any, path: Path, name: str) -> Iterator[EffectiveSetting]:
    if isinstance(data, dict):
        for key, inner in data.items():
            yield from _settings(effective, inner, (*path, key), f"{name}.{key}" if name else key)
    elif isinstance(data, list):
        words = ", ".join(item if isinstance(item, str) else json.dumps(item) for item in data)
        yield EffectiveSetting(name, words, effective.origin((*path, 0)))
    else:
        yield EffectiveSetting(name or str(path[-1]), data, effective.origin(path))


def timeouts_of(
    routes: Effective, providers: Effective, endpoint: str, provider: str
) -> list[EffectiveSetting]:
    """The time limits of requests to `endpoint` at `provider`; the provider's own win."""
    own = providers.data["providers"][provider].get("timeouts", {})
    settings = []
    for name, value in routes.data["endpoints"][endpoint]["timeouts"].items():
        source, at = (
            (routes, ("endpoints", endpoint))
            if name not in own
            else (providers, ("providers", provider))
        )
        settings.append(
            EffectiveSetting(name, own.get(name, value), source.origin((*at, "timeouts", name)))
        )
    return settings


def limits_of(
    routes: Effective, providers: Effective, endpoint: str, provider: str
) -> list[EffectiveSetting]:
    """The bounds on a request body and on requests under way to `provider`."""
    at = ("providers", provider, "limits")
    limits = providers.data["providers"][provider]["limits"]
    size = ("endpoints", endpoint, "max_body")
    return [
        EffectiveSetting(
            "max_body", routes.data["endpoints"][endpoint]["max_body"], routes.origin(size)
        ),
        *(
            EffectiveSetting(name, value, providers.origin((*at, name)))
            for name, value in limits.items()
        ),
    ]
