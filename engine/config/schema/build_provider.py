"""The entries of `providers:` and `keys:` as values, once they passed the schema."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from engine.config.model import (
    DEFAULT_LIMITS,
    DEFAULT_RETRY,
    Credential,
    CredentialSet,
    Key,
    Ping,
    Provider,
    ProviderEndpoint,
    Sign,
    Variable,
)
from engine.config.rules import BodyEdits
from engine.config.schema.build_limits import build_limits
from engine.config.source.document import Path
from engine.config.units import parse_duration, parse_expiry, parse_share
from engine.plan.plan import Breaker, Retry, Timeouts
from engine.plan.upstream import UsagePolicy

_DURATIONS = {field.name for field in fields(Timeouts)}


def durations(data: Mapping[str, str]) -> dict[str, float]:
    return {name: parse_duration(text) for name, text in data.items() if name in _DURATIONS}


def as_list(value: str | list[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def build_provider(name: str, at: Path, data: dict[str, Any]) -> Provider:
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
        timeouts=durations(data.get("timeouts", {})),
        limits=replace(DEFAULT_LIMITS, **limits),
        retry=_retry(data.get("retry", {})),
        breaker=_breaker(data["breaker"]) if "breaker" in data else None,
        client=data.get("client", "http1"),
        ca=data.get("tls", {}).get("ca"),
        proxy=data.get("proxy"),
        trace=data.get("trace", False),
        telemetry_name=data.get("telemetry_name"),
        ping=_ping((*at, "ping"), data["ping"]) if "ping" in data else None,
        credential_limits=build_limits(data.get("credential_limits")),
    )


def _ping(at: Path, data: dict[str, Any]) -> Ping:
    return Ping(
        at,
        data.get("cost", "free"),
        data.get("path"),
        data.get("query", {}),
        data.get("endpoint"),
        data.get("body", {}),
    )


def _enabled(data: str | dict[str, Any]) -> bool:
    return isinstance(data, str) or data.get("enabled", True)


def _credentials(at: Path, data: dict[str, Any]) -> tuple[Credential, ...]:
    return tuple(
        Credential(
            key,
            (*at, "credentials", key),
            env=as_list(value.get("env")) or (),
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
    env = as_list(data["env"]) or ()
    return Variable(name, at, data.get("default"), env, tuple(data.get("choices", ())))


def _credential_set(at: Path, data: dict[str, Any]) -> CredentialSet:
    return CredentialSet(
        at=at,
        callers=as_list(data.get("callers")),
        models=as_list(data.get("models")),
        credentials=_credentials(at, data),
        variables=_variables(at, data),
        weight=data.get("weight", 1),
        credential_limits=build_limits(data.get("credential_limits")),
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
        body=body_edits(body),
        grade=data.get("grade"),
        takes=tuple(data["takes"]) if "takes" in data else None,
        include_usage=UsagePolicy(data["include_usage"]) if "include_usage" in data else None,
    )


def body_edits(data: dict[str, Any] | None) -> BodyEdits | None:
    if data is None:
        return None
    return BodyEdits(
        drop=tuple(data.get("drop", ())),
        rename=data.get("rename", {}),
        default=data.get("default", {}),
        set=data.get("set", {}),
        drops_unknown=data.get("drop_unknown", False),
    )


def build_key(at: Path, data: dict[str, Any], limits: Any) -> Key:
    text = data.get("expires")
    has_own = "limits" in data
    return Key(
        name=data["name"],
        at=at,
        sha256=data["sha256"],
        endpoints=as_list(data.get("endpoints")),
        models=as_list(data.get("models")),
        expires=parse_expiry(text) if text is not None else None,
        expiry_text=text,
        limits=build_limits(data["limits"] if has_own else limits, is_default=not has_own),
        limits_at=(*at, "limits") if has_own else ("limits",),
    )
