"""Makes a Config of documents that passed their schema.

An entry that broke its schema is left out and its name kept in `known_*`, so that nothing that
refers to it is reported as well.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import fields, replace
from typing import Any

from engine.config.model import (
    DEFAULT_LAST_EVENTS,
    DEFAULT_LIMITS,
    DEFAULT_MAX_BODY,
    DEFAULT_RETRY,
    DEFAULT_TIMEOUTS,
    BodyEdits,
    Config,
    Cors,
    Credential,
    CredentialSet,
    Endpoint,
    Key,
    Listing,
    ModelRule,
    ModelTarget,
    NotExposed,
    Provider,
    ProviderEndpoint,
    RoutingTest,
    Sign,
    Variable,
    merge_timeouts,
    parse_duration,
    parse_expiry,
    parse_share,
    parse_size,
)
from engine.config.source.document import Document, Path
from engine.plan.plan import Breaker, Dialect, Retry, Timeouts


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
        listing=_listing(routing.section("listing")),
        cors=_cors(routing.section("cors")),
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
        if name in ("defaults", "listing", "cors") and self._fails((name,)):
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
    dialect = Dialect(data.get("errors", Dialect.OPENAI))
    return Endpoint(
        name=name,
        at=at,
        path=data["path"],
        also=tuple(data.get("also", ())),
        method=data.get("method", "POST"),
        bodies=_several(data.get("body")) or ("json",),
        default_model=data.get("default_model"),
        dialect=dialect,
        last_events=tuple(data.get("last_events", DEFAULT_LAST_EVENTS[dialect])),
        max_body=parse_size(data["max_body"]) if "max_body" in data else max_body,
        timeouts=_durations(data.get("timeouts", {})),
        drop_query=tuple(data.get("drop_query", ())),
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


def _rule(at: Path, data: dict[str, Any]) -> ModelRule:
    targets = tuple(
        _target((*at, "targets", index), item) for index, item in enumerate(data.get("targets", ()))
    )
    first = targets[0] if targets else _target(at, data)
    return ModelRule(
        at=at,
        pattern=data["model"] if "model" in data else data["prefix"],
        is_prefix="prefix" in data,
        provider=first.provider,
        endpoints=_several(data.get("endpoint")),
        rename=first.rename,
        strip=first.strip,
        targets=targets,
        is_sticky="sticky" in data,
    )


def _target(at: Path, data: dict[str, Any]) -> ModelTarget:
    rename, strip = data.get("as"), data.get("strip", False)
    return ModelTarget(at, data["provider"], rename, strip, data.get("weight"))


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
    )


def _provider(name: str, at: Path, data: dict[str, Any]) -> Provider:
    caller_credentials = data.get("caller_credentials", {})
    picked = data.get("caller_variables", {})
    limits = dict(data.get("limits", {}))
    if "wait" in limits:
        limits["wait"] = parse_duration(limits["wait"])
    served = data["endpoints"].items()
    endpoints = [(_provider_endpoint(k, (*at, "endpoints", k), v), _enabled(v)) for k, v in served]
    return Provider(
        name=name,
        at=at,
        description=data.get("description", ""),
        base_url=data["base_url"],
        variables=_variables(at, data),
        credentials=_credentials(at, data),
        headers=data.get("headers", {}),
        default_headers=data.get("default_headers", {}),
        forward_headers=tuple(data.get("forward_headers", ())),
        caller_headers=caller_credentials.get("headers", {}),
        caller_body=caller_credentials.get("body", {}),
        caller_variable_headers=picked.get("headers", {}),
        caller_variable_body=picked.get("body", {}),
        accounts=tuple(
            _credential_set((*at, "accounts", index), item)
            for index, item in enumerate(data.get("accounts", ()))
        ),
        sign=_sign((*at, "sign"), data["sign"]) if "sign" in data else None,
        models=tuple(data.get("models", ())),
        endpoints=tuple(endpoint for endpoint, is_enabled in endpoints if is_enabled),
        not_enabled=tuple(endpoint for endpoint, is_enabled in endpoints if not is_enabled),
        timeouts=_durations(data.get("timeouts", {})),
        limits=replace(DEFAULT_LIMITS, **limits),
        retry=_retry(data.get("retry", {})),
        breaker=_breaker(data["breaker"]) if "breaker" in data else None,
        client=data.get("client", "http1"),
        ca=data.get("tls", {}).get("ca"),
        proxy=data.get("proxy"),
    )


def _enabled(data: str | dict[str, Any]) -> bool:
    return isinstance(data, str) or data.get("enabled", True)


def _credentials(at: Path, data: dict[str, Any]) -> tuple[Credential, ...]:
    return tuple(
        Credential(
            key,
            (*at, "credentials", key),
            env=_several(value.get("env")) or (),
            file=value.get("file"),
            optional=value.get("optional", False),
            required=value.get("required", False),
        )
        for key, value in data.get("credentials", {}).items()
    )


def _variables(at: Path, data: dict[str, Any]) -> tuple[Variable, ...]:
    return tuple(
        _variable(key, (*at, "variables", key), value)
        for key, value in data.get("variables", {}).items()
    )


def _retry(data: dict[str, Any]) -> Retry:
    read = dict(data)
    for name, parse in (("max_wait", parse_duration), ("budget", parse_share)):
        if name in read:
            read[name] = parse(read[name])
    if "statuses" in read:
        read["statuses"] = frozenset(read["statuses"])
    return replace(DEFAULT_RETRY, **read)


def _breaker(data: dict[str, Any]) -> Breaker:
    return Breaker(
        failures=data.get("failures"),
        ratio=parse_share(data["ratio"]) if "ratio" in data else None,
        requests=data.get("requests", 0),
        open=parse_duration(data["open"]),
    )


def _variable(name: str, at: Path, data: str | dict[str, Any]) -> Variable:
    if isinstance(data, str):
        return Variable(name, at, data, ())
    env = _several(data["env"]) or ()
    return Variable(name, at, data.get("default"), env, tuple(data.get("choices", ())))


def _credential_set(at: Path, data: dict[str, Any]) -> CredentialSet:
    return CredentialSet(
        at=at,
        callers=_several(data.get("callers")),
        models=_several(data.get("models")),
        credentials=_credentials(at, data),
        variables=_variables(at, data),
    )


def _sign(at: Path, data: dict[str, str]) -> Sign:
    settings = {name: text for name, text in data.items() if name not in ("with", "identity")}
    return Sign(at, data["with"], settings, by_workload_identity="identity" in data)


def _provider_endpoint(name: str, at: Path, data: str | dict[str, Any]) -> ProviderEndpoint:
    if isinstance(data, str):
        return ProviderEndpoint(name, at, at, data, {})
    body = data.get("body")
    return ProviderEndpoint(
        name=name,
        at=at,
        path_at=(*at, "path"),
        path=data["path"],
        query=data.get("query", {}),
        stream_path=data.get("stream_path"),
        body=_body_edits(body) if body else None,
        grade=data.get("grade"),
    )


def _body_edits(data: dict[str, Any]) -> BodyEdits:
    return BodyEdits(
        drop=tuple(data.get("drop", ())),
        rename=data.get("rename", {}),
        default=data.get("default", {}),
        set=data.get("set", {}),
    )


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
