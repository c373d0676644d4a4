"""Model rules: which of them conflict, never apply, or send a name that no provider knows."""

from collections.abc import Iterator
from itertools import combinations

from engine.config.checks.registry import ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart, Related
from engine.config.rules import ModelRule, ModelTarget
from engine.config.source.document import Path


def _same_pattern(context: CheckContext) -> list[list[ModelRule]]:
    groups: dict[tuple[bool, str], list[ModelRule]] = {}
    for rule in context.config.rules:
        groups.setdefault((rule.is_prefix, rule.pattern), []).append(rule)
    return list(groups.values())


@check("X204")
def tied_rules(context: CheckContext) -> Iterator[Diagnostic]:
    for group in _same_pattern(context):
        for first, second in combinations(group, 2):
            if not (first.when or second.when) and _share_endpoints(first, second):
                yield context.at(
                    "X204",
                    f"{second.label} ties with another rule for the same models",
                    ROUTES,
                    second.at,
                    related=(Related(context.span(ROUTES, first.at), "the other rule"),),
                    help=_one_of(first, second),
                )


def _one_of(first: ModelRule, second: ModelRule) -> str:
    """What to do with two rules that tie: those of two providers may be meant as one rule."""
    names = list(dict.fromkeys((*first.providers().values(), *second.providers().values())))
    if len(names) == 1:
        return "remove one, or narrow one with `endpoint:`"
    targets = ", ".join(f"{{provider: {name}}}" for name in names)
    return f"keep one with `targets: [{targets}]`, which are tried in turn; or remove one, or narrow one with `endpoint:`"


def _share_endpoints(first: ModelRule, second: ModelRule) -> bool:
    if first.endpoints is None or second.endpoints is None:
        return first.endpoints is second.endpoints
    return bool(set(first.endpoints) & set(second.endpoints))


@check("X219")
def never_wins(context: CheckContext) -> Iterator[Diagnostic]:
    serves = {p.name: {served.name for served in p.endpoints} for p in context.config.providers}
    for group in _same_pattern(context):
        plain = [rule for rule in group if not rule.when]
        taken = {name: rule for rule in plain for name in rule.endpoints or ()}
        for rule in group:
            served = set().union(*(serves.get(p, set()) for p in rule.providers().values()))
            if rule.endpoints is None and served and served <= taken.keys():
                others = dict.fromkeys(taken[name].at for name in sorted(served))
                yield context.at(
                    "X219",
                    f"{rule.label} never wins: narrower rules take all that `{rule.provider}` serves",
                    ROUTES,
                    rule.at,
                    related=tuple(
                        Related(context.span(ROUTES, at), "a narrower rule") for at in others
                    ),
                    help="remove it, or narrow the others less",
                )


@check("X207")
def dead_rule(context: CheckContext) -> Iterator[Diagnostic]:
    serves = {p.name: {served.name for served in p.endpoints} for p in context.config.providers}
    for rule in context.config.rules:
        if not serves.keys() >= {*rule.providers().values()} or rule.endpoints is None:
            continue
        if not set(rule.endpoints) <= context.config.known_endpoints:
            continue
        for path, provider in rule.providers().items():
            if not serves[provider] & set(rule.endpoints):
                message = f"{rule.label} can never serve: `{provider}` has none of its endpoints"
                at = path[:-1] if rule.targets else rule.at
                yield context.at("X207", message, ROUTES, at)


@check("X220", "X221")
def chained_alias(context: CheckContext) -> Iterator[Diagnostic]:
    """A name that is sent upstream and is only an alias here: aliases are resolved once."""
    aliases = {
        rule.pattern: rule
        for rule in context.config.rules
        if rule.rename is not None and not rule.is_prefix
    }
    for rule in aliases.values():
        following = aliases.get(rule.rename or "")
        if following is None:
            continue
        is_cycle = _leads_back(rule, aliases)
        words = "which leads back to it" if is_cycle else "which is only an alias here"
        yield context.at(
            "X221" if is_cycle else "X220",
            f"{rule.label} is sent as `{rule.rename}`, {words}; aliases are not followed",
            ROUTES,
            (*(rule.targets[0].at if rule.targets else rule.at), "as"),
            EntryPart.VALUE,
            related=(Related(context.span(ROUTES, following.at), "the other alias"),),
            help="write the name that the provider knows",
        )


def _leads_back(start: ModelRule, aliases: dict[str, ModelRule]) -> bool:
    seen: set[str] = set()
    name = start.rename or ""
    while name in aliases and name not in seen:
        if name == start.pattern:
            return True
        seen.add(name)
        name = aliases[name].rename or ""
    return False


