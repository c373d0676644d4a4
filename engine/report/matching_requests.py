"""Requests that meet conditions of model rules, to compare two configurations by."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.config.model import Config
from engine.config.rules import ModelRule
from engine.plan.conditions import Dimension, combinations_of, describe, dimensions_of


@dataclass(frozen=True, slots=True)
class MatchingRequests:
    """Requests that meet the conditions of a rule: `values` is one combination that these allow."""

    rule: ModelRule
    values: Mapping[Dimension, str]

    def matches(self, endpoint: str, model: str) -> bool:
        rule = self.rule
        starts = model.startswith(rule.pattern) if rule.is_prefix else model == rule.pattern
        return starts and (rule.endpoints is None or endpoint in rule.endpoints)

    @property
    def label(self) -> str:
        return describe({dimension: frozenset({v}) for dimension, v in self.values.items()})


def matching_requests(*configs: Config) -> tuple[MatchingRequests, ...]:
    """Every combination of values that a rule of `configs` asks for.

    Others are treated like these, since a request that meets the conditions of several rules gets
    the one that has them all.
    """
    return tuple(
        MatchingRequests(rule, dict(zip(dimensions_of(rule.when), values, strict=True)))
        for config in configs
        for rule in config.rules
        for values in (combinations_of(rule.when) if rule.when else ())
    )
