"""Checks of a compiled configuration: the `tests:` of routes.yaml, and models that no name leads to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.config.checks.references import unknown_endpoint
from engine.config.checks.registry import PROVIDERS, ROUTES, CheckContext, PlanContext, Stage, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart, Related, Severity
from engine.config.rules import RoutingTest
from engine.config.schema.build import build_config
from engine.config.schema.validation import check_schema
from engine.config.source.document import Document, parse_document
from engine.plan.conditions import UnusableFieldError, dimension_reader
from engine.plan.plan import Decision, Plan, UnusableValueError

MAX_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Difference:
    """An expectation (`provider`, `url`, `model`, `then` or `error`) that is not met."""

    name: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class RoutingTestResult:
    """What became of one test, and what the Plan decided."""

    test: RoutingTest
    decision: Decision
    differences: tuple[Difference, ...]


def run_test(plan: Plan, test: RoutingTest) -> RoutingTestResult:
    """Ask the Plan, and compare with what the test expects."""
    read = dimension_reader(test.key, test.account, test.headers, test.body)
    try:
        decision = plan.decide(test.endpoint, test.model, read)
    except UnusableFieldError:
        decision = Decision(test.model, "", None, None, None, "duplicate_field")
    wanted = {
        "provider": test.provider, "url": test.url, "model": test.sent_model, "error": test.error,
        "then": None if test.then is None else _listed(test.then),
    }  # fmt: skip
    actual = {**_actual(decision), "then": _listed(_then(plan, decision, test.endpoint))}
    return RoutingTestResult(
        test,
        decision,
        tuple(
            Difference(name, expected, actual[name])
            for name, expected in wanted.items()
            if expected is not None and expected != actual[name]
        ),
    )


def _actual(decision: Decision) -> Mapping[str, str]:
    upstream, refused = decision.upstream, decision.refusal
    url = None
    try:
        url = upstream.url(decision.sent_model) if upstream else None
    except UnusableValueError:
        refused = "invalid_model"
    provider = decision.provider.name if decision.provider and not refused else None
    return {
        "provider": provider or f"refused with {refused}",
        "url": url
        or (f"refused with {refused}" if refused else "unknown: a variable has no default"),
        "model": decision.sent_model if not refused else f"refused with {refused}",
        "error": refused or f"served by {provider}",
    }


def _then(plan: Plan, decision: Decision, endpoint: str) -> tuple[str, ...]:
    """The providers of the other targets that serve `endpoint`, in the order of the file."""
    if decision.rule is None or decision.refusal:
        return ()
    follow = (
        plan.decide_target(decision.rule, endpoint, decision.model, w)
        for w in decision.rule.targets
    )
    return tuple(d.provider.name for d in follow if d.provider and not d.refusal)[1:]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing more"


@check("X209", stage=Stage.PLAN)
def failing_tests(context: PlanContext) -> Iterator[Diagnostic]:
    """A finding for each cause for which entries of `tests:` fail: one mistake may fail many of them."""
    alike: dict[object, list[RoutingTestResult]] = {}
    for test in context.config.tests:
        result = run_test(context.declared(), test)
        if result.differences:
            alike.setdefault(_kind(result), []).append(result)
    for first, *others in alike.values():
        found, test = first.differences[0], first.test
        yield context.at(
            "X209",
            f"{test.label} expects {found.name} `{found.expected}`, but {_actually(found.actual)}",
            ROUTES,
            (*test.at, "expect", found.name),
            EntryPart.VALUE,
            related=() if found.name == "url" else tuple(_deciding(context, first.decision)),
            help="; ".join(filter(None, (_failing_alike(others), _environment(found)))),
        )


def _actually(actual: str) -> str:
    for verb in ("refused with ", "served by "):
        if actual.startswith(verb):
            return f"the request is {verb}`{actual.removeprefix(verb)}`"
    return f"it is `{actual}`"


def _deciding(context: PlanContext, decision: Decision) -> Iterator[Related]:
    """The model rule that won, if one did: the mistake is there as often as in the test."""
    won = decision.rule
    if won is None:
        return
    for rule in context.config.rules:
        span = context.span(ROUTES, rule.at)
        is_same = (rule.pattern, rule.is_prefix) == (won.pattern, won.is_prefix)
        if is_same and won.where == f"{span.file}:{span.start.line}":
            yield Related(span, "this rule decides")
            return


def _failing_alike(others: Sequence[RoutingTestResult]) -> str:
    names = ", ".join(other.test.label for other in others[:MAX_SHOWN])
    more = f" and {len(others) - MAX_SHOWN} more" if len(others) > MAX_SHOWN else ""
    return f"failing the same way: {names}{more}" if others else ""


def _environment(found: Difference) -> str:
    """Why a URL is not the one that a request in this environment would go to."""
    if found.name != "url" or not ("placeholder" in found.actual or found.actual.startswith("unknown")):  # fmt: skip
        return ""
    return "tests use only the files, not the environment: give the variable a `default` or expect no `url`"


def _kind(result: RoutingTestResult) -> object:
    """What results with one cause have in common: what they expect, and what came instead."""
    provider, found = result.decision.provider, result.differences[0]
    return found.name, result.test.provider, provider and provider.name, result.decision.refusal


@check("X233", stage=Stage.PLAN)
def unreachable_models(context: PlanContext) -> Iterator[Diagnostic]:
    """Models that a provider lists and no caller can name."""
    plan = context.plan
    for provider in context.config.providers:
        names = plan.public_names(plan.providers[provider.name])
        for index, name in enumerate(provider.models):
            if names[name] is None:
                message = (
                    f"no rule leads to model {index + 1} in the list of provider `{provider.name}`"
                )
                at = (*provider.at, "models", index)
                yield context.at("X233", message, PROVIDERS, at, EntryPart.VALUE)


def read_tests(
    file: str, raw: bytes, context: CheckContext
) -> tuple[tuple[RoutingTest, ...], Document | None, list[Diagnostic]]:
    """The `tests:` of a separate file, which may use the endpoints that `context` knows."""
    document, found = parse_document(file, raw)
    if document is None:
        return (), None, found
    violations, broken = check_schema(document, "tests")
    tests = build_config(document, None, None, {file: broken}).tests
    config = replace(context.config, rules=(), providers=(), keys=(), tests=tests)
    alone = replace(context, config=config, documents={**context.documents, ROUTES: document})
    found += violations + list(unknown_endpoint(alone))
    return tests, document, [d for d in found if d.severity is Severity.ERROR]