@check("X241")
def repeated_target(context: CheckContext) -> Iterator[Diagnostic]:
    for rule in context.config.rules:
        unchanged = None if rule.is_prefix else rule.pattern
        seen: dict[tuple[object, ...], ModelTarget] = {}
        for target in rule.targets:
            sent = target.rename or unchanged, target.strip, target.stem
            more = repr(target.body), repr(target.timeouts)  # may be given once more, with others
            key = (target.provider, *sent, target.weight, target.tier, *more)
            first = seen.setdefault(key, target)
            if first is not target:
                yield context.at(
                    "X241",
                    f"{rule.label} has `{target.provider}` twice, with the same model",
                    ROUTES,
                    target.at,
                    related=(Related(context.span(ROUTES, first.at), "the same target"),),
                    help="remove one; `retry` of the provider tries it again, `weight` sends it more",
                )


def fallback_at(context: CheckContext, rule: ModelRule, target: ModelTarget) -> Path:
    """Where `fallback_on` of a target stands: in the target or in the rule."""
    own: Path = (*target.at, "fallback_on")
    return own if own in context.documents[ROUTES].entries else (*rule.at, "fallback_on")


@check("X278")
def falls_back_to_nothing(context: CheckContext) -> Iterator[Diagnostic]:
    """`fallback_on` of a target that always comes last, and for a timeout that `total` is always before."""
    reported: set[Path] = set()
    for rule in context.config.rules:
        for target in rule.targets:
            at = fallback_at(context, rule, target)
            is_own = at[: len(target.at)] == target.at
            if not target.fallback_on or at in reported:
                continue
            if (is_own or len(rule.targets) == 1) and _is_last(rule, target):
                message = (
                    f"`fallback_on` of {rule.label} does nothing: no target comes after this one"
                )
                reported.add(at)
                yield context.at("X278", message, ROUTES, at)
            elif "timeout" in target.fallback_on and _never_times_out(context, rule, target):
                message = f"`fallback_on: [timeout]` of {rule.label} does nothing at `{target.provider}`: `total` ends the request before `first_byte`"
                reported.add(at)
                help_text = "set a `first_byte` that is shorter than `total`"
                yield context.at("X278", message, ROUTES, at, help=help_text)


def _is_last(rule: ModelRule, target: ModelTarget) -> bool:
    """Whether no other target of the rule ever comes after this one."""
    rank = target.rank(by_load=rule.by_load)
    others = [t for t in rule.targets if t is not target]
    alike = [t for t in others if t.rank(by_load=rule.by_load) == rank]
    is_even = rule.is_sticky and all(t.weight is None for t in rule.targets)
    is_drawn = rule.by_load or is_even or target.weight is not None
    if any(t.rank(by_load=rule.by_load) > rank for t in others):
        return False
    return not alike if is_drawn else all(t.at < target.at for t in alike)


def _never_times_out(context: CheckContext, rule: ModelRule, target: ModelTarget) -> bool:
    """Whether at every endpoint of the target `total` ends before the first byte is waited for."""
    config = context.config
    provider = next((p for p in config.providers if p.name == target.provider), None)
    if provider is None:
        return False
    served = {e.name for e in provider.endpoints}
    served &= set(served if rule.endpoints is None else rule.endpoints)
    all_timeouts = [
        config.timeouts.overridden(e.timeouts, provider.timeouts, rule.timeouts, target.timeouts)
        for e in config.endpoints
        if e.name in served
    ]
    return bool(all_timeouts) and all(t.first_byte >= t.total for t in all_timeouts)


@check("X216")
def default_model_renamed(context: CheckContext) -> Iterator[Diagnostic]:
    for endpoint in context.config.endpoints:
        rules = [
            r for r in context.config.rules if _matches(r, endpoint.name, endpoint.default_model)
        ]
        rule = max(
            rules, key=lambda r: (not r.is_prefix, len(r.pattern), bool(r.endpoints)), default=None
        )
        if rule is not None and rule.renames_model():
            yield context.at(
                "X216",
                f"`default_model` of endpoint `{endpoint.name}` is renamed by {rule.label}",
                ROUTES,
                (*endpoint.at, "default_model"),
                EntryPart.VALUE,
                related=(Related(context.span(ROUTES, rule.at), "the rule"),),
                help="name a model that is sent as it is",
            )


def _matches(rule: ModelRule, endpoint: str, model: str | None) -> bool:
    if (
        model is None
        or rule.when
        or (rule.endpoints is not None and endpoint not in rule.endpoints)
    ):
        return False
    return model.startswith(rule.pattern) if rule.is_prefix else model == rule.pattern
