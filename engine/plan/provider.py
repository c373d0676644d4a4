"""The frozen runtime types of one provider; a part of `plan`, from where others import them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from engine.plan.limits import CallerLimits
from engine.plan.upstream import Origin, Render, Upstream


@dataclass(frozen=True, slots=True)
class Limits:
    """Per worker: exchanges with a provider at once, how many may wait, and how long (seconds)."""

    in_flight: int
    queue: int
    wait: float


@dataclass(frozen=True, slots=True)
class Retry:
    """When a request may be sent again: the conditions, and the share of requests that may be retries."""

    attempts: int
    statuses: frozenset[int]
    max_wait: float
    budget: float


@dataclass(frozen=True, slots=True)
class Breaker:
    """What opens it: failures in a row, or a share of the last `requests`; and for how long."""

    failures: int | None
    ratio: float | None
    requests: int
    open: float


@dataclass(frozen=True, slots=True)
class Header:
    """A header to send: bytes when it depends on configuration alone, else a template.

    `credentials` are the names the template needs; the header is left out when one is absent.
    `is_secret`: some credential is in it, even one that has a default. `needs_request`: the template
    inserts something of the request too.
    """

    name: bytes
    value: bytes | Render
    credentials: frozenset[str] = frozenset()
    is_secret: bool = False
    needs_request: bool = True


@dataclass(frozen=True, slots=True)
class CallerCredentials:
    """How a caller sends a provider credential: request header or body field to credential name."""

    headers: Mapping[bytes, str]
    body: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CallerInputs:
    """What callers may send to any provider: credentials by header and body field, and choices by field.

    None of it is forwarded as it came, whichever provider a request is for.
    """

    headers: frozenset[bytes] = frozenset()
    fields: frozenset[str] = frozenset()
    choice_fields: frozenset[str] = frozenset()
    every_field: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Join the fields once, since every request needs them."""
        object.__setattr__(self, "every_field", self.fields | self.choice_fields)


@dataclass(frozen=True, slots=True, repr=False)
class Sign:
    """How a request is signed: the signer, its settings, and the credentials by its names.

    `by_workload_identity`: with the workload identity, which the signer finds; there are no credentials then.
    `is_of_account`: they are an account's, so where the operator's would name a file they are its text.
    """

    signer: str
    settings: Mapping[str, str]
    credentials: Mapping[str, str]
    by_workload_identity: bool = False
    is_of_account: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """A set of names, some given as prefixes."""

    exact: frozenset[str]
    prefixes: tuple[str, ...]

    def __contains__(self, name: str) -> bool:
        return name in self.exact or name.startswith(self.prefixes)


@dataclass(frozen=True, slots=True, repr=False)
class CredentialSet:
    """The same provider with other credentials or variables, for some callers or models.

    `providers` are used in turn; None for `callers` or `models` means all of them. `where` has the
    line of each. `rotation`, if any, are the places in `providers` in an order by weight.
    """

    callers: Names | None
    models: Names | None
    providers: tuple["Provider", ...]
    where: tuple[str, ...]
    rotation: tuple[int, ...] = ()

    def matches(self, caller: str, model: str) -> bool:
        return (self.callers is None or caller in self.callers) and (
            self.models is None or model in self.models
        )


@dataclass(frozen=True, slots=True, repr=False)
class Choices:
    """Variables that a caller may choose: by request header or body field, and the result of each choice.

    `allowed` has the values of each variable; `own` those of the operator; `providers` one
    provider for each combination.
    """

    headers: Mapping[bytes, str]
    body: Mapping[str, str]
    allowed: Mapping[str, tuple[str, ...]]
    own: Mapping[str, str]
    providers: Mapping[frozenset[tuple[str, str]], "Provider"]

    def choose(self, chosen: Mapping[str, str]) -> "Provider":
        """The provider for these values; the operator's own are used for what is not chosen."""
        return self.providers[frozenset({**self.own, **chosen}.items())]


