"""Where one endpoint of a provider is served: origin, path, query, timeouts, and edits of bodies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any


class UsagePolicy(StrEnum):
    """When a provider is asked to include usage in a stream.

    `limited`: where a limit of the caller counts what responses use.
    """

    LIMITED = "limited"
    ALWAYS = "always"
    NEVER = "never"


class UnusableValueError(ValueError):
    """A template rendered to a text that no header or URL can hold."""


# What templates see of one request: credentials, model, endpoint, request (its headers).
Context = Mapping[str, Any]
# None where a name the template uses is absent.
Render = Callable[[Context], str | None]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_byte` runs from the request being sent to the final response headers."""

    connect: float
    first_byte: float
    idle: float
    total: float
    caller_idle: float

    def overridden(self, *overrides: Mapping[str, float]) -> "Timeouts":
        """These with each of `overrides` laid over them in turn."""
        changes = {name: s for some in overrides for name, s in some.items()}
        return replace(self, **changes) if changes else self


@dataclass(frozen=True, slots=True)
class Origin:
    """The server to connect to. Made from YAML only: nothing a caller sends can change it.

    `url` is its text, such as `https://api.example.com`, `authority` the `host` header. `ca` holds
    the CA certificates for it, as PEM, in place of the system's, `proxy` the URL of the
    proxy in between; `key` separates connections that must not be shared.
    """

    scheme: str
    host: str
    port: int
    ca: str | None = field(default=None, repr=False)
    proxy: str | None = None
    url: str = field(init=False, compare=False, repr=False)
    authority: bytes = field(init=False, compare=False, repr=False)
    key: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Write the texts once, since every request needs them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        authority = host + (f":{self.port}" if self.port != default else "")
        object.__setattr__(self, "url", f"{self.scheme}://{authority}")
        object.__setattr__(self, "authority", authority.encode("ascii"))
        trust = "" if self.ca is None else f" {sha256(self.ca.encode()).hexdigest()}"
        way = "" if self.proxy is None else f" {self.proxy}"
        object.__setattr__(self, "key", self.url + trust + way)

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class FieldValue:
    """What a body field is set to: its JSON, and its text in a form."""

    json: bytes
    text: str


@dataclass(frozen=True, slots=True)
class BodyEdits:
    """Changes to the fields of one object, applied in this order.

    `names` are all fields of it that they touch. `inside` has the changes to objects in it, by their
    field; they come last.
    """

    drop: tuple[str, ...]
    rename: Mapping[str, str]
    default: Mapping[str, FieldValue]
    set: Mapping[str, FieldValue]
    names: frozenset[str]
    inside: Mapping[str, "BodyEdits"] = field(default_factory=dict)

    @property
    def sets(self) -> bool:
        """Whether something is set, whatever is there."""
        return bool(self.set) or any(inner.sets for inner in self.inside.values())

    @property
    def adds(self) -> bool:
        """Whether something is added to an object that is empty."""
        return bool(self.default or self.set) or any(i.adds for i in self.inside.values())


@dataclass(frozen=True, slots=True)
class Upstream:
    """One endpoint at one provider. `query` is fixed; its names replace those of the caller.

    `stream_path` takes the place of `path` when the body asks for a stream. `takes` are the fields
    of a JSON body that it knows, None where that is not said. `include_usage` says when usage is
    asked for here, in place of what the endpoint says.
    """

    origin: Origin
    path: bytes | Render
    query: bytes
    query_names: frozenset[bytes]
    timeouts: Timeouts
    stream_path: bytes | Render | None = None
    edits: BodyEdits | None = None
    takes: frozenset[str] | None = None
    include_usage: UsagePolicy | None = None

    def url(self, model: str) -> str:
        """The whole URL for `model`, for people.

        Raises:
            UnusableValueError: the path cannot hold this model.
        """
        path = self.path.decode() if isinstance(self.path, bytes) else self.path({"model": model})
        return f"{self.origin}{path}" + (f"?{self.query.decode()}" if self.query else "")
