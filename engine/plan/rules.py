"""Model rules: which provider serves a model, and under which name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engine.plan.conditions import ACCOUNT, KEY, Conditions, Dimension, Read, When
from engine.plan.upstream import BodyEdits, Timeouts


@dataclass(frozen=True, slots=True)
class RuleTarget:
    """One of several targets of a rule. Without a weight it comes after those that have one.

    `where` is its line. `edits` are the changes to bodies that the rule asks for, then its own;
    `drops_unknown`: fields that the provider does not take are removed. `fallback_on` are the
    failures of it after which the next target gets the request, though it may be paid twice.
    `strip`: replace the rule's prefix by `stem`. `timeouts` are by endpoint, where the rule
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
    `drops_unknown` and `timeouts` as in a target. `when` are its conditions; none means every request.
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
    when: When = field(default_factory=dict)

    def admits(self, key: str, account: str | None) -> bool:
        """Whether its conditions allow requests of this key, as far as that alone decides."""
        found: Mapping[Dimension, str | None] = {KEY: key, ACCOUNT: account}
        return all(found[d] in values for d, values in self.when.items() if d in found)

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
    """The rules that share one pattern: one per endpoint, plus the rule that applies to all endpoints.

    `conditional` are those with conditions, by endpoint, None being those that are not narrowed.
    """

    by_endpoint: Mapping[str, Rule]
    general: Rule | None
    conditional: Mapping[str | None, Conditions[Rule]] | None = None

    def rule(self, endpoint: str, read: Read | None = None) -> Rule | None:
        """The rule for a request at `endpoint`; without `read`, for one that meets no condition.

        Rules that are narrowed to the endpoint come first, with conditions or without.
        """
        if self.conditional is None or read is None:
            return self.by_endpoint.get(endpoint, self.general)
        conditions = self.conditional.get(endpoint)
        found = conditions.find(read) if conditions is not None else None
        if found is None:
            found = self.by_endpoint.get(endpoint)
        if found is None:
            conditions = self.conditional.get(None)
            found = conditions.find(read) if conditions is not None else None
        return self.general if found is None else found

    def possible_rules(self, endpoint: str) -> Iterator[Rule]:
        """Every rule that some request at `endpoint` may get, the narrowed ones first."""
        for scope, rule in ((endpoint, self.by_endpoint.get(endpoint)), (None, self.general)):
            conditions = (self.conditional or {}).get(scope)
            for _, table in conditions.tables if conditions else ():
                yield from {id(each): each for each in table.values()}.values()
            if rule is not None:
                yield rule
                return


@dataclass(frozen=True, slots=True)
class ModelTable:
    """Model rules by pattern. A search probes each distinct prefix length, longest first.

    `headers` are those that some rule asks for; `has_conditions`: some rule has conditions.
    """

    exact: Mapping[str, PatternRules]
    prefixes: Mapping[str, PatternRules]
    lengths: tuple[int, ...]
    has_conditions: bool = False
    headers: frozenset[bytes] = frozenset()

    def find(self, endpoint: str, model: str, read: Read | None = None) -> Rule | None:
        """The most specific rule for `model` at `endpoint`; without `read`, of those without conditions."""
        rules = self.exact.get(model)
        rule = rules.rule(endpoint, read) if rules else None
        if rule is not None:
            return rule
        for length in self.lengths:
            rules = self.prefixes.get(model[:length]) if length <= len(model) else None
            rule = rules.rule(endpoint, read) if rules else None
            if rule is not None:
                return rule
        return None

    def possible_rules(self, endpoint: str, model: str) -> Iterator[Rule]:
        """Every rule that some request for `model` at `endpoint` may get; for listings and reserves."""
        groups = [self.exact.get(model)]
        groups += [self.prefixes.get(model[:n]) for n in self.lengths if n <= len(model)]
        for group in filter(None, groups):
            rule = None
            for rule in group.possible_rules(endpoint):
                yield rule
            if rule is not None and not rule.when:  # takes what the conditions leave
                return
