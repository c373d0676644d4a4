"""What an importer gathers before anything is written: deployments, groups of them, gateway keys, settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.config.source.any_yaml import ForeignDocument, Path
from engine.importers.tables import Kind


@dataclass(slots=True)
class Deployment:
    """One way to reach a model: a provider with an address, credentials and options.

    `name` is what callers write. `credentials` and `variables` hold names of environment
    variables as `{env: NAME}`, or for variables also text. `defaults` are fields of the body that callers may leave out.
    """

    file: str
    at: Path
    name: str = ""
    kind: Kind | None = None
    model: str = ""
    base: Any = None
    credentials: dict[str, Any] = field(default_factory=dict)
    accounts: list[dict[str, Any]] = field(default_factory=list)  # further credentials
    behind: list["Deployment"] = field(default_factory=list)  # those it has accounts from
    key_at: Path | None = None
    without: set[str] = field(default_factory=set)
    variables: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    drop_params: bool = False
    unsupported: tuple[str, ...] = ()  # what drop_params takes out of chat completions
    unsupported_by_model: tuple[str, ...] = ()
    chat_drop: tuple[str, ...] = ()  # fields to remove from chat completions
    timeouts: dict[str, str] = field(default_factory=dict)
    attempts: int | None = None
    in_flight: int | None = None
    open: str | None = None
    weight: int | None = None
    share: int | None = None
    order: int = 0
    mode: str = ""
    named_at: Path | None = None  # where the model is named, if `at` has others besides
    fallback_on: tuple[str, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ImportContext:
    """What an import knows beside its documents.

    `environ` is asked for a master key alone, of which only the SHA-256 is kept. `today` is the date of imported prices. `keys` is a list
    of gateway keys with their hashes, if there is one.
    """

    environ: Mapping[str, str]
    today: str
    keys: ForeignDocument | None = None


@dataclass(slots=True)
class Settings:
    """What holds for all deployments."""

    timeouts: dict[str, str] = field(default_factory=dict)
    attempts: int | None = None
    failures: int | None = None
    open: str | None = None
    drop: list[str] = field(default_factory=list)
    in_flight: int | None = None
    drop_params: bool = False
    variables: dict[str, Any] = field(default_factory=dict)
    metrics: bool = False
    tracing: bool = False
    balance: str | None = None
    max_body: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that callers use, "" for every name, and another one that stands for it or comes after it."""

    file: str
    at: Path
    name: str
    to: str


@dataclass(slots=True)
class Draft:
    """All of an import. `groups` are the deployments behind a name that callers use; `fallbacks` what comes after them."""

    groups: dict[str, list[Deployment]] = field(default_factory=dict)
    fallbacks: list[Reference] = field(default_factory=list)
    aliases: list[Reference] = field(default_factory=list)
    keys: list[dict[str, Any]] = field(default_factory=list)
    settings: Settings = field(default_factory=Settings)