@dataclass(frozen=True, slots=True, repr=False)
class Ping:
    """The cheapest harmless request to a provider, for `engine ping`.

    A GET at `upstream`, None while a variable in its URL is not set; or the JSON `body`, which asks
    for `model`, sent to `endpoint`. `cost` is `free` or `one_token`.
    """

    cost: str
    upstream: Upstream | None = None
    endpoint: str | None = None
    model: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True, repr=False)
class Provider:
    """An upstream API.

    `upstreams` has every endpoint it serves; the value is None while a variable in its URL is not
    set. `missing` lists what to set before the operator's own credentials work, `required` the
    credentials that a caller who sends one must send. `caller_headers` are `headers` with the
    credentials left open. `default_headers` are sent unless the caller sends its own. `sign` is
    None where the headers carry a credential; `caller_sign` is what is left open for a caller's credentials, and
    `account_sign` for those of an account.
    `accounts`, the most specific first, and `choices` lead to other variants of this provider.
    `caller_inputs` is the same for all providers of a Plan. `is_of_account`: it has the credentials of
    the account whose callers use it. `trace`: it gets the trace context; `telemetry_name` is what traces call it.
    `ping` is the request by which its credentials are tried, None where none is declared. `credential_limits` are
    what may be used with its credentials, counted in the scope `credential_scope`.
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
    retry: Retry
    breaker: Breaker | None
    client: str
    default_headers: tuple[tuple[bytes, bytes], ...] = ()
    sign: Sign | None = None
    caller_sign: Sign | None = None
    account_sign: Sign | None = None
    accounts: tuple[CredentialSet, ...] = ()
    choices: Choices | None = None
    models: tuple[str, ...] = ()
    caller_inputs: CallerInputs = CallerInputs()
    is_of_account: bool = False
    trace: bool = False
    telemetry_name: str | None = None
    ping: Ping | None = None
    credential_limits: CallerLimits | None = None
    credential_scope: str = ""
    single_attempt: bool = field(init=False, compare=False)
    has_credentials_to_choose: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Derive once whether a request is sent to it only once, whatever the result, and whether its credentials depend on the request."""
        is_single = self.breaker is None and self.retry.attempts == 1
        object.__setattr__(self, "single_attempt", is_single)
        has_several = bool(self.accounts or self.choices or self.credential_limits)
        object.__setattr__(self, "has_credentials_to_choose", has_several)

    def variants(self) -> Iterator["Provider"]:
        """The provider itself, and every other variant of it."""
        yield self
        for credential_set in self.accounts:
            for variant in credential_set.providers:
                yield from variant.variants()
        for variant in self.choices.providers.values() if self.choices else ():
            yield from variant.variants()

    def at_origin(self, origin: Origin, *, signs: bool) -> "Provider":
        """The provider and every other variant of it, connected to `origin` instead.

        No workload identity is sent there; unless it `signs`, no token is fetched either.
        """
        upstreams = {
            endpoint: upstream and replace(upstream, origin=origin)
            for endpoint, upstream in self.upstreams.items()
        }
        accounts = tuple(
            replace(
                credential_set,
                providers=tuple(p.at_origin(origin, signs=signs) for p in credential_set.providers),
            )
            for credential_set in self.accounts
        )
        choices = self.choices
        if choices is not None:
            variants = {
                pick: p.at_origin(origin, signs=signs) for pick, p in choices.providers.items()
            }
            choices = replace(choices, providers=variants)
        sign = (
            None
            if not signs or (self.sign is not None and self.sign.by_workload_identity)
            else self.sign
        )
        account_sign = self.account_sign if signs else None
        ping = self.ping and replace(
            self.ping, upstream=self.ping.upstream and replace(self.ping.upstream, origin=origin)
        )
        return replace(
            self,
            upstreams=upstreams,
            accounts=accounts,
            choices=choices,
            sign=sign,
            account_sign=account_sign,
            ping=ping,
        )
