"""Who calls: the holders of gateway keys, and the accounts that these belong to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.plan.limits import CallerLimits, Rate

# Fields in which a request names models besides `model`, to be tried when that one fails: a provider
# that is a gateway itself reads them. What they name is not routed here, so it cannot be compared
# with the models of a key.
FURTHER_MODELS = frozenset({"models", "fallbacks"})


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Account:
    """An account as it was at one moment. `credentials` are its provider keys: by provider, then by name.

    `limits` are those of all of its keys together.
    """

    id: str
    credentials: Mapping[str, Mapping[str, str]]
    limits: CallerLimits | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a gateway key. None for `endpoints` or `models` means all of them.

    A key of an account has its `account` and `digest`, and always an `expires`, if need be infinite.
    `scopes` are the names and limits that count all of its requests: its own, and those of its account. `counts_usage` and `counts_usd`: a limit counts what its requests use, or what they cost. `one_rate`: the rate
    of requests that is all that limits it, behind its scope.
    """

    name: str
    endpoints: frozenset[str] | None
    models: frozenset[str] | None
    model_prefixes: tuple[str, ...]
    expires: float | None
    account: Account | None = None
    digest: bytes = b""
    limits: CallerLimits | None = None
    scopes: tuple[tuple[str, CallerLimits], ...] = field(init=False, repr=False, compare=False)
    counts_usage: bool = field(init=False, repr=False, compare=False)
    counts_usd: bool = field(init=False, repr=False, compare=False)
    one_rate: tuple[str, CallerLimits, Rate] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        named = [(self.name, self.limits)]
        if self.account is not None:
            named.append((f"@{self.account.id}", self.account.limits))
        scopes = tuple((name, limits) for name, limits in named if limits is not None)
        every = [limits for _, limits in scopes]
        object.__setattr__(self, "scopes", scopes)
        object.__setattr__(self, "counts_usage", any(limits.counts_usage for limits in every))
        object.__setattr__(self, "counts_usd", any(limits.counts_usd for limits in every))
        rates = [(*s, s[1].only_rate) for s in scopes if s[1].only_rate and not s[1].models]
        object.__setattr__(self, "one_rate", rates[0] if len(rates) == len(scopes) == 1 else None)

    def may_use_model(self, model: str) -> bool:
        if self.models is None:
            return True
        return model in self.models or model.startswith(self.model_prefixes)
