"""Documents that passed their schema as frozen values: defaults filled in, units parsed.

An entry that broke its schema is left out and its name kept in `known_*`, so that nothing that
refers to it is reported as well.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from engine.config.document import Document, Path
from engine.plan import Dialect, Limits, Timeouts

DEFAULT_TIMEOUTS = Timeouts(connect=5, first_byte=600, idle=120, total=1800, caller_idle=30)
DEFAULT_LIMITS = Limits(in_flight=1024, queue=1024, wait=10)
DEFAULT_MAX_BODY = 32 * 1024 * 1024

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "B": 1}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An entry of `endpoints:`."""

    name: str
    at: Path
    path: str
    method: str
    bodies: tuple[str, ...]
    default_model: str | None
    dialect: Dialect
    max_body: int
    timeouts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class NotExposed:
    """An entry of `not_exposed:`. Without methods it covers every method."""

    at: Path
    paths: tuple[str, ...]
    methods: frozenset[str]
    reason: str


@dataclass(frozen=True, slots=True)
class ModelRule:
    """An entry of `models:`: an exact name or a prefix, and where it leads."""

    at: Path
    pattern: str
    is_prefix: bool
    provider: str
    endpoints: tuple[str, ...] | None
    rename: str | None
    strip: bool


@dataclass(frozen=True, slots=True)
class RoutingTest:
    """An entry of `tests:`; an expectation that is None is not asked for."""

    at: Path
    endpoint: str
    model: str
    provider: str | None
    url: str | None
    sent_model: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Credential:
    """Where an operator's secret comes from: an environment variable or a file."""

    name: str
    at: Path
    env: str | None
    file: str | None
    optional: bool


@dataclass(frozen=True, slots=True)
class Variable:
    """A value for templates that is not a secret: a literal, or from the environment."""

    name: str
    at: Path
    value: str | None
    env: str | None


