"""What a Plan tells of its configuration: the `tests:` of routes.yaml, and names nobody reaches."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from engine.config.build import build_config
from engine.config.checks import Subject, run_checks, titled
from engine.config.diagnostic import Diagnostic, Place, Severity
from engine.config.document import Document, parse_document
from engine.config.model import RoutingTest
from engine.config.schema import check_schema
from engine.plan import Decision, Plan, UnusableValueError

_ROUTES = "routes.yaml"
_PROVIDERS = "providers.yaml"


@dataclass(frozen=True, slots=True)
class Difference:
    """An expectation (`provider`, `url`, `model` or `error`) that is not met."""

    name: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test, and what the Plan decided."""

    test: RoutingTest
    decision: Decision
    differences: tuple[Difference, ...]


def run_test(plan: Plan, test: RoutingTest) -> Outcome:
    """Ask the Plan, and compare with what the test expects."""
    decision = plan.decide(test.endpoint, test.model)
    wanted = {
        "provider": test.provider, "url": test.url, "model": test.sent_model, "error": test.error,
    }  # fmt: skip
    actual = _actual(decision)
    return Outcome(
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
        "url": url or (f"refused with {refused}" if refused else "unknown: a variable is not set"),
        "model": decision.sent_model if not refused else f"refused with {refused}",
        "error": refused or f"served by {provider}",
    }


def check_routing_tests(plan: Plan, subject: Subject) -> Iterator[Diagnostic]:
    """Findings for each entry of `tests:` that the Plan does not fulfil."""
    for test in subject.config.tests:
        for found in run_test(plan, test).differences:
            yield subject.at(
                "X209",
                f"{titled(test)} expects {found.name} `{found.expected}`, but it is `{found.actual}`",
                _ROUTES,
                (*test.at, "expect", found.name),
                Place.VALUE,
            )


def check_listed_models(plan: Plan, subject: Subject) -> Iterator[Diagnostic]:
    """Findings for models that a provider lists and no caller can name."""
    for provider in subject.config.providers:
        for index, name in enumerate(provider.models):
            if plan.public_name(plan.providers[provider.name], name) is None:
                message = (
                    f"no rule leads to model {index + 1} in the list of provider `{provider.name}`"
                )
                at = (*provider.at, "models", index)
                yield subject.at("X233", message, _PROVIDERS, at, Place.VALUE)


def read_tests(
    file: str, raw: bytes, subject: Subject
) -> tuple[tuple[RoutingTest, ...], Document | None, list[Diagnostic]]:
    """The `tests:` of a file of its own, which may use the endpoints that `subject` knows."""
    document, found = parse_document(file, raw)
    if document is None:
        return (), None, found
    violations, broken = check_schema(document, "tests")
    tests = build_config(document, None, None, {file: broken}).tests
    config = replace(subject.config, rules=(), providers=(), keys=(), tests=tests)
    alone = replace(subject, config=config, documents={**subject.documents, _ROUTES: document})
    found += violations + [d for d in run_checks(alone) if d.code == "X202"]
    return tests, document, [d for d in found if d.severity is Severity.ERROR]
