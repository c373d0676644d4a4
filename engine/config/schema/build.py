"""Makes a Config of documents that passed their schema.

An entry that broke its schema is left out and its name kept in `known_*`, so that nothing that
refers to it is reported as well.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from engine.config.model import (
    DEFAULT_LAST_EVENTS,
    DEFAULT_MAX_BODY,
    DEFAULT_TIMEOUTS,
    Config,
    Cors,
    Endpoint,
    Listing,
    NotExposed,
)
from engine.config.prices import PriceFile
from engine.config.rules import ModelRule, ModelTarget, RoutingTest
from engine.config.schema.build_prices import build_prices
from engine.config.schema.build_provider import (
    as_list,
    body_edits,
    build_key,
    build_provider,
    durations,
)
from engine.config.schema.build_server import build_server
from engine.config.schema.build_usage import build_usage
from engine.config.server import Server
from engine.config.source.document import Document, Path
from engine.config.units import parse_duration, parse_share, parse_size
from engine.plan.conditions import Dimension, When
from engine.plan.plan import Dialect
from engine.plan.tracing import DEFAULT_RATIO, Tracing, Trust


def build_config(  # noqa: PLR0913, PLR0917 one for each file
    routes: Document | None,
    providers: Document | None,
    keys: Document | None,
    broken: Mapping[str, Set[Path]],
    server: Document | None = None,
    prices: Document | None = None,
) -> Config:
    """The Config of all documents; `broken` holds, by file, the paths that failed their schema."""
    routing = _Reader(routes, broken)
    upstream = _Reader(providers, broken)
    callers = _Reader(keys, broken)
    shared = callers.section("limits")
    defaults = routing.section("defaults")
    max_body = parse_size(defaults["max_body"]) if "max_body" in defaults else DEFAULT_MAX_BODY
    return Config(
        timeouts=DEFAULT_TIMEOUTS.overridden(durations(defaults.get("timeouts", {}))),
        endpoints=tuple(_endpoint(*item, max_body) for item in routing.named("endpoints")),
        not_exposed=tuple(_not_exposed(*item) for item in routing.listed("not_exposed")),
        listing=_listing(routing.section("listing")),
        cors=_cors(routing.section("cors")),
        tracing=_tracing(routing.optional("tracing")),
        rules=tuple(_rule(*item) for item in routing.listed("models")),
        tests=tuple(_test(*item) for item in routing.listed("tests")),
        providers=tuple(build_provider(*item) for item in upstream.named("providers")),
        keys=tuple(build_key(*item, shared) for item in callers.listed("keys")) if keys else None,
        known_endpoints=frozenset(routing.section("endpoints")),
        known_providers=frozenset(upstream.section("providers")),
        incomplete=frozenset(
            name
            for file, paths in broken.items()
            if prices is None or file != prices.file
            for path in paths
            for name in ([str(path[0])] if path else ("models", "providers"))
        ),
        server=_server(server, broken),
        prices=_prices(prices, broken),
    )


def _server(document: Document | None, broken: Mapping[str, Set[Path]]) -> Server | None:
    """All of server.yaml, or nothing when any of it failed its schema."""
    if document is None or broken.get(document.file) or not isinstance(document.data, dict):
        return None
    return build_server(document.data)


def _prices(document: Document | None, broken: Mapping[str, Set[Path]]) -> PriceFile | None:
    """The same of prices.yaml."""
    if document is None or broken.get(document.file) or not isinstance(document.data, dict):
        return None
    return build_prices(document.data)


class _Reader:
    """One document's sections, without the entries that failed their schema."""

    def __init__(self, document: Document | None, broken: Mapping[str, Set[Path]]) -> None:
        data = document.data if document else None
        self._data: dict[str, Any] = data if isinstance(data, dict) else {}
        self._broken = broken.get(document.file, set()) if document else set()

    def section(self, name: str) -> dict[str, Any]:
        value = self._data.get(name)
        if name in ("defaults", "listing", "cors", "limits") and self._fails((name,)):
            return {}
        return value if isinstance(value, dict) else {}

    def optional(self, name: str) -> dict[str, Any] | None:
        """A section that may be empty; None when it is absent, or failed its schema."""
        return self.section(name) if name in self._data and not self._fails((name,)) else None

    def named(self, name: str) -> Iterator[tuple[str, Path, dict[str, Any]]]:
        for key, value in self.section(name).items():
            if not self._fails((name, key)):
                yield key, (name, key), value

    def listed(self, name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        value = self._data.get(name)
        for index, item in enumerate(value if isinstance(value, list) else ()):
            if not self._fails((name, index)):
                yield (name, index), item

    def _fails(self, path: Path) -> bool:
        return any(b[: len(path)] == path for b in self._broken)


def _endpoint(name: str, at: Path, data: dict[str, Any], max_body: int) -> Endpoint:
    dialect = Dialect(data.get("errors", Dialect.OPENAI))
    return Endpoint(
        name=name,
        at=at,
        path=data["path"],
        also=tuple(data.get("also", ())),
        method=data.get("method", "POST"),
        bodies=as_list(data.get("body")) or ("json",),
        default_model=data.get("default_model"),
        dialect=dialect,
        last_events=tuple(data.get("last_events", DEFAULT_LAST_EVENTS[dialect])),
        max_body=parse_size(data["max_body"]) if "max_body" in data else max_body,
        timeouts=durations(data.get("timeouts", {})),
        drop_query=tuple(data.get("drop_query", ())),
        usage=build_usage(data["usage"]) if "usage" in data else None,
        is_free=data.get("usage") == "free",
        operation=data.get("operation"),
    )


def _not_exposed(at: Path, data: dict[str, Any]) -> NotExposed:
    methods = frozenset(data.get("methods", ()))
    return NotExposed(at, tuple(data["paths"]), methods, data["reason"])


def _listing(data: dict[str, Any]) -> Listing | None:
    if not data:
        return None
    by_header = {name: Dialect(shape) for name, shape in data.get("shape_by_header", {}).items()}
    return Listing(
        at=("listing",),
        paths=(data["path"], *data.get("also", ())),
        shape=Dialect(data.get("shape", Dialect.OPENAI)),
        shape_by_header=by_header,
    )


def _cors(data: dict[str, Any]) -> Cors | None:
    if not data:
        return None
    return Cors(tuple(data["origins"]), parse_duration(data.get("max_age", "10m")))


def _tracing(data: dict[str, Any] | None) -> Tracing | None:
    if data is None:
        return None
    ratio = parse_share(data["sample"]) if "sample" in data else DEFAULT_RATIO
    return Tracing(data.get("endpoint"), ratio, Trust(data.get("trust", Trust.NONE)))


def _rule(at: Path, data: dict[str, Any]) -> ModelRule:
    shared = data.get("fallback_on", ())
    targets = tuple(
        _target((*at, "targets", index), item, shared)
        for index, item in enumerate(data.get("targets", ()))
    )
    by_load = data.get("balance") == "least_in_flight"
    ranked = sorted(targets, key=lambda target: target.rank(by_load=by_load))
    first = ranked[0] if ranked else _target(at, data)
    return ModelRule(
        at=at,
        pattern=data["model"] if "model" in data else data["prefix"],
        is_prefix="prefix" in data,
        provider=first.provider,
        endpoints=as_list(data.get("endpoint")),
        rename=first.rename,
        strip=first.strip,
        targets=targets,
        is_sticky="sticky" in data,
        body=body_edits(data.get("body")),
        stem=first.stem,
        timeouts=durations(data.get("timeouts", {})),
        by_load=by_load,
        when=_when(data.get("when", {})),
    )


def _when(data: dict[str, Any]) -> When:
    alone = {Dimension(kind): data[kind] for kind in ("key", "account") if kind in data}
    headers = {Dimension("header", n.lower()): v for n, v in data.get("header", {}).items()}
    fields = {Dimension("body", place): v for place, v in data.get("body", {}).items()}
    return {d: frozenset(values) for d, values in {**alone, **headers, **fields}.items()}


def _target(at: Path, data: dict[str, Any], fallback_on: Sequence[str] = ()) -> ModelTarget:
    sent: str | None = data.get("as")
    is_pattern = sent is not None and sent.endswith("*")
    return ModelTarget(
        at=at,
        provider=data["provider"],
        rename=None if is_pattern else sent,
        strip=is_pattern or data.get("strip", False),
        weight=data.get("weight"),
        body=body_edits(data.get("body")),
        fallback_on=tuple(data.get("fallback_on", fallback_on)),
        stem=sent[:-1] if sent and is_pattern else "",
        timeouts=durations(data.get("timeouts", {})),
        tier=data.get("tier", 1),
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
        then=tuple(expect["then"]) if "then" in expect else None,
        key=data.get("key"),
        account=data.get("account"),
        headers={name.lower(): value for name, value in data.get("header", {}).items()},
        body=data.get("body"),
    )