@dataclass(frozen=True, slots=True)
class ProviderEndpoint:
    """Where a provider serves one endpoint: a template below `base_url`, or an absolute URL."""

    name: str
    at: Path
    path_at: Path
    path: str
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Provider:
    """An entry of `providers:`, templates still as text."""

    name: str
    at: Path
    base_url: str
    variables: tuple[Variable, ...]
    credentials: tuple[Credential, ...]
    headers: Mapping[str, str]
    forward_headers: tuple[str, ...]
    caller_headers: Mapping[str, str]
    caller_body: Mapping[str, str]
    endpoints: tuple[ProviderEndpoint, ...]
    timeouts: Mapping[str, float]
    limits: Limits
    client: str

    def sample_variables(self) -> dict[str, str]:
        """Its variables as far as the files tell them."""
        return {v.name: "placeholder" if v.value is None else v.value for v in self.variables}


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of keys.yaml. `expires` is a POSIX time; None in it with `expiry_text` set is no date."""

    name: str
    at: Path
    sha256: str
    endpoints: tuple[str, ...] | None
    models: tuple[str, ...] | None
    expires: float | None
    expiry_text: str | None


@dataclass(frozen=True, slots=True)
class Config:
    """All of a configuration folder that can be relied on. `keys` None: there is no keys.yaml.

    `incomplete` names the sections from which an entry had to be left out.
    """

    timeouts: Timeouts
    endpoints: tuple[Endpoint, ...]
    not_exposed: tuple[NotExposed, ...]
    rules: tuple[ModelRule, ...]
    tests: tuple[RoutingTest, ...]
    providers: tuple[Provider, ...]
    keys: tuple[Key, ...] | None
    known_endpoints: frozenset[str]
    known_providers: frozenset[str]
    incomplete: frozenset[str]


def parse_duration(text: str) -> float:
    """`"1.5m"` as seconds. The text has passed the schema."""
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)) * _SECONDS[unit]


def parse_size(text: str) -> int:
    """`"32MiB"` as bytes. The text has passed the schema."""
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * _BYTES[unit]


def parse_expiry(text: str) -> float | None:
    """A date (its first second, UTC) or an RFC 3339 time as POSIX time; None when it is neither."""
    try:
        moment = datetime.fromisoformat(text.upper())  # 3.11 knows `T` and `Z` in capitals only
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def merge_timeouts(base: Timeouts, *overrides: Mapping[str, float]) -> Timeouts:
    """`base` with each override laid over it in turn."""
    for override in overrides:
        base = replace(base, **override)
    return base


def build_config(
    routes: Document | None,
    providers: Document | None,
    keys: Document | None,
    broken: Mapping[str, Set[Path]],
) -> Config:
    """The Config of three documents; `broken` holds, by file, the paths that failed their schema."""
    routing = _Reader(routes, broken)
    upstream = _Reader(providers, broken)
    callers = _Reader(keys, broken)
    defaults = routing.section("defaults")
    max_body = parse_size(defaults["max_body"]) if "max_body" in defaults else DEFAULT_MAX_BODY
    return Config(
        timeouts=merge_timeouts(DEFAULT_TIMEOUTS, _durations(defaults.get("timeouts", {}))),
        endpoints=tuple(_endpoint(*item, max_body) for item in routing.named("endpoints")),
        not_exposed=tuple(_not_exposed(*item) for item in routing.listed("not_exposed")),
        rules=tuple(_rule(*item) for item in routing.listed("models")),
        tests=tuple(_test(*item) for item in routing.listed("tests")),
        providers=tuple(_provider(*item) for item in upstream.named("providers")),
        keys=tuple(_key(*item) for item in callers.listed("keys")) if keys else None,
        known_endpoints=frozenset(routing.section("endpoints", keep_broken=True)),
        known_providers=frozenset(upstream.section("providers", keep_broken=True)),
        incomplete=frozenset(
            name
            for paths in broken.values()
            for path in paths
            for name in ([str(path[0])] if path else ("models", "providers"))
        ),
    )


class _Reader:
    """One document's sections, without the entries that failed their schema."""

    def __init__(self, document: Document | None, broken: Mapping[str, Set[Path]]) -> None:
        data = document.data if document else None
        self._data: dict[str, Any] = data if isinstance(data, dict) else {}
        self._broken = broken.get(document.file, set()) if document else set()

    def section(self, name: str, *, keep_broken: bool = False) -> dict[str, Any]:
        value = self._data.get(name)
        if not isinstance(value, dict) or (not keep_broken and self._fails((name,), exact=True)):
            return {}
        if name == "defaults" and self._fails((name,)):
            return {}
        return value

    def named(self, name: str) -> Iterator[tuple[str, Path, dict[str, Any]]]:
        for key, value in self.section(name).items():
            if not self._fails((name, key)):
                yield key, (name, key), value

    def listed(self, name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        value = self._data.get(name)
        for index, item in enumerate(value if isinstance(value, list) else ()):
            if not self._fails((name, index)):
                yield (name, index), item

    def _fails(self, path: Path, *, exact: bool = False) -> bool:
        return any(b == path if exact else b[: len(path)] == path for b in self._broken)


def _durations(data: Mapping[str, str]) -> dict[str, float]:
    names = {field.name for field in fields(Timeouts)}
    return {name: parse_duration(text) for name, text in data.items() if name in names}


def _several(value: str | list[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def _endpoint(name: str, at: Path, data: dict[str, Any], max_body: int) -> Endpoint:
    return Endpoint(
        name=name,
        at=at,
        path=data["path"],
        method=data.get("method", "POST"),
        bodies=_several(data.get("body")) or ("json",),
        default_model=data.get("default_model"),
        dialect=Dialect(data.get("errors", Dialect.OPENAI)),
        max_body=parse_size(data["max_body"]) if "max_body" in data else max_body,
        timeouts=_durations(data.get("timeouts", {})),
    )


def _not_exposed(at: Path, data: dict[str, Any]) -> NotExposed:
    methods = frozenset(data.get("methods", ()))
    return NotExposed(at, tuple(data["paths"]), methods, data["reason"])


def _rule(at: Path, data: dict[str, Any]) -> ModelRule:
    return ModelRule(
        at=at,
        pattern=data["model"] if "model" in data else data["prefix"],
        is_prefix="prefix" in data,
        provider=data["provider"],
        endpoints=_several(data.get("endpoint")),
        rename=data.get("as"),
        strip=data.get("strip", False),
    )


def _test(at: Path, data: dict[str, Any]) -> RoutingTest:
    expect = data["expect"]
    return RoutingTest(
        at=at,
        endpoint=data["endpoint"],
        model=data["model"],
        provider=expect.get("provider"),
        url=expect.get("url"),
        sent_model=expect.get("model"),
        error=expect.get("error"),
    )


def _provider(name: str, at: Path, data: dict[str, Any]) -> Provider:
    brought = data.get("caller_credentials", {})
    limits = dict(data.get("limits", {}))
    if "wait" in limits:
        limits["wait"] = parse_duration(limits["wait"])
    return Provider(
        name=name,
        at=at,
        base_url=data["base_url"],
        variables=tuple(
            _variable(key, (*at, "variables", key), value)
            for key, value in data.get("variables", {}).items()
        ),
        credentials=tuple(
            Credential(
                key,
                (*at, "credentials", key),
                env=value.get("env"),
                file=value.get("file"),
                optional=value.get("optional", False),
            )
            for key, value in data.get("credentials", {}).items()
        ),
        headers=data.get("headers", {}),
        forward_headers=tuple(data.get("forward_headers", ())),
        caller_headers=brought.get("headers", {}),
        caller_body=brought.get("body", {}),
        endpoints=tuple(
            _provider_endpoint(key, (*at, "endpoints", key), value)
            for key, value in data["endpoints"].items()
        ),
        timeouts=_durations(data.get("timeouts", {})),
        limits=replace(DEFAULT_LIMITS, **limits),
        client=data.get("client", "http1"),
    )


def _variable(name: str, at: Path, data: str | dict[str, str]) -> Variable:
    if isinstance(data, str):
        return Variable(name, at, data, None)
    return Variable(name, at, data.get("default"), data["env"])


def _provider_endpoint(name: str, at: Path, data: str | dict[str, Any]) -> ProviderEndpoint:
    if isinstance(data, str):
        return ProviderEndpoint(name, at, at, data, {})
    return ProviderEndpoint(name, at, (*at, "path"), data["path"], data.get("query", {}))


def _key(at: Path, data: dict[str, Any]) -> Key:
    text = data.get("expires")
    return Key(
        name=data["name"],
        at=at,
        sha256=data["sha256"],
        endpoints=_several(data.get("endpoints")),
        models=_several(data.get("models")),
        expires=parse_expiry(text) if text is not None else None,
        expiry_text=text,
    )
