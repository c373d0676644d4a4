"""Model rules: which provider serves a model, and under which name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.plan.upstream import BodyEdits, Timeouts


@dataclass(frozen=True, slots=True)
class RuleTarget:
    """One of several targets of a rule. Without a weight it comes after those that have one.

    `where` is its line. `edits` are the changes to bodies that the rule asks for, then its own;
    `drops_unknown`: fields that the provider does not take are removed. `fallback_on` are the
    failures of it after which the next target gets the request, though it may be paid twice.
    `strip`: `stem` takes the place of the rule's prefix. `timeouts` are by endpoint, where the rule
    or the target sets some. Those of a lower `tier` come first; `place` is its number in the file.
    """

    provider: str
    rename: str | None
    strip: bool
    weight: int | None
    where: str
    edits: tuple[BodyEdits, ...] = ()
    drops_unknown: bool = False
    fallback_on: frozenset[str] = frozenset()
    stem: str = ""
    timeouts: Mapping[str, Timeouts] = field(default_factory=dict)
    tier: int = 1
    place: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """A model rule. `where` is its line (`routes.yaml:41`); `endpoints` None means every one.

    `targets` are its targets when it has several, by tier; `by_load`: within a tier, the one with the
    fewest requests under way for its weight comes first. `provider`, `rename`, `strip` and `stem` are those of the
    first. `is_sticky`: each caller's key keeps to one of them. `edits` are its changes to bodies,
    `drops_unknown` and `timeouts` as in a target.
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
    stem: str = ""
    timeouts: Mapping[str, Timeouts] = field(default_factory=dict)
    by_load: bool = False

    def sent_model(self, model: str, rule_target: RuleTarget | None = None) -> str:
        """The name the provider gets for `model`; that of `rule_target` if one is given.

        It is empty when nothing of `model` follows the prefix that is stripped.
        """
        chosen = rule_target or self
        if chosen.rename is not None:
            return chosen.rename
        if not chosen.strip:
            return model
        rest = model[len(self.pattern) :]
        return rest and chosen.stem + rest


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
