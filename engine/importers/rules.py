"""Groups of deployments, aliases and fallbacks -> the rules of routes.yaml."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from engine.importers.draft import Deployment, Draft, Reference
from engine.importers.ledger import Ledger, Treatment
from engine.importers.providers import Providers, served
from engine.importers.tables import Kind, compatible, table

MOST_TARGETS = 8
MOST_WEIGHT = 1000
MOST_TIERS = 8
_NAME = re.compile(r"[^\s*\x00-\x1f\x7f]{1,256}")
_EXACT = re.compile(r"(?=.{1,256}\Z)[^\s*\x00-\x1f\x7f]+(?: [^\s*\x00-\x1f\x7f]+)*")
_PREFIX = re.compile(r"[^\s*\x00-\x1f\x7f]{0,256}\*")


@dataclass(slots=True)
class Target:
    """A target of a rule, and the deployment it comes from."""

    provider: str
    sent: str
    deployment: Deployment
    endpoints: tuple[str, ...]


@dataclass(slots=True)
class Entry:
    """A target as a rule has it, its tier, and the targets of the source that it stands for."""

    written: dict[str, Any]
    tier: int
    is_fallback: bool
    targets: list[Target]


# A target, its weight, if any, its tier, and whether it is a fallback.
Placed: TypeAlias = tuple[Target, int | None, int, bool]


@dataclass(slots=True)
class Rules:
    """The rules so far, the endpoints they need, and the report."""

    draft: Draft
    ledger: Ledger
    providers: Providers
    rules: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, str] = field(default_factory=dict)
    endpoints: list[str] = field(default_factory=list)
    targets: dict[str, list[Target]] = field(default_factory=dict)
    prices: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    reached: dict[str, list[Target]] = field(default_factory=dict)

    def build(self) -> None:
        """Make a rule of every group, and of every alias of one."""
        for name, group in self.draft.groups.items():
            self.targets[name] = [target for d in group if (target := self._target(name, d))]
        for name, targets in self.targets.items():
            if targets:
                self._add(name, name, targets)
        for link in self.draft.aliases:
            self._alias(link)
        for link in self.draft.fallbacks:
            self._note_fallback(link)
        used = [target for rule in self.rules for target in rule.get("targets", [rule])]
        self.providers.keep({target["provider"] for target in used})

    def _target(self, name: str, d: Deployment) -> Target | None:
        kind = d.kind
        reason = self._refusal(name, d)
        endpoints = [] if kind is None or reason else endpoints_of(d, kind)
        if kind is None or not endpoints:
            self._refuse(d, reason or f"the provider `{kind and kind.name}` does not serve what the model is for in the shape that callers send")  # fmt: skip
            return None
        d.drop += [name for name in self.draft.settings.drop if name not in d.drop]
        d.in_flight = d.in_flight or self.draft.settings.in_flight
        provider = self.providers.add(d, kind, endpoints)
        if d.prices and not d.model.endswith("*"):
            prices = self.prices.setdefault(provider, {})
            prices[kind.model.replace("{model}", d.model)] = d.prices
        for endpoint in endpoints:
            if endpoint not in self.endpoints:
                self.endpoints.append(endpoint)
        return Target(provider, kind.model.replace("{model}", d.model), d, tuple(endpoints))

    def _refuse(self, d: Deployment, reason: str) -> None:
        """Report a deployment that is left out; of an entry with several models, the name of this one."""
        if d.named_at is None or d.kind is None or d.kind.refuse:
            self.ledger.rewrite(d.file, d.at, Treatment.DROPPED, reason)
        else:
            words = f"a model of it is left out: {reason}"
            self.ledger.rewrite(d.file, d.named_at, Treatment.ASKS, words)

    def _refusal(self, name: str, d: Deployment) -> str:
        if d.kind is None or d.kind.refuse:
            return d.kind.refuse if d.kind else "its provider is not known here"
        if not (_EXACT.fullmatch(name) or _PREFIX.fullmatch(name)):
            return "the name begins or ends with a space, has control characters, or a `*` that is not at its end"
        if not (_NAME.fullmatch(d.model) or _PREFIX.fullmatch(d.model)):
            return "the model's name has spaces, is empty, or has a `*` that is not at its end"
        if d.model.endswith("*") and not name.endswith("*"):
            return "the model has a `*`, and the name that callers use has none"
        return ""

    def _add(self, name: str, like: str, targets: list[Target]) -> None:
        """The rule for `name`, with the targets of the group `like` and of those that come after it."""
        after = [self._group(link.to, name) for link in self._links(like)]
        every = [*targets, *(t for group in after for t in group)]
        kept = _kept(_distinct(name, _placed(targets, after, self.draft.settings.balance)))
        found = [entry.written for entry in kept]
        self.reached[name] = [t for entry in kept for t in entry.targets]
        if name == like:
            self._note_surplus(name, targets)
        rule: dict[str, Any] = {"prefix": name[:-1]} if name.endswith("*") else {"model": name}
        rule |= _endpoints(every)
        own = next((t.deployment.fallback_on for t in targets if t.deployment.fallback_on), ())
        if len(found) > 1 and (own or any(after)):
            rule["fallback_on"] = [*(own or ("timeout", "closed", "5xx"))]
        if len(found) == 1:
            rule |= {k: v for k, v in found[0].items() if k not in ("weight", "tier")}
        else:
            rule["targets"] = found
            if self.draft.settings.balance and len(found) > 1:
                rule["balance"] = self.draft.settings.balance
        if self.draft.settings.drop_unknown:
            rule["body"] = {**rule.get("body", {}), "drop_unknown": True}
        self.rules.append(rule)
        comment = next((t.deployment.comment for t in targets if t.deployment.comment), "")
        if comment and name == like:
            self.comments[len(self.rules) - 1] = comment

    def _note_surplus(self, name: str, targets: list[Target]) -> None:
        """Report the deployments for which a rule has no place."""
        for t in targets:
            if t not in self.reached[name]:
                words = f"a rule has at most {MOST_TARGETS} targets; several keys of one provider can be `accounts` of it"
                at = t.deployment.named_at or t.deployment.at
                self.ledger.rewrite(t.deployment.file, at, Treatment.ASKS, words)

    def _links(self, name: str) -> list[Reference]:
        own = [link for link in self.draft.fallbacks if link.name == name]
        return own or [link for link in self.draft.fallbacks if not link.name and link.to != name]

    def _group(self, name: str, behind: str) -> list[Target]:
        """The targets of a group that may stand behind another rule: not those of a wildcard."""
        prefix = behind.endswith("*")
        return [t for t in self.targets.get(name, ()) if prefix or not t.sent.endswith("*")]

    def _alias(self, link: Reference) -> None:
        targets = self.targets.get(link.to)
        words = ""
        if not targets:
            words = "no such model was imported"
        elif link.name in self.targets or not _EXACT.fullmatch(link.name) or link.to.endswith("*"):
            words = "the name is taken, or cannot be a rule"
        if words or targets is None:
            self.ledger.rewrite(link.file, link.at, Treatment.ASKS, words)
            return
        self._add(link.name, link.to, targets)
        self.ledger.rewrite(link.file, link.at, Treatment.CARRIED, "")

    def _note_fallback(self, link: Reference) -> None:
        treatment = Treatment.ASKS
        if link.name and not self.targets.get(link.name):
            words = "no such model was imported to fall back from"
        elif not self._group(link.to, link.name or "x"):
            words = "no such model was imported to fall back to"
        elif not self._is_reached(link):
            words = f"no rule has a place for it: a rule has at most {MOST_TARGETS} targets"
        else:
            treatment = Treatment.OTHERWISE
            words = "a later target: by `fallback_on` also after a timeout, a cut connection or a 5xx, when it may be paid twice"
        self.ledger.rewrite(link.file, link.at, treatment, words)

    def _is_reached(self, link: Reference) -> bool:
        """Whether every rule that falls back by `link` has a target of the group that it names."""
        names = [n for n in self.targets if n in self.reached and link in self._links(n)]
        return all(any(t in self.reached[n] for t in self._group(link.to, n)) for n in names)


def endpoints_of(d: Deployment, kind: Kind) -> list[str]:
    """The endpoints that a deployment is for, as far as its provider serves them."""
    kinds = table("kinds")
    enabled = served(kind)
    if d.model.endswith("*"):
        wanted = kinds["wildcard"]
    else:
        guess = next(row["mode"] for row in kinds["models"] if re.search(row["find"], d.model))
        wanted = kinds["modes"].get(d.mode or guess, ())
    if kind.endpoints:
        wanted = [name for name in wanted if name in kind.endpoints] or kind.endpoints
    if d.base is not None and kind.name == compatible().name:
        first, second, *_ = kinds["modes"]["chat"]
        wanted = [name for name in wanted if name != second] if first in wanted else wanted
    found = [name for name in wanted if name in enabled]
    return found or [name for name in wanted if name in kind.entry["endpoints"]]


def _sent(name: str, target: Target) -> Mapping[str, Any]:
    """What a target says of the model's name."""
    if name.endswith("*") and target.sent == "*" != name:
        return {"strip": True}
    return {"as": target.sent} if target.sent != name else {}


