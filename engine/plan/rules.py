"""Model rules: which provider serves a model, and under which name."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.plan.upstream import BodyEdits


@dataclass(frozen=True, slots=True)
class RuleTarget:
    """One of several targets of a rule. Without a weight it comes after those that have one.

    `where` is its line. `edits` are the changes to bodies that the rule asks for, then its own;
    `drops_unknown`: fields that the provider does not take are removed. `fallback_on` are the
    failures of it after which the next target gets the request, though it may be paid twice.
    """

    provider: str
    rename: str | None
    strip: bool
    weight: int | None
    where: str
    edits: tuple[BodyEdits, ...] = ()
    drops_unknown: bool = False
    fallback_on: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """A model rule. `where` is its line (`routes.yaml:41`); `endpoints` None means every one.

    `targets` are its targets when it has several; `provider`, `rename` and `strip` are those of the
    first. `is_sticky`: each caller's key keeps to one of them. `edits` are its changes to bodies,
    `drops_unknown` as in a target.
    """

    pattern: str
    is_prefix: bool
    provider: str
    endpoints: tuple[str, ...] | None
    rename: str | None
    strip: bool
    where: str
    targets: tuple[RuleTarget, ...] = ()
    is_sticky: bool = False
    edits: tuple[BodyEdits, ...] = ()
    drops_unknown: bool = False

    def sent_model(self, model: str, rule_target: RuleTarget | None = None) -> str:
        """The name the provider gets for `model`; that of `rule_target` if one is given."""
        chosen = rule_target or self
        if chosen.rename is not None:
            return chosen.rename
        return model[len(self.pattern) :] if chosen.strip else model


@dataclass(frozen=True, slots=True)
class PatternRules:
    """The rules that share one pattern: by endpoint, and the one that is not narrowed."""

    narrowed: Mapping[str, Rule]
    anywhere: Rule | None

    def rule(self, endpoint: str) -> Rule | None:
        return self.narrowed.get(endpoint, self.anywhere)


@dataclass(frozen=True, slots=True)
class ModelTable:
    """Model rules by pattern. A search probes each distinct prefix length, longest first."""

    exact: Mapping[str, PatternRules]
    prefixes: Mapping[str, PatternRules]
    lengths: tuple[int, ...]

    def find(self, endpoint: str, model: str) -> Rule | None:
        """The most specific rule for `model` at `endpoint`."""
        rules = self.exact.get(model)
        rule = rules.rule(endpoint) if rules else None
        if rule is not None:
            return rule
        for length in self.lengths:
            rules = self.prefixes.get(model[:length]) if length <= len(model) else None
            rule = rules.rule(endpoint) if rules else None
            if rule is not None:
                return rule
        return None
