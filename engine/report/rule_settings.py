"""What a model rule and its target say of a request beside where it goes: changes to its body, and the like."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.config.effective import DEFAULT, Effective, EffectiveSetting, settings_at
from engine.config.source.document import Path
from engine.plan.plan import Plan, Rule, RuleTarget

# Which requests a rule is for, and where they go: shown in other ways.
_PLACEMENT = {"model", "prefix", "endpoint", "provider", "targets", "as", "strip", "weight", "sticky", "when"}  # fmt: skip


@dataclass(slots=True)
class RuleSettings:
    """The settings of the rules of `plan`, which was made from `routes`."""

    routes: Effective
    plan: Plan
    _places: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._places = {id(rule): place for place, rule in enumerate(self.plan.rules)}

    def of(self, rule: Rule, rule_target: RuleTarget | None) -> Iterator[EffectiveSetting]:
        """The settings of `rule`, then those of one of its targets, each named by its keys."""
        at: Path = ("models", self._places[id(rule)])
        yield from self._settings(at)
        if rule_target is not None:
            yield from self._settings((*at, "targets", rule_target.place))

    def _settings(self, at: Path) -> Iterator[EffectiveSetting]:
        for setting in settings_at(self.routes, at):
            if setting.name.split(".")[0] not in _PLACEMENT and setting.where != DEFAULT:
                yield setting