def _body(d: Deployment) -> dict[str, Any]:
    """The changes of the body that a deployment brings."""
    found = {"drop": d.drop, "default": d.defaults}
    found = {key: value for key, value in found.items() if value}
    return {"body": found} if found else {}


def _endpoints(targets: list[Target]) -> dict[str, Any]:
    """To what a rule is narrowed: fields of one endpoint of a chat model may mean nothing to the others."""
    all_names = [name for t in targets for name in t.endpoints]
    names = list(dict.fromkeys(name for name in all_names if all(_takes(t, name) for t in targets)))
    if not names or len(names) == len(set(all_names)):
        return {}
    return {"endpoint": names[0] if len(names) == 1 else names}


def _takes(target: Target, endpoint: str) -> bool:
    """Whether every field that a target sets means the same at this endpoint."""
    kinds = table("kinds")
    fields = {*target.deployment.defaults}
    return endpoint not in kinds["modes"]["chat"][1:] or fields <= {
        *kinds["shared_fields"].get(endpoint, ())
    }


def _distinct(name: str, targets: Iterable[Placed]) -> list[Entry]:
    """The targets as a rule has them; of equal ones the first, with the weights of all of its tier."""
    found: dict[str, Entry] = {}
    for target, weight, tier, is_fallback in targets:
        more = _body(target.deployment)
        if target.deployment.timeouts:
            more["timeouts"] = dict(target.deployment.timeouts)
        key = json.dumps([target.provider, target.sent, more], sort_keys=True, default=str)
        if key not in found:
            written = {"provider": target.provider, **_sent(name, target), **more}
            written |= {"weight": weight} if weight else {}
            written |= {"tier": tier} if tier > 1 else {}
            found[key] = Entry(written, tier, is_fallback, [])
        elif weight and found[key].tier == tier and "weight" in found[key].written:
            summed = found[key].written["weight"] + weight
            found[key].written["weight"] = min(summed, MOST_WEIGHT)
        found[key].targets.append(target)
    return list(found.values())


