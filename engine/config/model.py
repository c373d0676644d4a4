"""Documents that passed their schema as frozen values: defaults filled in, units parsed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.config.prices import PriceFile
from engine.config.rules import BodyEdits, ModelRule, RoutingTest
from engine.config.server import Server
from engine.config.source.document import Path
from engine.plan.limits import CallerLimits
from engine.plan.plan import Breaker, Dialect, Limits, Retry, Timeouts
from engine.plan.tracing import Tracing
from engine.plan.upstream import UsagePolicy
from engine.plan.usage import UsagePlaces

DEFAULT_TIMEOUTS = Timeouts(connect=5, first_byte=600, idle=600, total=1800, caller_idle=30)
DEFAULT_LIMITS = Limits(in_flight=1024, queue=1024, wait=10)
DEFAULT_RETRY = Retry(attempts=1, statuses=frozenset({429, 503, 529}), max_wait=5, budget=0.2)
# The events that end a stream, where an endpoint does not say.
DEFAULT_LAST_EVENTS = {
    Dialect.OPENAI: ("[DONE]",),
    Dialect.ANTHROPIC: ("message_stop", "error"),
    Dialect.RESPONSES: (
        *("response.completed", "response.failed", "response.incomplete", "error", "[DONE]"),
    ),
}
DEFAULT_MAX_BODY = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An entry of `endpoints:`."""

    name: str
    at: Path
    path: str
    also: tuple[str, ...]
    method: str
    bodies: tuple[str, ...]
    default_model: str | None
    dialect: Dialect
    last_events: tuple[str, ...]
    max_body: int
    timeouts: Mapping[str, float]
    drop_query: tuple[str, ...] = ()
    usage: UsagePlaces | None = None
    is_free: bool = False
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class NotExposed:
    """An entry of `not_exposed:`. Without methods it covers every method."""

    at: Path
    paths: tuple[str, ...]
    methods: frozenset[str]
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The entry `listing:`: where the gateway lists its models."""

    at: Path
    paths: tuple[str, ...]
    shape: Dialect
    shape_by_header: Mapping[str, Dialect]


@dataclass(frozen=True, slots=True)
class Cors:
    """The entry `cors:`: which pages may call from a browser; `max_age` is in seconds."""

    origins: tuple[str, ...]
    max_age: float


@dataclass(frozen=True, slots=True)
class Credential:
    """Where an operator's secret comes from: the first variable that is set, or a file."""

    name: str
    at: Path
    env: tuple[str, ...]
    file: str | None
    optional: bool
    required: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A value for templates that is not a secret: a literal, or from the environment."""

    name: str
    at: Path
    value: str | None
    env: tuple[str, ...]
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderEndpoint:
    """Where a provider serves one endpoint: a template below `base_url`, or an absolute URL.

    `grade` is the evidence for the entry, for listings only.
    """

    name: str
    at: Path
    path_at: Path
    path: str
    query: Mapping[str, str]
    stream_path: str | None = None
    body: BodyEdits | None = None
    grade: str | None = None
    takes: tuple[str, ...] | None = None
    include_usage: UsagePolicy | None = None


@dataclass(frozen=True, slots=True)
class CredentialSet:
    """An entry of `accounts:`. None for `callers` or `models` means that it is not narrowed."""

    at: Path
    callers: tuple[str, ...] | None
    models: tuple[str, ...] | None
    credentials: tuple[Credential, ...]
    variables: tuple[Variable, ...]
    weight: int = 1
    credential_limits: CallerLimits | None = None


@dataclass(frozen=True, slots=True)
class Sign:
    """The entry `sign:`: the signer and its settings, which are templates still."""

    at: Path
    signer: str
    settings: Mapping[str, str]
    by_workload_identity: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """The entry `ping:`: a GET of `path`, or `body` sent to `endpoint`."""

    at: Path
    cost: str
    path: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    endpoint: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)

    def as_endpoint(self) -> ProviderEndpoint | None:
        """Where the `path` is served, None without one."""
        if self.path is None:
            return None
        return ProviderEndpoint("ping", self.at, (*self.at, "path"), self.path, self.query)


@dataclass(frozen=True, slots=True)
class Provider:
    """An entry of `providers:`, templates still as text. `ca` is a path."""

    name: str
    at: Path
    description: str
    base_url: str
    variables: tuple[Variable, ...]
    credentials: tuple[Credential, ...]
    headers: Mapping[str, str]
    default_headers: Mapping[str, str]
    forward_headers: tuple[str, ...]
    caller_headers: Mapping[str, str]
    caller_body: Mapping[str, str]
    caller_variable_headers: Mapping[str, str]
    caller_variable_body: Mapping[str, str]
    accounts: tuple[CredentialSet, ...]
    sign: Sign | None
    models: tuple[str, ...]
    endpoints: tuple[ProviderEndpoint, ...]
    not_enabled: tuple[ProviderEndpoint, ...]
    timeouts: Mapping[str, float]
    limits: Limits
    retry: Retry
    breaker: Breaker | None
    client: str
    ca: str | None = None
    proxy: str | None = None
    trace: bool = False
    telemetry_name: str | None = None
    ping: Ping | None = None
    credential_limits: CallerLimits | None = None

    def sample_variables(self) -> dict[str, str]:
        """The values of its variables by the files alone; `placeholder` for those of the environment."""
        return {v.name: "placeholder" if v.value is None else v.value for v in self.variables}

    def with_credential_set(self, credential_set: CredentialSet) -> "Provider":
        """The provider with what `credential_set` replaces."""
        credentials = {c.name: c for c in (*self.credentials, *credential_set.credentials)}
        variables = {v.name: v for v in (*self.variables, *credential_set.variables)}
        for own in self.variables:  # an account may replace a value, not which values are allowed
            variables[own.name] = replace(variables[own.name], choices=own.choices)
        return replace(
            self,
            credentials=tuple(credentials.values()),
            variables=tuple(variables.values()),
            credential_limits=credential_set.credential_limits or self.credential_limits,
        )


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
    limits: CallerLimits | None = None
    limits_at: Path = ()  # in the entry, or at the top of the file


@dataclass(frozen=True, slots=True)
class Config:
    """All of a configuration folder that can be relied on. `keys` None: there is no keys.yaml."""

    timeouts: Timeouts
    endpoints: tuple[Endpoint, ...]
    not_exposed: tuple[NotExposed, ...]
    listing: Listing | None
    cors: Cors | None
    rules: tuple[ModelRule, ...]
    tests: tuple[RoutingTest, ...]
    providers: tuple[Provider, ...]
    keys: tuple[Key, ...] | None
    known_endpoints: frozenset[str]
    known_providers: frozenset[str]
    incomplete: frozenset[str]  # sections from which an entry had to be left out
    server: Server | None = None
    prices: PriceFile | None = None
    tracing: Tracing | None = None
