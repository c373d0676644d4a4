"""The effective configuration: every default filled in, and the place each value came from."""

from collections.abc import Mapping
from typing import Any

from engine.config.effective import Effective, LocatedValue
from engine.config.yaml_text import render_yaml
from engine.report.mask import MASK, masked, masked_url

FORMAT_VERSION = "1.0"
Data = dict[str, Any]
_NAMED = {"headers", "variables", "query"}


def view_files(files: Mapping[str, Effective]) -> dict[str, Data]:
    """The data of each file with located values, secrets masked."""
    return {name: _sourced(effective, effective.data, (), "") for name, effective in files.items()}


def _sourced(effective: Effective, value: Any, path: tuple[str | int, ...], name: str) -> Any:
    """`name` is that of the header, variable or parameter that `value` belongs to."""
    if isinstance(value, dict):
        is_named = path[-1:] and path[-1] in _NAMED and "caller_credentials" not in path
        below = {key: name or (key if is_named else "") for key in value}
        return {k: _sourced(effective, v, (*path, k), below[k]) for k, v in value.items()}
    if isinstance(value, list):
        return [_sourced(effective, v, (*path, i), name) for i, v in enumerate(value)]
    if isinstance(value, str) and path[-1] != "env":
        value = masked(name, value) if name else masked_url(value)
    return LocatedValue(value, effective.origin(path))


def filter_files(
    files: dict[str, Data], endpoint: str | None, provider: str | None
) -> dict[str, Data]:
    """Only what a request to one endpoint, one provider, or one at the other can reach.

    The defaults are left out: they are filled in at each endpoint.
    """
    routes, providers = dict(files["routes.yaml"]), dict(files["providers.yaml"])
    chosen = {
        name: {**entry, "endpoints": {k: v for k, v in entry["endpoints"].items() if endpoint in (None, k)}}
        for name, entry in providers["providers"].items()
        if provider in (None, name) and (endpoint is None or endpoint in entry["endpoints"])
    }  # fmt: skip
    served = {name for entry in chosen.values() for name in entry["endpoints"]} | {endpoint}
    providers["providers"] = chosen
    routes["endpoints"] = {k: v for k, v in routes["endpoints"].items() if k in served}
    for section in ("defaults", "listing", "cors", "not_exposed"):
        routes.pop(section, None)
    routes["models"] = [
        rule for rule in routes.get("models", []) if not chosen.keys().isdisjoint(_leads_to(rule))
        and (endpoint is None or endpoint in _several(rule.get("endpoint"), endpoint))
    ]  # fmt: skip
    routes["tests"] = [
        test for test in routes.get("tests", []) if _plain(test["endpoint"]) in served
        and (provider is None or _plain(test["expect"].get("provider")) == provider)
    ]  # fmt: skip
    narrowed = {"routes.yaml": routes, "providers.yaml": providers}
    if "keys.yaml" in files:
        keys = files["keys.yaml"]
        kept = [k for k in keys["keys"] if endpoint is None or endpoint in _several(k.get("endpoints"), endpoint)]  # fmt: skip
        narrowed["keys.yaml"] = {**keys, "keys": kept}
    return narrowed


def _leads_to(rule: Data) -> list[str]:
    """The providers of a rule, which has one or several targets."""
    return [_plain(target["provider"]) for target in rule.get("targets", [rule])]


def _several(value: Any, default: str) -> list[Any]:
    """A scalar or a list as a list; a missing value means every endpoint."""
    plain = _plain(value)
    return [default] if plain is None else plain if isinstance(plain, list) else [plain]


def count_masked(value: Any) -> int:
    """How many values are not shown."""
    match value:
        case LocatedValue():
            return MASK in str(value.value)
        case dict() | list():
            inner = value.values() if isinstance(value, dict) else value
            return sum(count_masked(item) for item in inner)
        case _:
            return 0


def render_text(files: Mapping[str, Data], *, bare: bool) -> str:
    """YAML, one part for each file; `bare` leaves out where values came from."""
    parts = [
        f"# {name}\n{render_yaml(_plain(data) if bare else data)}" for name, data in files.items()
    ]
    return parts[0].partition("\n")[2] if bare and len(parts) == 1 else "\n".join(parts)


def view_shown(files: Mapping[str, Data], *, bare: bool) -> dict[str, Any]:
    """The same for programs: each value as `{"value": ..., "where": ...}` unless `bare`."""
    shown = {name: _plain(data) if bare else _objects(data) for name, data in files.items()}
    return {"format_version": FORMAT_VERSION, "files": shown}


def _plain(value: Any) -> Any:
    match value:
        case LocatedValue():
            return value.value
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case _:
            return value


def _objects(value: Any) -> Any:
    match value:
        case LocatedValue():
            return {"value": value.value, "where": value.where}
        case dict():
            return {key: _objects(inner) for key, inner in value.items()}
        case _:
            return [_objects(inner) for inner in value]