def _kept(entries: list[Entry]) -> list[Entry]:
    """As many as a rule may have. One place is for the first fallback, however many come before it."""
    own = [entry for entry in entries if not entry.is_fallback]
    after = entries[len(own) :]
    return [*own[: MOST_TARGETS - bool(after)], *after][:MOST_TARGETS]


def _placed(
    targets: list[Target], after: list[list[Target]], balance: str | None
) -> Iterable[Placed]:
    """The targets with weights and tiers: those of one `order` share a tier, each group of `after` has a later one.

    Without an `order` and a balance all are of tier 1, where targets without a weight come after the others.
    """
    orders = sorted({t.deployment.order for t in targets})
    most = max(1, MOST_TIERS - sum(map(bool, after)))
    for number, order in enumerate(orders, 1):
        group = [t for t in targets if t.deployment.order == order]
        sharing = [t for t in group if t.deployment.weight != 0]
        shares = _shares([t.deployment for t in sharing])
        tier = min(number, most)
        yield from ((t, share, tier, False) for t, share in zip(sharing, shares, strict=True))
        yield from ((t, None, tier, False) for t in group if t not in sharing)
    tier = min(len(orders), most)
    is_tiered = balance is not None or len(orders) > 1
    for group in filter(None, after):
        tier = min(tier + 1, MOST_TIERS) if is_tiered else 1
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
    scale = max(shares) / MOST_WEIGHT
    return [max(1, round(share / scale)) for share in shares] if scale > 1 else list(shares)
