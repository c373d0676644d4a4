"""What the requests of one Gateway share: the Plan, connections, caches and counters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.gateway.callers import Callers, CallerTable
from engine.gateway.headers import RelayedNames
from engine.gateway.hooks import NO_HOOKS, Hooks
from engine.gateway.inbound.head import CallerHead, HeadCache
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.outbound.health import Health
from engine.gateway.record import RequestIds
from engine.gateway.response.usage_reader import UsageReader
from engine.gateway.routing.conditions import Facts
from engine.gateway.routing.match import Target, target_by
from engine.gateway.routing.variants import ProviderVariants
from engine.plan.plan import Plan
from engine.upstream import Client
from engine.upstream.cache import BoundedCache
from engine.upstream.limiter import Limiter
from engine.upstream.signers.signing import Signers

MAX_TARGETS_BYTES = 2 * 1024 * 1024  # a model has at most 256 characters


def _target_cache() -> BoundedCache[tuple[str | int, ...], Target]:
    return BoundedCache(MAX_TARGETS_BYTES, MAX_TARGETS_BYTES)


@dataclass(frozen=True, slots=True)
class Runtime:
    """The Plan and what belongs to it in one worker; `limiters` and `health` are by provider.

    `is_closing`: the worker is about to stop, and every response closes its connection. `stored`: all
    callers, if some are not in the Plan. `usage`: readers of the endpoints whose responses have usage.
    """

    plan: Plan
    clients: Mapping[str, Client]
    limiters: Mapping[str, Limiter]
    health: Mapping[str, Health]
    variants: ProviderVariants
    signers: Signers
    heads: HeadCache
    ids: RequestIds
    is_closing: Callable[[], bool]
    hooks: Hooks = NO_HOOKS
    relayed_names: RelayedNames = field(default_factory=RelayedNames)
    targets: BoundedCache[tuple[str | int, ...], Target] = field(default_factory=_target_cache)
    stored: Callers | None = None
    usage: Mapping[str, UsageReader] = field(default_factory=dict)

    @property
    def callers(self) -> CallerTable:
        """Who may call, by the digest of the key; None for anybody."""
        return self.plan.callers if self.stored is None else self.stored

    def in_flight(self, provider: str) -> int:
        """The requests that this worker has under way to `provider`."""
        return self.limiters[provider].in_flight

    def target(self, head: CallerHead, model: str, body: RequestBody) -> Target:
        """Where `model` goes; kept, since callers ask for the same few models, and by rule where conditions decide.

        Raises:
            GatewayError: as `target_by`, or as `read` of Facts.
        """
        endpoint = head.endpoint
        key: tuple[str | int, ...] = endpoint.name, model
        target = self.targets.get(key)
        if target is not None:
            return target
        models = self.plan.models
        facts = None
        if models.has_conditions:
            facts = Facts(head.caller, head.headers, body, head.fields)
        rule = models.find(endpoint.name, model, None if facts is None else facts.read)
        if facts is not None and facts.were_read:
            key = *key, id(rule)  # for another request, another rule may win
            target = self.targets.get(key)
            if target is not None:
                return target
        target = target_by(self.plan, endpoint, model, rule)
        self.targets.put(key, target, 3 * len(model))  # in the key, the target, what is sent
        return target
