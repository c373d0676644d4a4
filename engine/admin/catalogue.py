"""The providers for which an account can save a key, from the configuration as it is on disk."""

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.admin.context import AdminContext
from engine.config.load import Loaded
from engine.config.model import Provider
from engine.plan.plan import Plan
from engine.plan.plan import Provider as RuntimeProvider
from engine.plan.signers import SIGNERS

FRESH_SECONDS = 2.0  # seconds between two checks of the files
MAX_SECRET = 16 * 1024  # characters; a service account of Google has 2,400
_KEY = re.compile(r"[\x21-\x7e]+")  # what can be sent in a header


@dataclass(frozen=True, slots=True)
class CredentialField:
    """A value that a provider needs. `choices` are the only ones allowed, where there are any."""

    name: str
    is_required: bool
    choices: tuple[str, ...] = ()

    @property
    def is_secret(self) -> bool:
        return not self.choices


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider of providers.yaml, with what an account may save for it."""

    name: str
    description: str
    fields: tuple[CredentialField, ...]
    endpoints: tuple[str, ...]
    sets: tuple[frozenset[str], ...] = ()  # of fields, of which one must be whole

    @property
    def single_field(self) -> str | None:
        """The field that `api_key` of the account API stands for; None where it would be a guess."""
        required = [f.name for f in self.fields if f.is_required and f.is_secret]
        named = [f.name for f in self.fields if f.name == "api_key"]
        return named[0] if named else required[0] if len(required) == 1 else None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The configuration as it was read last. `plan` is None while it has errors."""

    loaded: Loaded
    providers: Mapping[str, ProviderEntry]

    @property
    def plan(self) -> Plan | None:
        return self.loaded.plan or self.loaded.plan_before_tests


@dataclass(slots=True)
class CatalogueCache:
    """Loads the configuration when its files have changed, and asks for that every two seconds at most."""

    context: AdminContext
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _checked: float = float("-inf")
    _state: tuple[object, ...] = ()
    _catalogue: Catalogue | None = None

    def read(self) -> Catalogue:
        with self._lock:
            if self._catalogue is None or time.monotonic() - self._checked > FRESH_SECONDS:
                state = _state_of(self.context)
                if self._catalogue is None or state != self._state:
                    self._catalogue = catalogue_of(self.context.load())
                    self._state = state
                self._checked = time.monotonic()
            return self._catalogue


def _state_of(context: AdminContext) -> tuple[object, ...]:
    """Changes when a YAML file of the folder is replaced or written."""
    found = []
    for path in sorted(context.folder.glob("*.yaml")):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((path.name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def catalogue_of(loaded: Loaded) -> Catalogue:
    providers = sorted(loaded.config.providers, key=lambda provider: provider.name)
    plan = loaded.plan or loaded.plan_before_tests
    return Catalogue(loaded, {provider.name: _entry(provider, plan) for provider in providers})


def _entry(provider: Provider, plan: Plan | None) -> ProviderEntry:
    """What can be saved: credentials, and the variables that callers may choose, by their choices alone."""
    secrets = [CredentialField(c.name, not c.optional) for c in provider.credentials]
    compiled = plan.providers.get(provider.name) if plan else None
    allowed = compiled.choices.allowed if compiled and compiled.choices and secrets else {}
    chosen = [
        CredentialField(name, is_required=False, choices=values) for name, values in allowed.items()
    ]
    endpoints = tuple(endpoint.name for endpoint in provider.endpoints)
    sets = _sets(compiled) if compiled else ()
    return ProviderEntry(provider.name, provider.description, (*secrets, *chosen), endpoints, sets)


def _sets(provider: RuntimeProvider) -> tuple[frozenset[str], ...]:
    """The sets of credentials of which one must be whole, where requests are signed or carry a token."""
    sign = provider.account_sign
    if sign is None:
        return ()
    tokens = (h.credentials for h in provider.caller_headers if h.name == b"authorization")
    return (*tokens, frozenset(SIGNERS[sign.signer].needs))


class ValuesError(ValueError):
    """The values for a provider cannot be saved; `field` is the one at fault. Quotes no value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def check_values(entry: ProviderEntry, values: Mapping[str, str]) -> dict[str, str]:
    """`values` without the empty ones, if `entry` takes them.

    Raises:
        ValuesError: one is unknown or missing, or cannot be sent in a header.
    """
    known = {f.name: f for f in entry.fields}
    for name in values:
        if name not in known:
            raise ValuesError(name, f"The provider {entry.name} has no field {name[:60]!r}.")
    given = {name: value for name, value in values.items() if value}
    for name, needed in known.items():
        if needed.is_required and name not in given:
            raise ValuesError(name, f"The provider {entry.name} needs {name}.")
        if name in given:
            _check_value(needed, given[name])
    if not any(known[name].is_secret for name in given):
        raise ValuesError("fields", "There is no value to save.")
    if entry.sets and not any(names <= given.keys() for names in entry.sets):
        sets = ", or ".join(" and ".join(sorted(names)) for names in entry.sets)
        raise ValuesError("fields", f"The provider {entry.name} needs {sets}.")
    return given


def _check_value(field_: CredentialField, value: str) -> None:
    if field_.choices and value not in field_.choices:
        raise ValuesError(field_.name, f"{field_.name} is not one of the allowed values.")
    if len(value) > MAX_SECRET:
        raise ValuesError(field_.name, f"{field_.name} is longer than {MAX_SECRET} characters.")
    if not (_KEY.fullmatch(value) or _is_json(value)):
        text = f"{field_.name} has spaces or characters that cannot be in a key."
        raise ValuesError(field_.name, text)


def _is_json(value: str) -> bool:
    """Whether it is a JSON object, such as the key of a service account."""
    try:
        return value.isascii() and isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False
