"""Deployments -> entries of providers.yaml: the shipped entry of each, cut down to what is used."""

import copy
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.importers.draft import Deployment, Settings
from engine.importers.tables import Kind, table
from engine.importers.variables import Variables

_LEFT_OUT = ("models", "caller_credentials", "caller_variables", "accounts", "description")


@dataclass(slots=True)
class Providers:
    """Entries by name; deployments that need the same entry share it."""

    variables: Variables
    settings: Settings
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def add(self, deployment: Deployment, kind: Kind, endpoints: Iterable[str]) -> str:
        """The name of the entry for a deployment, which serves `endpoints` as well from now on."""
        entry = self._entry(deployment, kind)
        parts = [kind.name, deployment.chat_drop, {**entry, "endpoints": {}}]
        identity = json.dumps(parts, sort_keys=True, default=str)
        if identity not in self._names:
            self._names[identity] = self._name(deployment, kind)
            self.entries[self._names[identity]] = {**entry, "endpoints": {}}
        name = self._names[identity]
        served = self.entries[name]["endpoints"]
        for endpoint in endpoints:
            drop = deployment.chat_drop if endpoint == table("kinds")["modes"]["chat"][0] else ()
            served[endpoint] = _slim(_with_drop(entry["endpoints"][endpoint], drop))
        self.entries[name] = without_unused(self.entries[name])
        return name

    def _name(self, deployment: Deployment, kind: Kind) -> str:
        """The name of the kind; with the host or variable where there are several, or a number."""
        hint = deployment.base if isinstance(deployment.base, str) else ""
        host = re.sub(r"^https?://", "", hint).split("/")[0].split(":")[0]
        label = host if re.fullmatch(r"[0-9.]+", host) else host.split(".")[0]
        variable = next((c["env"] for c in deployment.credentials.values() if "env" in c), "")
        options = [
            kind.name,
            *(f"{kind.name}_{slug}" for slug in (_slug(label), _slug(variable)) if slug),
        ]
        free = next((name for name in options if name not in self.entries), None)
        number = 2
        while free is None:
            free = f"{kind.name}_{number}" if f"{kind.name}_{number}" not in self.entries else None
            number += 1
        return free

    def _entry(self, deployment: Deployment, kind: Kind) -> dict[str, Any]:
        entry = copy.deepcopy({k: v for k, v in kind.entry.items() if k not in _LEFT_OUT})
        self._set_base(entry, deployment, kind)
        self._set_credentials(entry, deployment, kind)
        self._set_accounts(entry, deployment, kind)
        for name, value in deployment.variables.items():
            entry.setdefault("variables", {})[name] = value
        if deployment.headers:
            entry["headers"] = {**entry.get("headers", {}), **deployment.headers}
        self._set_options(entry, deployment)
        return _with_addresses(entry)

    def keep_only(self, names: set[str]) -> None:
        """Leave out the entries that no rule names."""
        self.entries = {name: entry for name, entry in self.entries.items() if name in names}

    def _set_base(self, entry: dict[str, Any], deployment: Deployment, kind: Kind) -> None:
        base = deployment.base
        if base is None and not entry["base_url"]:
            base = {"unknown": True}
        if base is None:
            return
        if isinstance(base, dict) and "unknown" in base:
            name, _ = self.variables.use(f"{kind.name}_BASE_URL", f"the address of {kind.name}")
            base = {"env": name}
        has_server = "server" in entry.get("variables", {})
        if not has_server:
            entry.pop("ping", None)  # of the vendor's own address
        if isinstance(base, dict):
            variable = "server" if has_server else "base"
            entry.setdefault("variables", {})[variable] = base
            suffix = "" if has_server else kind.suffix
            entry["base_url"] = (
                entry["base_url"] if has_server else f"{{{{ variables.{variable} }}}}{suffix}"
            )
        elif has_server:
            entry["base_url"] = re.sub(r"/v1$", "", base) + "/v1"
        else:
            entry["base_url"] = _joined(base, kind.suffix, entry)
        host = re.compile(r"^https?://[^/]+(?:/compatibility)?(?:/v1(?=/))?")
        for name, endpoint in entry["endpoints"].items():
            path = endpoint["path"] if isinstance(endpoint, dict) else endpoint
            if path.startswith("http") and isinstance(endpoint, dict):
                entry["endpoints"][name] = {**endpoint, "path": host.sub("", path)}

    def _set_credentials(self, entry: dict[str, Any], deployment: Deployment, kind: Kind) -> None:
        known: dict[str, Any] = entry.setdefault("credentials", {})
        if "sign" not in entry:
            unused = [n for n, c in known.items() if c.get("optional") or n in deployment.without]
            for name in set(unused) - deployment.credentials.keys():
                del known[name]
        for name, source in deployment.credentials.items():
            known[name] = {"env": self._variable(name, source, known, kind)}
            if name == "api_key" and "{{ credentials.api_key }}" not in json.dumps(
                entry.get("headers", {})
            ):
                entry.setdefault("headers", {})["authorization"] = (
                    "Bearer {{ credentials.api_key }}"
                )
        entry["headers"] = {
            name: text
            for name, text in entry.get("headers", {}).items()
            if all(used in known for used in re.findall(r"credentials\.(\w+)", text))
        }
        for source in known.values():
            for variable in (
                [source["env"]] if isinstance(source.get("env"), str) else source.get("env", [])
            ):
                self.variables.use(variable)
        for key in ("credentials", "headers"):
            if not entry[key]:
                del entry[key]

    def _set_accounts(self, entry: dict[str, Any], deployment: Deployment, kind: Kind) -> None:
        """Add the further credential sets of a deployment."""
        known = kind.entry.get("credentials", {})
        sets = [
            {
                name: {"env": self._variable(name, source, known, kind)}
                for name, source in each.items()
            }
            for each in deployment.accounts
        ]
        for name in {source["env"] for each in sets for source in each.values()}:
            self.variables.use(name)
        if sets:
            entry["accounts"] = [{"credentials": each} for each in sets]

    def _variable(
        self,
        name: str,
        source: Mapping[str, Any],
        known: Mapping[str, Any],
        kind: Kind,
    ) -> str:
        if "env" in source:
            return str(source["env"])
        usual = known.get(name, {}).get("env", f"{kind.name}_{name}")
        wanted = usual if isinstance(usual, str) else usual[0]
        return self.variables.name_secret(source["secret"], wanted)

    def _set_options(self, entry: dict[str, Any], deployment: Deployment) -> None:
        attempts = deployment.attempts or self.settings.attempts
        if attempts and attempts > 1:
            entry["retry"] = {"attempts": attempts}
        cooldown = deployment.open or self.settings.open
        if self.settings.failures or cooldown:
            entry["breaker"] = {"failures": self.settings.failures or 4, "open": cooldown or "5s"}
        if deployment.in_flight:
            entry["limits"] = {"in_flight": deployment.in_flight}


