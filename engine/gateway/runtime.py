"""What every request of one Gateway works with, and what they remember for each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.gateway.headers import Pairs
from engine.gateway.inbound.head import Heads
from engine.gateway.outbound.health import Health
from engine.gateway.record import RequestIds
from engine.gateway.routing.match import Target, find_target
from engine.gateway.routing.variants import ProviderVariants
from engine.plan.plan import Endpoint, Plan
from engine.upstream import Client
from engine.upstream.limiter import Limiter
from engine.upstream.signers.signing import Signers

MAX_TARGETS = 4096


@dataclass(frozen=True, slots=True)
class Runtime:
    """The Plan and what belongs to it in one worker; `limiters` and `health` are by provider.

    `drain_headers` is what every answer says besides once the server is about to stop.
    """

    plan: Plan
    clients: Mapping[str, Client]
    limiters: dict[str, Limiter]
    health: dict[str, Health]
    variants: ProviderVariants
    signers: Signers
    heads: Heads
    ids: RequestIds
    drain_headers: Pairs = field(default_factory=list)
    targets: dict[tuple[str, str], Target] = field(default_factory=dict)

    def target(self, endpoint: Endpoint, model: str) -> Target:
        """Where `model` goes; remembered, since callers ask for the same few.

        Raises:
            GatewayError: as `find_target`.
        """
        known = self.targets
        target = known.get((endpoint.name, model))
        if target is None:
            target = find_target(self.plan, endpoint, model)
            if len(known) >= MAX_TARGETS:
                known.clear()
            known[endpoint.name, model] = target
        return target
