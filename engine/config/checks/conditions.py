"""Conditions of model rules: those that tie, that ask for too much, or that a form cannot meet."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, combinations
from math import prod
from typing import Any, TypeAlias

from engine.config.checks.registry import KEYS, ROUTES, SERVER, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart, Related
from engine.config.rules import ModelRule
from engine.config.server import accounts_of
from engine.config.source.document import Path
from engine.config.source.secret_shapes import without_keys
from engine.plan.conditions import Dimension, When, combinations_of, describe, dimensions_of
from engine.plan.never_forwarded import has_secret
from engine.plan.suggest import nearest

MAX_COMBINATIONS = 1000
MAX_ALL_COMBINATIONS = 100_000  # of all rules: each takes some 350 bytes in each worker
MAX_SETS = 32  # of conditions that differ in what they ask for: a request takes a search for each
_MODEL = Dimension("body", "/model")
_Signature: TypeAlias = tuple[Dimension, ...]
_Table: TypeAlias = Mapping[tuple[str, ...], Sequence[ModelRule]]  # by the values of a signature
_Pair: TypeAlias = tuple[ModelRule, ModelRule]


@check("X279")
def tied_conditions(context: CheckContext) -> Iterator[Diagnostic]:
    """Two rules for the same models that may both fit a request, none being more specific."""
    seen: set[tuple[object, object]] = set()
    scopes = (rules for rules in _scopes(context) if len(_sets(rules)) <= MAX_SETS)
    for rules in scopes:
        for first, second in _ties(rules):
            if (first.at, second.at) in seen:
                continue
            seen.add((first.at, second.at))
            both = {**first.when, **_common(first, second), **_rest(first, second)}
            yield context.at(
                "X279",
                f"{second.label} ties with another rule for requests with {describe(both)}",
                ROUTES,
                (*second.at, "when"),
                related=(Related(context.span(ROUTES, (*first.at, "when")), "the other rule"),),
                help="give them different values, or add a rule with the conditions of both"
                if set(first.when) != set(second.when)
                else "give them different values, or make one rule of both",
            )


def _scopes(context: CheckContext) -> list[list[ModelRule]]:
    """The rules with conditions that a request may choose among: of one pattern and endpoint.

    None where there are too many combinations to compare (X280).
    """
    if sum(_count(rule.when) for rule in context.config.rules) > MAX_ALL_COMBINATIONS:
        return []
    scopes: dict[tuple[bool, str, str | None], list[ModelRule]] = {}
    for rule in context.config.rules:
        for name in rule.endpoints or (None,) if 0 < _count(rule.when) <= MAX_COMBINATIONS else ():
            scopes.setdefault((rule.is_prefix, rule.pattern, name), []).append(rule)
    return list(scopes.values())


def _sets(rules: Sequence[ModelRule]) -> dict[_Signature, ModelRule]:
    """The first rule of each signature."""
    return {dimensions_of(rule.when): rule for rule in reversed(rules)}


def _count(when: When) -> int:
    return prod(map(len, when.values())) if when else 0


def _ties(rules: Sequence[ModelRule]) -> Iterator[_Pair]:
    """The first tie of each rule with one of the same signature, and of each two signatures."""
    tables: dict[_Signature, dict[tuple[str, ...], list[ModelRule]]] = {}
    for rule in rules:
        table = tables.setdefault(dimensions_of(rule.when), {})
        for values in combinations_of(rule.when):
            table.setdefault(values, []).append(rule)
    for table in tables.values():
        yield from ((first, others[0]) for first, *others in table.values() if others)
    for one, other in combinations(tables, 2):
        both = tuple(sorted({*one, *other}))
        if both not in (one, other) and not _exclude(one, other):
            yield from _uncovered((one, tables[one]), (other, tables[other]), tables.get(both, {}))


def _exclude(one: _Signature, other: _Signature) -> bool:
    """Whether no body meets both: one asks for a string where the other asks for an object."""
    return any(_around(a, b) or _around(b, a) for a in one for b in other)


def _around(outer: Dimension, inner: Dimension) -> bool:
    return outer.kind == inner.kind == "body" and inner.name.startswith(f"{outer.name}/")


def _uncovered(
    one: tuple[_Signature, _Table], other: tuple[_Signature, _Table], union: _Table
) -> Iterator[_Pair]:
    """The first pair of rules with values that meet, for which no rule has the conditions of both."""
    shared = [dimension for dimension in one[0] if dimension in other[0]]
    meeting: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for values in other[1]:
        meeting.setdefault(_of(other[0], values, shared), []).append(values)
    for values, rules in one[1].items():
        for others in meeting.get(_of(one[0], values, shared), ()):
            found = dict(zip((*one[0], *other[0]), (*values, *others), strict=True))
            if tuple(found[dimension] for dimension in sorted(found)) not in union:
                first, second = sorted((rules[0], other[1][others][0]), key=lambda rule: rule.at)
                yield first, second
                return


def _of(
    dimensions: _Signature, values: tuple[str, ...], wanted: Sequence[Dimension]
) -> tuple[str, ...]:
    found = dict(zip(dimensions, values, strict=True))
    return tuple(found[dimension] for dimension in wanted)


def _common(first: ModelRule, second: ModelRule) -> When:
    return {d: v & second.when[d] for d, v in first.when.items() if d in second.when}


def _rest(first: ModelRule, second: ModelRule) -> When:
    return {d: v for d, v in second.when.items() if d not in first.when}


@check("X280")
def too_many_combinations(context: CheckContext) -> Iterator[Diagnostic]:
    for rule in context.config.rules:
        if _count(rule.when) > MAX_COMBINATIONS:
            message = f"the conditions of {rule.label} have {_count(rule.when)} combinations of values; at most {MAX_COMBINATIONS} are possible"
            yield context.at("X280", message, ROUTES, (*rule.at, "when"))
    sums = accumulate(_count(rule.when) for rule in context.config.rules)
    last = next(
        (r for r, n in zip(context.config.rules, sums, strict=True) if n > MAX_ALL_COMBINATIONS),
        None,
    )
    if last is not None:
        message = f"the conditions of all rules up to {last.label} have more than {MAX_ALL_COMBINATIONS} combinations of values"
        yield context.at("X280", message, ROUTES, (*last.at, "when"))


@check("X280")
def too_many_sets(context: CheckContext) -> Iterator[Diagnostic]:
    for rules in _scopes(context):
        firsts = sorted(_sets(rules).values(), key=lambda rule: rule.at)
        for rule in firsts[MAX_SETS : MAX_SETS + 1]:
            message = f"the rules for `{without_keys(rule.pattern)}` have {len(firsts)} different sets of conditions; at most {MAX_SETS} are possible"
            help_text = "ask for the same things, such as one header, with different values"
            yield context.at("X280", message, ROUTES, (*rule.at, "when"), help=help_text)


@check("X285")
def condition_on_a_secret(context: CheckContext) -> Iterator[Diagnostic]:
    """Headers and fields of keys and cookies: a secret in routes.yaml, and in what `engine route` prints."""
    providers = context.config.providers
    secrets = {("header", name) for p in providers for name in p.caller_headers}
    secrets |= {("body", f"/{name}") for p in providers for name in p.caller_body}
    for rule, dimension in _asked(context):
        kind, name = dimension
        if dimension in secrets or (kind == "header" and has_secret(name.encode("ascii"))):
            message = f"{rule.label} asks for {dimension.label}, which holds a secret"
            help_text = (
                "ask for the `key` by its name" if kind == "header" else "ask for something else"
            )
            yield context.at(
                "X285", message, ROUTES, (*rule.at, "when", *dimension), help=help_text
            )


def _asked(context: CheckContext) -> Iterator[tuple[ModelRule, Dimension]]:
    return ((rule, dimension) for rule in context.config.rules for dimension in sorted(rule.when))


@check("X286")
def unknown_caller(context: CheckContext) -> Iterator[Diagnostic]:
    """Keys that keys.yaml does not have, and accounts and their keys where there are no accounts."""
    keys = {key.name for key in context.config.keys or ()}
    is_read = KEYS in context.documents and "keys" not in context.config.incomplete
    has_server = SERVER in context.documents and context.config.server is None  # or it is broken
    has_accounts = has_server or accounts_of(context.config.server) is not None
    for kind, value, rule, at in _callers(context):
        message = f"{rule.label} asks for {kind} `{value}`, and "
        if kind == "account" or value.startswith("@"):
            if not has_accounts:
                message += f"there are no accounts: {SERVER} has no `accounts`"
                yield context.at("X286", message, ROUTES, at, EntryPart.VALUE)
        elif is_read and value not in keys:
            message += f"{KEYS} has no such key"
            hint = nearest(value, keys)
            yield context.at("X286", message, ROUTES, at, EntryPart.VALUE, hint=hint)


def _callers(context: CheckContext) -> Iterator[tuple[str, str, ModelRule, Path]]:
    """Each key and account that a rule asks for, with its place."""
    for rule in context.config.rules:
        for kind in ("key", "account"):
            at = (*rule.at, "when", kind)
            written: Any = (
                context.documents[ROUTES].value(at) if Dimension(kind) in rule.when else ()
            )
            yield from ((kind, value, rule, (*at, index)) for index, value in enumerate(written))


@check("X286")
def string_and_object(context: CheckContext) -> Iterator[Diagnostic]:
    """A rule that asks for a string at a place and for a field inside of it."""
    for rule, inner in _asked(context):
        outer = next((each for each in rule.when if _around(each, inner)), None)
        if outer is not None:
            message = f"{rule.label} asks for `{inner.name}`, and for a string at `{outer.name}`, which has no fields"
            yield context.at("X286", message, ROUTES, (*rule.at, "when", *inner))


@check("X286")
def another_model(context: CheckContext) -> Iterator[Diagnostic]:
    """A condition on the model of the body that no model of the rule meets, since it is the same one."""
    in_path = {e.name for e in context.config.endpoints if "{model}" in "".join((e.path, *e.also))}
    every = {endpoint.name for endpoint in context.config.endpoints}
    for rule, dimension in _asked(context):
        at = (*rule.at, "when", *dimension)
        if dimension.kind == "body" and dimension.name.startswith("/model/"):
            message = f"{rule.label} asks for `{dimension.name}`, and `model` is a string, which has no fields"
            yield context.at("X286", message, ROUTES, at)
        elif dimension == _MODEL and not in_path & (set(rule.endpoints or every)):
            values: Any = context.documents[ROUTES].value(at)
            for index, value in enumerate(values):
                if not _fits(rule, value):
                    message = f"{rule.label} asks for `{without_keys(value)}` as the model of the body, which is not one of its models"
                    yield context.at("X286", message, ROUTES, (*at, index), EntryPart.VALUE)


def _fits(rule: ModelRule, model: str) -> bool:
    return model.startswith(rule.pattern) if rule.is_prefix else model == rule.pattern


@check("X276")
def condition_on_a_form(context: CheckContext) -> Iterator[Diagnostic]:
    """A condition on a JSON field, where a body may be a form."""
    forms = {e.name for e in context.config.endpoints if "form" in e.bodies}
    serves = {p.name: {served.name for served in p.endpoints} for p in context.config.providers}
    for rule in context.config.rules:
        names = [dimension.name for dimension in rule.when if dimension.kind == "body"]
        reached = set[str]().union(*(serves.get(p, set()) for p in rule.providers().values()))
        taken = sorted(forms & (reached if rule.endpoints is None else set(rule.endpoints)))
        for name in names if taken else ():
            yield context.at(
                "X276",
                f"`{name}` is a field of JSON, and `{taken[0]}` takes forms, which never meet this condition",
                ROUTES,
                (*rule.at, "when", "body", name),
                help="narrow the rule with `endpoint:` to endpoints that take JSON",
            )
