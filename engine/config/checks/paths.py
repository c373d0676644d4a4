"""Rules about paths: which of them could be taken for each other."""

from collections.abc import Iterator

from engine.config.checks.registry import CheckContext, every_route
from engine.config.diagnostics.diagnostic import Diagnostic, Place, Related
from engine.config.source.document import Path

_ROUTES = "routes.yaml"
_MODEL = "{model}"
_Route = tuple[str, str, str, Path]


def check_paths(context: CheckContext) -> Iterator[Diagnostic]:
    """The findings about paths with a model in them, and those below the list of models."""
    checks = (_alike, _below_the_listing)
    return (found for check in checks for found in check(context))


def _alike(context: CheckContext) -> Iterator[Diagnostic]:
    """Two different paths of which one request could mean either, whatever its method."""
    routes = sorted(every_route(context.config), key=lambda route: _MODEL not in route[2])
    patterns = [route for route in routes if _MODEL in route[2]]
    for index, pattern in enumerate(patterns):
        for other in routes[index + 1 :]:
            if pattern[2] != other[2] and _overlap(pattern[2], other[2]):
                code = "X260" if _MODEL in other[2] else "X261"
                words = f"`{pattern[2]}` and `{other[2]}` match the same path"
                yield _describe(context, code, words, other, pattern)


def _overlap(one: str, other: str) -> bool:
    left, right = one.split("/"), other.split("/")
    return len(left) == len(right) and all(
        a == b or (_MODEL in (a, b) and "" not in (a, b)) for a, b in zip(left, right, strict=True)
    )


def _below_the_listing(context: CheckContext) -> Iterator[Diagnostic]:
    """An endpoint that GET would find in the list of models, which answers first."""
    routes = list(every_route(context.config))
    listing = [route for route in routes if route[0] == "listing"]
    for route in routes:
        for listed in listing:
            if route[1] == "GET" and route[2].startswith(listed[2] + "/"):
                words = f"`{route[2]}` is below the list of models at `{listed[2]}`"
                yield _describe(context, "X261", words, route, listed)


def _describe(
    context: CheckContext, code: str, message: str, route: _Route, other: _Route
) -> Diagnostic:
    related = (Related(context.span(_ROUTES, other[3]), "the other path"),)
    return context.at(code, message, _ROUTES, route[3], Place.VALUE, related=related)
