"""The frozen runtime types: all that the request side knows of configuration.

Made once by `compile`; a request only reads them. Everything that depends on configuration alone
is already bytes here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Dialect(StrEnum):
    """The error envelope that an endpoint's callers expect, named after the API that defined it."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class UnusableValueError(ValueError):
    """A template made something of a request that no header or URL can hold."""


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


@dataclass(frozen=True, slots=True)
class Limits:
    """Per worker: exchanges with a provider at once, how many may wait, and how long (seconds)."""

    in_flight: int
    queue: int
    wait: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that the gateway answers. `bodies` holds `json`, `form` or both; sizes are bytes."""

    name: str
    path: bytes
    method: str
    bodies: frozenset[str]
    default_model: str | None
    dialect: Dialect
    max_body: int
    caller_idle: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """A known path that is answered with a reason. `prefix` ends in `/` for `/x/*`."""

    path: bytes
    is_prefix: bool
    methods: frozenset[str]
    reason: str


@dataclass(frozen=True, slots=True)
class Header:
    """A header to send: bytes when it depends on configuration alone, else a template.

    `credentials` are the names the template needs; the header is left out when one is absent.
    `is_secret`: some credential is in it, even one that has a default.
    """

    name: bytes
    value: bytes | Render
    credentials: frozenset[str] = frozenset()
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """What is dialled. Made from YAML only: nothing a caller sends can change it."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port != default else "")

    @property
    def authority(self) -> bytes:
        """The `host` header."""
        return str(self).partition("//")[2].encode("ascii")


@dataclass(frozen=True, slots=True)
class Upstream:
    """One endpoint at one provider. `query` is fixed; its names replace those of the caller."""

    origin: Origin
    path: bytes | Render
    query: bytes
    query_names: frozenset[bytes]
    timeouts: Timeouts

    def url(self, model: str) -> str:
        """The whole URL for `model`, for people.

        Raises:
            UnusableValueError: the path cannot hold this model.
        """
        path = self.path.decode() if isinstance(self.path, bytes) else self.path({"model": model})
        return f"{self.origin}{path}" + (f"?{self.query.decode()}" if self.query else "")


@dataclass(frozen=True, slots=True)
class CallerCredentials:
    """How a caller brings a provider credential: request header or body field to credential name."""

    headers: Mapping[bytes, str]
    body: Mapping[str, str]


@dataclass(frozen=True, slots=True, repr=False)
class Provider:
    """An upstream API.

    `upstreams` has every endpoint it serves; the value is None while a variable in its URL is not
    set. `missing` lists what to set before the operator's own credentials work, `required` the
    credentials that a caller who brings one must bring. `caller_headers` are `headers` with the
    credentials left open.
    """

    name: str
    upstreams: Mapping[str, Upstream | None]
    headers: tuple[Header, ...]
    caller_headers: tuple[Header, ...]
    required: frozenset[str]
    missing: tuple[str, ...]
    forward: frozenset[bytes]
    forward_prefixes: tuple[bytes, ...]
    caller_credentials: CallerCredentials
    limits: Limits
    client: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A model rule. `where` is its line (`routes.yaml:41`); `endpoints` None means every one."""

    pattern: str
    is_prefix: bool
    provider: str
    endpoints: tuple[str, ...] | None
    rename: str | None
    strip: bool
    where: str

    def sent_model(self, model: str) -> str:
        """The name the provider gets for `model`."""
        if self.rename is not None:
            return self.rename
        return model[len(self.pattern) :] if self.strip else model


@dataclass(frozen=True, slots=True)
class Slot:
    """The rules that share one pattern: by endpoint, and the one that is not narrowed."""

    narrowed: Mapping[str, Rule]
    anywhere: Rule | None

    def rule(self, endpoint: str) -> Rule | None:
        return self.narrowed.get(endpoint, self.anywhere)


@dataclass(frozen=True, slots=True)
class ModelTable:
    """Model rules by pattern. A look-up probes each distinct prefix length, longest first."""

    exact: Mapping[str, Slot]
    prefixes: Mapping[str, Slot]
    lengths: tuple[int, ...]

    def find(self, endpoint: str, model: str) -> Rule | None:
        """The most specific rule for `model` at `endpoint`."""
        slot = self.exact.get(model)
        rule = slot.rule(endpoint) if slot else None
        if rule is not None:
            return rule
        for length in self.lengths:
            slot = self.prefixes.get(model[:length]) if length <= len(model) else None
            rule = slot.rule(endpoint) if slot else None
            if rule is not None:
                return rule
        return None


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a gateway key. None for `endpoints` or `models` means all of them."""

    name: str
    endpoints: frozenset[str] | None
    models: frozenset[str] | None
    model_prefixes: tuple[str, ...]
    expires: float | None

    def may_use_model(self, model: str) -> bool:
        if self.models is None:
            return True
        return model in self.models or model.startswith(self.model_prefixes)


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """A whole configuration, ready to serve. `callers` None means that no key is asked for.

    `caller_fields` are the body fields in which any provider takes a caller's credential.
    """

    endpoints: Mapping[bytes, Mapping[str, Endpoint]]
    refusals: tuple[Refusal, ...]
    models: ModelTable
    rules: tuple[Rule, ...]
    providers: Mapping[str, Provider]
    callers: Mapping[bytes, Caller] | None
    caller_fields: frozenset[str]
    fingerprint: str

    def decide(self, endpoint: str, model: str) -> "Decision":
        """Where a request for `model` at `endpoint` goes, or why it goes nowhere."""
        rule = self.models.find(endpoint, model)
        if rule is None:
            return Decision(model, model, None, None, None, "model_not_found")
        provider = self.providers[rule.provider]
        sent = rule.sent_model(model)
        if not sent:
            return Decision(model, sent, rule, provider, None, "model_not_found")
        if endpoint not in provider.upstreams:
            return Decision(model, sent, rule, provider, None, "endpoint_not_supported")
        return Decision(model, sent, rule, provider, provider.upstreams[endpoint], None)

    def endpoint(self, name: str) -> Endpoint | None:
        """The endpoint called `name`; for commands, not for requests."""
        every = (e for methods in self.endpoints.values() for e in methods.values())
        return next((e for e in every if e.name == name), None)


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of routing: the rule that won and where it leads, or the `refusal` code."""

    model: str
    sent_model: str
    rule: Rule | None
    provider: Provider | None
    upstream: Upstream | None
    refusal: str | None