def _with_addresses(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with the default of each variable that is a host or an address, which other programs read nowhere."""
    variables = entry.get("variables", {})
    plain = {
        n: v["default"]
        for n, v in variables.items()
        if isinstance(v, dict) and re.search(r"[./]", v.get("default", "")) and "env" in v
    }
    text = json.dumps({key: value for key, value in entry.items() if key != "variables"})
    for name, value in plain.items():
        text = text.replace(f"{{{{ variables.{name} }}}}", value)
    return {
        **(
            {"variables": {n: v for n, v in variables.items() if n not in plain}}
            if variables
            else {}
        ),
        **json.loads(text),
    }


def _joined(base: str, suffix: str, entry: Mapping[str, Any]) -> str:
    """The address with what the entry's paths do not bring, without what they do."""
    stem = suffix.split("/", 2)[1] if suffix else ""
    if stem:
        base = re.sub(rf"/(?:{stem}(?:/.*)?|v1)$", "", base)
        return base + suffix
    paths = [e["path"] if isinstance(e, dict) else e for e in entry["endpoints"].values()]
    for path in paths:
        base = base.removesuffix(path)
    if any(path.startswith("/v1/") for path in paths) and base.endswith("/v1"):
        return base.removesuffix("/v1")
    return base


def without_unused(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry without variables that nothing in it uses, in the order of the reference."""
    variables = entry.get("variables", {})
    rest = json.dumps({key: value for key, value in entry.items() if key != "variables"})
    used = {name: value for name, value in variables.items() if f"variables.{name} " in rest}
    order = (
        "variables",
        "base_url",
        "credentials",
        "headers",
        "default_headers",
        "forward_headers",
        "sign",
    )
    found = {**entry, "variables": {name: _only_source(value) for name, value in used.items()}}
    if not used:
        del found["variables"]
    endpoints = found.pop("endpoints")
    ordered = {key: found[key] for key in (*order, *found) if key in found}
    return {**ordered, "endpoints": endpoints}


def _only_source(value: Any) -> Any:
    """A variable without its choices, which are for callers."""
    return {k: v for k, v in value.items() if k != "choices"} if isinstance(value, dict) else value


def served(kind: Kind) -> dict[str, Any]:
    """The endpoints of an entry that are enabled."""
    return {
        name: e
        for name, e in kind.entry["endpoints"].items()
        if not isinstance(e, dict) or e.get("enabled", True)
    }


def _with_drop(endpoint: Any, names: Iterable[str]) -> Any:
    """An endpoint that also removes the fields `names` of a body."""
    if not names:
        return endpoint
    found = dict(endpoint) if isinstance(endpoint, dict) else {"path": endpoint}
    body = found.get("body", {})
    found["body"] = {**body, "drop": sorted({*body.get("drop", ()), *names})}
    return found


def _slim(endpoint: Any) -> Any:
    """An endpoint without what only listings show."""
    if not isinstance(endpoint, dict):
        return endpoint
    rest = {key: value for key, value in endpoint.items() if key not in ("grade", "enabled")}
    return rest["path"] if set(rest) == {"path"} else rest


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
