"""Groups of deployments, aliases and fallbacks -> the rules of routes.yaml."""

import re
from dataclasses import dataclass, field
from typing import Any

from engine.importers.accounts import merge_credentials
from engine.importers.draft import Deployment, Draft, Reference, Settings
from engine.importers.notes import ImportNotes, SettingStatus
from engine.importers.providers import Providers, served
from engine.importers.tables import Kind, compatible_kind, table
from engine.importers.targets import (
    MAX_TARGETS,
    ImportedTarget,
    assign_weights,
    distinct,
    limit_targets,
)
from engine.importers.values import has_credential
from engine.importers.wildcards import find_covered

_NAME = re.compile(r"[^\s*\x00-\x1f\x7f]{1,256}")
_EXACT = re.compile(r"(?=.{1,256}\Z)[^\s*\x00-\x1f\x7f]+(?: [^\s*\x00-\x1f\x7f]+)*")
_PREFIX = re.compile(r"[^\s*\x00-\x1f\x7f]{0,256}\*")


@dataclass(slots=True)
class Rules:
    """The rules so far, the endpoints they need, and the report."""

    draft: Draft
    notes: ImportNotes
    providers: Providers
    rules: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, str] = field(default_factory=dict)
    endpoints: list[str] = field(default_factory=list)
    targets: dict[str, list[ImportedTarget]] = field(default_factory=dict)
    prices: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    reached: dict[str, list[ImportedTarget]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def build(self) -> None:
        """Make a rule of every group, and of every alias of one."""
        for name, group in self.draft.groups.items():
            usable = [d for d in group if self._is_usable(name, d)]
            for d in usable:
                for field_name in _apply(self.draft.settings, d):
                    at = (*d.at, "litellm_params", field_name)
                    words = "taken out by drop_params, as LiteLLM does it"
                    self.notes.replace(d.file, at, SettingStatus.OTHERWISE, words)
            room = MAX_TARGETS - bool(self._references(name))
            self.targets[name] = [self._target(d) for d in merge_credentials(usable, room)]
        self._add_covered()
        callers = {reference.name for reference in self.draft.fallbacks}
        for name, targets in self.targets.items():
            if targets and (name in self.draft.groups or name in callers):
                self._add(name, name, targets)
        for reference in self.draft.aliases:
            self._alias(reference)
        for reference in self.draft.fallbacks:
            self._note_fallback(reference)
        used = [target for rule in self.rules for target in rule.get("targets", [rule])]
        self.providers.keep_only({target["provider"] for target in used})

    def _add_covered(self) -> None:
        """The targets of names that a wildcard covers; what is wrong with them is reported of the wildcard."""
        for name, group in find_covered(self.draft).items():
            usable = [d for d in group if not self._reason(name, d)]
            for d in usable:
                _apply(self.draft.settings, d)
            room = MAX_TARGETS - bool(self._references(name))
            self.targets[name] = [self._target(d) for d in merge_credentials(usable, room)]

    def _is_usable(self, name: str, d: Deployment) -> bool:
        """Whether the deployment can be a target; otherwise the reason is added to the report."""
        reason = self._reason(name, d)
        if reason:
            self._refuse(d, reason)
        return not reason

    def _reason(self, name: str, d: Deployment) -> str:
        """Why the deployment cannot be a target of `name`; "" if it can."""
        reason = self._refusal(name, d)
        if d.kind and not reason and not endpoints_of(d, d.kind):
            reason = f"the provider `{d.kind.name}` does not serve what the model is for in the shape that callers send"  # fmt: skip
        return reason

    def _target(self, d: Deployment) -> ImportedTarget:
        """The target of a deployment that is usable, whose provider has an entry from now on."""
        kind = d.kind or compatible_kind()
        endpoints = endpoints_of(d, kind)
        for other in d.behind:
            if other.key_at is not None:
                words = "imported as a credential set (`accounts`); the sets are used in turn"
                self.notes.replace(other.file, other.key_at, SettingStatus.OTHERWISE, words)
        provider = self.providers.add(d, kind, endpoints)
        if d.prices and not d.model.endswith("*"):
            prices = self.prices.setdefault(provider, {})
            prices[kind.model.replace("{model}", d.model)] = d.prices
        for endpoint in endpoints:
            if endpoint not in self.endpoints:
                self.endpoints.append(endpoint)
        return ImportedTarget(provider, kind.model.replace("{model}", d.model), d, tuple(endpoints))

    def _refuse(self, d: Deployment, reason: str) -> None:
        """Report a deployment that is left out; of an entry with several models, the name of this one."""
        if d.named_at is None or d.kind is None or d.kind.refuse:
            self.notes.replace(d.file, d.at, SettingStatus.DROPPED, reason)
        else:
            words = f"a model of it is left out: {reason}"
            self.notes.replace(d.file, d.named_at, SettingStatus.ASKS, words)

    def _refusal(self, name: str, d: Deployment) -> str:
        if d.kind is None or d.kind.refuse:
            return d.kind.refuse if d.kind else "its provider is not known here"
        if has_credential(name) or has_credential(d.model):
            return "the name looks like a key, which is never written"
        if not (_EXACT.fullmatch(name) or _PREFIX.fullmatch(name)):
            return "the name begins or ends with a space, has control characters, or a `*` that is not at its end"
        if not (_NAME.fullmatch(d.model) or _PREFIX.fullmatch(d.model)):
            return "the model's name has spaces, is empty, or has a `*` that is not at its end"
        if d.model.endswith("*") and not name.endswith("*"):
            return "the model has a `*`, but the name that callers use does not"
        return ""

    def _add(self, name: str, like: str, targets: list[ImportedTarget]) -> None:
        """The rule for `name`, with the targets of the group `like` and of those that come after it."""
        after = [self._group(reference.to, name) for reference in self._references(like)]
        every = [*targets, *(t for group in after for t in group)]
        kept_entries = limit_targets(
            distinct(name, assign_weights(targets, after, self.draft.settings.balance))
        )
        found = [entry.written for entry in kept_entries]
        self.reached[name] = [t for entry in kept_entries for t in entry.targets]
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
        self.rules.append(rule)
        comment = next((t.deployment.comment for t in targets if t.deployment.comment), "")
        if comment and name == like:
            self.comments[len(self.rules) - 1] = comment

    def _note_surplus(self, name: str, targets: list[ImportedTarget]) -> None:
        """Report the deployments for which a rule has no place."""
        reached = {id(t) for t in self.reached[name]}
        for t in targets:
            if id(t) not in reached:
                words = f"a rule has at most {MAX_TARGETS} targets: leave out those that matter least, or give some of them a name of their own"
                for d in (t.deployment, *t.deployment.behind):
                    self.notes.replace(d.file, d.named_at or d.at, SettingStatus.ASKS, words)

    def _references(self, name: str) -> list[Reference]:
        own = [reference for reference in self.draft.fallbacks if reference.name == name]
        return own or [
            reference
            for reference in self.draft.fallbacks
            if not reference.name and reference.to != name
        ]

    def _group(self, name: str, behind: str) -> list[ImportedTarget]:
        """The targets of a group that may stand behind another rule: not those of a wildcard."""
        prefix = behind.endswith("*")
        return [t for t in self.targets.get(name, ()) if prefix or not t.sent.endswith("*")]

    def _alias(self, reference: Reference) -> None:
        targets = self.targets.get(reference.to)
        words = ""
        if not targets:
            words = "no such model was imported"
        elif self.aliases.get(reference.name) == reference.to:
            self.notes.replace(
                reference.file, reference.at, SettingStatus.CARRIED, "the same again"
            )
            return
        elif (
            {reference.name} & {*self.targets, *self.aliases}
            or not _EXACT.fullmatch(reference.name)
            or has_credential(reference.name)
            or reference.to.endswith("*")
        ):
            words = "the name is taken, or cannot be a rule"
        if words or targets is None:
            self.notes.replace(reference.file, reference.at, SettingStatus.ASKS, words)
            return
        self.aliases[reference.name] = reference.to
        self._add(reference.name, reference.to, targets)
        self.notes.replace(reference.file, reference.at, SettingStatus.CARRIED, "")

    def _note_fallback(self, reference: Reference) -> None:
        status = SettingStatus.ASKS
        if reference.name and not self.targets.get(reference.name):
            words = "no such model was imported to fall back from"
        elif not self._group(reference.to, reference.name or "x"):
            words = "no such model was imported to fall back to"
        elif not self._is_reached(reference):
            words = f"no rule has a place for it: a rule has at most {MAX_TARGETS} targets"
        else:
            status = SettingStatus.OTHERWISE
            words = "a later target: by `fallback_on` also after a timeout, a cut connection or a 5xx, when it may be paid twice"
        self.notes.replace(reference.file, reference.at, status, words)

    def _is_reached(self, reference: Reference) -> bool:
        """Whether every rule that falls back by `reference` has a target of the group that it names."""
        names = [n for n in self.targets if n in self.reached and reference in self._references(n)]
        reached = {n: {id(t) for t in self.reached[n]} for n in names}
        return all(any(id(t) in reached[n] for t in self._group(reference.to, n)) for n in names)


def _apply(settings: Settings, d: Deployment) -> list[str]:
    """Apply to a deployment what holds for all; returns the defaults of the body that are taken out."""
    d.in_flight = d.in_flight or settings.in_flight
    known = d.kind.entry.get("variables", {}) if d.kind else {}
    for name in settings.variables.keys() & known.keys() - d.variables.keys():
        d.variables[name] = settings.variables[name]
    taken_out = list(settings.drop)
    if d.drop_params or settings.drop_params:
        d.chat_drop = d.unsupported
        taken_out += d.unsupported_by_model
    d.drop += [name for name in taken_out if name not in d.drop]
    removed = [name for name in d.defaults if name in (*d.drop, *d.chat_drop)]
    for name in removed:
        del d.defaults[name]
    return removed


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
    if d.base is not None and kind.name == compatible_kind().name:
        first, second, *_ = kinds["modes"]["chat"]
        wanted = [name for name in wanted if name != second] if first in wanted else wanted
    found = [name for name in wanted if name in enabled]
    return found or [name for name in wanted if name in kind.entry["endpoints"]]


def _endpoints(targets: list[ImportedTarget]) -> dict[str, Any]:
    """To what a rule is narrowed: fields of one endpoint of a chat model may mean nothing to the others."""
    all_names = [name for t in targets for name in t.endpoints]
    names = [n for n in dict.fromkeys(all_names) if all(_takes(t, n) for t in targets)]
    if not names or len(names) == len(set(all_names)):
        return {}
    return {"endpoint": names[0] if len(names) == 1 else names}


def _takes(target: ImportedTarget, endpoint: str) -> bool:
    """Whether every field that a target sets means the same at this endpoint."""
    kinds = table("kinds")
    fields = {*target.deployment.defaults}
    return endpoint not in kinds["modes"]["chat"][1:] or fields <= {
        *kinds["shared_fields"].get(endpoint, ())
    }
