"""The frozen runtime types: all that the request side knows of configuration.

Made once by `compile`; a request only reads them. Everything that depends on configuration alone
is already bytes here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.plan.callers import Account, Caller
from engine.plan.conditions import Read
from engine.plan.limits import CallerLimits
from engine.plan.prices import Prices
from engine.plan.provider import (
    Breaker,
    CallerCredentials,
    CallerInputs,
    Choices,
    CredentialSet,
    Header,
    Limits,
    Names,
    Ping,
    Provider,
    Retry,
    Sign,
)
from engine.plan.rules import ModelTable, PatternRules, Rule, RuleTarget
from engine.plan.tracing import Tracing
from engine.plan.upstream import (
    BodyEdits,
    Context,
    FieldValue,
    Origin,
    Render,
    Timeouts,
    UnusableValueError,
    Upstream,
)
from engine.plan.usage import UsagePlaces

__all__ = [
    "ROUTING_FIELDS",
    "Account",
    "BodyEdits",
    "Breaker",
    "Caller",
    "CallerCredentials",
    "CallerInputs",
    "CallerLimits",
    "Choices",
    "Context",
    "Cors",
    "CredentialSet",
    "Decision",
    "Dialect",
    "Endpoint",
    "FieldValue",
    "Header",
    "Limits",
    "Listing",
    "ModelTable",
    "Names",
    "Origin",
    "PatternRules",
    "Ping",
    "Plan",
    "Provider",
    "RefusedPath",
    "Render",
    "Retry",
    "Rule",
    "RuleTarget",
    "Sign",
    "Timeouts",
    "UnusableValueError",
    "Upstream",
]


class Dialect(StrEnum):
    """The format of errors and events that callers expect, named after the API that defined it."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    RESPONSES = "responses"


