"""Model rules and their targets, as the request side needs them."""

from collections.abc import Mapping
from types import MappingProxyType

from engine.config import model
from engine.config.compile.body import compile_edits
from engine.config.compile.upstream import timeouts_at
from engine.config.rules import BodyEdits, ModelRule, ModelTarget
from engine.config.source.document import Path
from engine.plan import plan

Timeouts = Mapping[str, plan.Timeouts]  # by endpoint


def compile_rule(config: model.Config, rule: ModelRule, lines: Mapping[Path, str]) -> plan.Rule:
    """The rule; `lines` has its place and those of its targets."""
    ranked = sorted(rule.targets, key=lambda target: target.rank(by_load=rule.by_load))
    return plan.Rule(
        pattern=rule.pattern,
        is_prefix=rule.is_prefix,
        provider=rule.provider,
        endpoints=rule.endpoints,
        rename=rule.rename,
        strip=rule.strip,
        where=lines[rule.at],
        targets=tuple(_target(config, rule, t, lines[t.at]) for t in ranked),
        is_sticky=rule.is_sticky,
        edits=_edits(rule.body),
        drops_unknown=_drops_unknown(rule.body),
        stem=rule.stem,
        timeouts=_timeouts(config, rule.provider, rule.timeouts),
        by_load=rule.by_load,
        when=rule.when,
    )


def _target(
    config: model.Config, rule: ModelRule, target: ModelTarget, where: str
) -> plan.RuleTarget:
    return plan.RuleTarget(
        provider=target.provider,
        rename=target.rename,
        strip=target.strip,
        weight=target.weight,
        where=where,
        edits=(*_edits(rule.body), *_edits(target.body)),
        drops_unknown=_drops_unknown(rule.body) or _drops_unknown(target.body),
        fallback_on=frozenset(target.fallback_on),
        stem=target.stem,
        timeouts=_timeouts(config, target.provider, {**rule.timeouts, **target.timeouts}),
        tier=target.tier,
        place=int(target.at[-1]),
    )


def _edits(body: BodyEdits | None) -> tuple[plan.BodyEdits, ...]:
    return () if body is None else (compile_edits(body),)


def _drops_unknown(body: BodyEdits | None) -> bool:
    return body is not None and body.drops_unknown


def _timeouts(config: model.Config, name: str, own: Mapping[str, float]) -> Timeouts:
    """The timeouts at each endpoint of the provider `name`, with `own` over all others."""
    if not own:
        return MappingProxyType({})
    provider = next(p for p in config.providers if p.name == name)
    return MappingProxyType(
        {e.name: timeouts_at(config, provider, e.name).overridden(own) for e in provider.endpoints}
    )
