"""What a Plan tells of its configuration: the `tests:` of routes.yaml, and names nobody reaches."""

from collections.abc import Iterator, Sequence

from engine.config.checks import Subject, titled
from engine.config.diagnostic import Diagnostic, Place
from engine.config.model import RoutingTest
from engine.plan import Plan, UnusableValueError

_ROUTES = "routes.yaml"
_PROVIDERS = "providers.yaml"


def check_routing_tests(plan: Plan, subject: Subject) -> Iterator[Diagnostic]:
    """Findings for each entry of `tests:` that the Plan does not fulfil."""
    for test in subject.config.tests:
        for name, expected, actual in _differences(plan, test):
            yield subject.at(
                "X209",
                f"{titled(test)} expects {name} `{expected}`, but it is `{actual}`",
                _ROUTES,
                (*test.at, "expect", name),
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


def _differences(plan: Plan, test: RoutingTest) -> Sequence[tuple[str, str, str]]:
    decision = plan.decide(test.endpoint, test.model)
    upstream, refused = decision.upstream, decision.refusal
    url = None
    try:
        url = upstream.url(decision.sent_model) if upstream else None
    except UnusableValueError:
        refused = "invalid_model"
    provider = decision.provider.name if decision.provider and not refused else None
    actual = {
        "provider": provider or f"refused with {refused}",
        "url": url or (f"refused with {refused}" if refused else "unknown: a variable is not set"),
        "model": decision.sent_model if not refused else f"refused with {refused}",
        "error": refused or f"served by {provider}",
    }
    wanted = {
        "provider": test.provider, "url": test.url, "model": test.sent_model, "error": test.error,
    }  # fmt: skip
    return [(n, w, actual[n]) for n, w in wanted.items() if w is not None and w != actual[n]]