# The body fields that decide where any request goes.
ROUTING_FIELDS = frozenset({"model", "stream"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that the gateway serves. `bodies` holds `json`, `form` or both; sizes are bytes.

    `edited_fields` are the body fields that some provider or rule changes there, `routing_fields` these and all
    others that decide something; `drop_query` are query parameters of its paths with `{model}` that
    are not forwarded. `odd_models` are the exact names of models that have spaces or are not ASCII, all
    others being refused. `last_events` are the names, or the data, of the events that end a stream;
    `usage` is where a response has its counts; requests of one that `is_free` cost nothing, and use no tokens. `operation` is what traces call a request.
    """

    name: str
    path: bytes
    method: str
    bodies: frozenset[str]
    default_model: str | None
    dialect: Dialect
    max_body: int
    caller_idle: float
    total: float = 3600.0
    edited_fields: frozenset[str] = frozenset()
    routing_fields: frozenset[str] = ROUTING_FIELDS
    drop_query: frozenset[bytes] = frozenset()
    odd_models: frozenset[str] = frozenset()
    last_events: tuple[bytes, ...] = ()
    usage: UsagePlaces | None = None
    is_free: bool = False
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class RefusedPath:
    """A known path that is refused with a reason. A `path` that ends in `/` is from `/x/*`."""

    path: bytes
    is_prefix: bool
    methods: frozenset[str]
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Where the gateway lists the models; a header may choose another shape."""

    paths: tuple[bytes, ...]
    shape: Dialect
    shape_by_header: tuple[tuple[bytes, Dialect], ...]

    def requested(self, path: bytes) -> bytes | None:
        """What `path` asks for: b"" for the list, or one model; None for something else."""
        for known in self.paths:
            if path == known:
                return b""
            if path.startswith(known + b"/") and len(path) > len(known) + 1:
                return path[len(known) + 1 :]
        return None


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages may call from a browser: `origins` as browsers send them, or b"*"."""

    origins: frozenset[bytes]
    max_age: int


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """A whole configuration, ready to serve. `callers` None means that no key is required.

    `caller_fields` are the body fields from which any provider takes something of the caller. A path
    among `endpoints` may have one segment `{model}`; `model_depths` are its positions. `listed`
    are the models that the configuration names, each with its provider. `caller_idle` (seconds) is
    for what is sent where no endpoint matches.
    """

    endpoints: Mapping[bytes, Mapping[str, Endpoint]]
    refusals: tuple[RefusedPath, ...]
    models: ModelTable
    rules: tuple[Rule, ...]
    providers: Mapping[str, Provider]
    callers: Mapping[bytes, Caller] | None
    caller_fields: frozenset[str]
    listing: Listing | None
    cors: Cors | None
    caller_idle: float
    fingerprint: str
    model_depths: tuple[int, ...] = ()
    listed: tuple[tuple[str, str], ...] = ()
    prices: Prices | None = None
    tracing: Tracing | None = None

    def decide(self, endpoint: str, model: str, read: Read | None = None) -> "Decision":
        """Where a request for `model` at `endpoint` goes, or why it goes nowhere.

        `read` gets what conditions ask for; without it, none is met.
        """
        return self.decide_by(self.models.find(endpoint, model, read), endpoint, model)

    def decide_by(self, rule: Rule | None, endpoint: str, model: str) -> "Decision":
        """Where `rule` leads a request for `model`."""
        if rule is None:
            return Decision(model, model, None, None, None, "model_not_found")
        rule_target = next(
            (w for w in rule.targets if endpoint in self.providers[w.provider].upstreams), None
        )
        return self.decide_target(rule, endpoint, model, rule_target)

    def decide_target(
        self, rule: Rule, endpoint: str, model: str, rule_target: RuleTarget | None
    ) -> "Decision":
        """Where `rule` leads a request, by one of its targets if it has several."""
        provider = self.providers[(rule_target or rule).provider]
        sent = rule.sent_model(model, rule_target)
        upstream, refusal = provider.upstreams.get(endpoint), None
        if not sent:
            upstream, refusal = None, "model_not_found"
        elif endpoint not in provider.upstreams:
            refusal = "endpoint_not_supported"
        return Decision(model, sent, rule, provider, upstream, refusal, rule_target)

    def possible_decisions(self, endpoint: str, model: str) -> Iterator["Decision"]:
        """Everywhere that some request for `model` at `endpoint` may go, by each target of each rule."""
        for rule in self.models.possible_rules(endpoint, model):
            for rule_target in rule.targets or (None,):
                decision = self.decide_target(rule, endpoint, model, rule_target)
                if decision.refusal is None:
                    yield decision

    def public_names(self, provider: Provider) -> dict[str, str | None]:
        """The shortest name by which callers reach each model of `provider`, None where there is none; for listings."""
        rules = [rule for rule in self.rules if rule.provider == provider.name]
        return {model: self._public_name(rules, provider, model) for model in provider.models}

    def _public_name(self, rules: list[Rule], provider: Provider, model: str) -> str | None:
        names = {model, *(r.pattern for r in rules if r.rename == model and not r.is_prefix)}
        stripped = (r for r in rules if r.strip and model.startswith(r.stem))
        names |= {rule.pattern + model[len(rule.stem) :] for rule in stripped}
        shortest_first = sorted(names, key=lambda name: (len(name), name))
        return next((n for n in shortest_first if self._leads(n, provider, model)), None)

    def _leads(self, name: str, provider: Provider, model: str) -> bool:
        found = (r for e in provider.upstreams for r in self.models.possible_rules(e, name))
        return any(r.provider == provider.name and r.sent_model(name) == model for r in found)

    def endpoint(self, name: str) -> Endpoint | None:
        """The endpoint called `name`; for commands, not for requests."""
        return next((e for e in self.every_endpoint() if e.name == name), None)

    def every_endpoint(self) -> list[Endpoint]:
        """Each endpoint once, however many paths it has; for commands and listings."""
        every = (e for methods in self.endpoints.values() for e in methods.values())
        return list({e.name: e for e in every}.values())


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of routing: the rule that won and where it leads, or the `refusal` code.

    `rule_target` is the one of its targets, if it has several.
    """

    model: str
    sent_model: str
    rule: Rule | None
    provider: Provider | None
    upstream: Upstream | None
    refusal: str | None
    rule_target: RuleTarget | None = None
