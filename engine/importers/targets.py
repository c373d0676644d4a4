"""The targets of a rule: their order, weights and tiers, and as many of them as a rule may have."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine.importers.draft import Deployment

MAX_TARGETS = 8
MAX_WEIGHT = 1000
MAX_TIERS = 8


@dataclass(slots=True)
class ImportedTarget:
    """A target of a rule, and the deployment it comes from."""

    provider: str
    sent: str
    deployment: Deployment
    endpoints: tuple[str, ...]


@dataclass(slots=True)
class ImportedEntry:
    """A target as a rule has it, its tier, and the targets of the source that it stands for."""

    written: dict[str, Any]
    tier: int
    is_fallback: bool
    targets: list[ImportedTarget]


# A target, its weight, if any, its tier, and whether it is a fallback.
WeightedTarget: TypeAlias = tuple[ImportedTarget, int | None, int, bool]


def distinct(name: str, targets: Iterable[WeightedTarget]) -> list[ImportedEntry]:
    """The targets as a rule has them; of equal ones the first, with the weights of all of its tier."""
    found: dict[str, ImportedEntry] = {}
    for target, weight, tier, is_fallback in targets:
        more = _body(target.deployment)
        if target.deployment.timeouts:
            more["timeouts"] = dict(target.deployment.timeouts)
        key = json.dumps([target.provider, target.sent, more], sort_keys=True, default=str)
        if key not in found:
            written = {"provider": target.provider, **_sent(name, target), **more}
            written |= {"weight": weight} if weight else {}
            written |= {"tier": tier} if tier > 1 else {}
            found[key] = ImportedEntry(written, tier, is_fallback, [])
        elif weight and found[key].tier == tier and "weight" in found[key].written:
            summed = found[key].written["weight"] + weight
            found[key].written["weight"] = min(summed, MAX_WEIGHT)
        found[key].targets.append(target)
    return list(found.values())


def limit_targets(entries: list[ImportedEntry]) -> list[ImportedEntry]:
    """As many as a rule may have. One place is for the first fallback, however many come before it."""
    own = [entry for entry in entries if not entry.is_fallback]
    after = entries[len(own) :]
    return [*own[: MAX_TARGETS - bool(after)], *after][:MAX_TARGETS]


def assign_weights(
    targets: list[ImportedTarget], after: list[list[ImportedTarget]], balance: str | None
) -> Iterable[WeightedTarget]:
    """The targets with weights and tiers: those of one `order` share a tier, each group of `after` has a later one.

    Without an `order` and a balance all are of tier 1, where targets without a weight come after the others.
    """
    orders = sorted({t.deployment.order for t in targets})
    most = max(1, MAX_TIERS - sum(map(bool, after)))
    for number, order in enumerate(orders, 1):
        group = [t for t in targets if t.deployment.order == order]
        sharing = [t for t in group if t.deployment.weight != 0]
        shares = _shares([t.deployment for t in sharing])
        tier = min(number, most)
        yield from ((t, share, tier, False) for t, share in zip(sharing, shares, strict=True))
        last = [t for t in group if t.deployment.weight == 0]
        yield from ((t, None, tier, False) for t in last)
    tier = min(len(orders), most)
    is_tiered = balance is not None or len(orders) > 1
    for group in filter(None, after):
        tier = min(tier + 1, MAX_TIERS) if is_tiered else 1
        yield from ((t, None, tier, True) for t in group)


def _shares(deployments: list[Deployment]) -> list[int | None]:
    if len(deployments) < 2:
        return [None] * len(deployments)
    if any(d.weight for d in deployments):
        shares = [d.weight or 1000 for d in deployments]
    else:
        known = [d.share for d in deployments if d.share]
        usual = round(sum(known) / len(known)) if known else 1
        shares = [d.share or max(usual, 1) for d in deployments]
    divisor = math.gcd(*shares)
    shares = [share // divisor for share in shares]
    scale = max(shares) / MAX_WEIGHT
    return [max(1, round(share / scale)) for share in shares] if scale > 1 else list(shares)


def _sent(name: str, target: ImportedTarget) -> Mapping[str, Any]:
    """The `as` or `strip` of a target."""
    if name.endswith("*") and target.sent == "*" != name:
        return {"strip": True}
    return {"as": target.sent} if target.sent != name else {}


def _body(d: Deployment) -> dict[str, Any]:
    """The changes of the body that a deployment brings."""
    found = {"drop": d.drop, "default": d.defaults}
    found = {key: value for key, value in found.items() if value}
    return {"body": found} if found else {}
